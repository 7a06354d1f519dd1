"""A refused record as it goes to the dead-letter topic: untouched, with the reason in its headers."""

from streamrnn.ticks import DeadLetter, OutRecord

PREFIX = "__streamrnn.errors."
LONGEST_MESSAGE = 1000


def dead_letter_record(dead: DeadLetter, topic: str, model: str) -> OutRecord:
    """Original key, value, headers and timestamp; `topic` is the input's, `model` the label that served."""
    record = dead.record
    facts = {
        "topic": topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "stage": dead.stage,
        "code": dead.code,
        "message": dead.message[:LONGEST_MESSAGE],
        "model": model,
    }
    headers = [(PREFIX + name, fact.encode(errors="replace")) for name, fact in facts.items()]
    return OutRecord(record.partition, record.timestamp_ms, record.key, record.value, [*record.headers, *headers])
