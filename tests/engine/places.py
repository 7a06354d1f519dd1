"""Where a table has its streams, in words for tests."""

from streamrnn.engine.rows.table import SlotTable


def all_places(table: SlotTable) -> list[tuple[int, bytes, int]]:
    """(partition, stream, place) of all, in the order in which they came."""
    names = table.memory.keys.names
    return [(p, stream, table.find(p, stream)) for p in table.partitions() for stream in names(table.numbers(p))]
