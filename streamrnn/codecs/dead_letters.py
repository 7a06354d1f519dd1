"""A refused record as it goes to the dead-letter topic: untouched, with the reason in its headers.

Of a list only the refused element goes, so that whoever sends it again sends no good tick twice.
"""

from streamrnn.codecs.headers import letter_headers
from streamrnn.ticks import DeadLetter, OutRecord


def dead_letter_record(dead: DeadLetter, topic: str, model: str) -> OutRecord:
    """Original key, value, headers and timestamp; `topic` is the input's, `model` the label that served."""
    partition, _, timestamp_ms, key, value, headers = dead.record
    said = [*headers, *letter_headers(dead, topic, model)]
    return OutRecord(partition, timestamp_ms, key, value, said, dead.place)
