"""Where a table has its streams, in words for tests."""

from streamrnn.engine.rows.table import SlotTable


def all_places(table: SlotTable) -> list[tuple[int, bytes, int]]:
    """(partition, stream, place) of all, in the order in which they came."""
    return [(p, stream, table.find(p, stream)) for p in table.partitions() for stream in table.keys(p)]
