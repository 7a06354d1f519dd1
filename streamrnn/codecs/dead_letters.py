"""A refused record as it goes to the dead-letter topic: untouched, with the reason in its headers.

Of a list only the refused element goes, so that whoever sends it again sends no good tick twice.
"""

from streamrnn.ticks import NO_INDEX, DeadLetter, OutRecord

PREFIX = "__streamrnn.errors."
LONGEST_MESSAGE = 1000


def dead_letter_record(dead: DeadLetter, topic: str, model: str) -> OutRecord:
    """Original key, value, headers and timestamp; `topic` is the input's, `model` the label that served."""
    record = dead.record
    facts = {
        "topic": topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "index": "" if dead.element == NO_INDEX else str(dead.element),
        "stage": dead.stage,
        "code": dead.code,
        "message": dead.message[:LONGEST_MESSAGE],
        "model": model,
    }
    if not facts["index"] and PREFIX + "index" not in dict(record.headers):
        del facts["index"]  # else the record's own, of a dead letter that was sent again, would be taken for ours
    headers = [(PREFIX + name, fact.encode(errors="replace")) for name, fact in facts.items()]
    return OutRecord(record.partition, record.timestamp_ms, record.key, record.value, [*record.headers, *headers])
