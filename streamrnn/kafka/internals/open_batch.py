"""Owns how records are appended to a batch of aiokafka's: many by one call, headers with any keys too.

Knows no queue and no topic.
"""

from collections.abc import Callable, Sequence
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from streamrnn.ticks import OutRecord


class _Key:
    """A header's key as `Record` has it, with surrogates for what was not UTF-8; gives back the bytes it was."""

    def __init__(self, text: str) -> None:
        self._text = text

    def encode(self, encoding: str) -> bytes:
        """As str does."""
        return self._text.encode(encoding, "surrogateescape")


class OpenBatch(BatchBuilder):  # type: ignore[misc]
    """A batch under construction.

    Replaces aiokafka's `append`, which costs as much again for each record. aiokafka's compiled writer refuses a
    header whose key is not UTF-8; `_DefaultRecordBatchBuilderPy`, its plain writer, asks each key for its bytes and
    takes its place for such a batch. Relies on `_builder`, the writer, whose `append` takes (count, time, key,
    value, headers) and gives None when the batch is full, and on `_relative_offset`, the count of records.
    """

    _builder: Any
    _relative_offset: int

    def __init__(self, batch_bytes: int, compression: int, is_transactional: bool) -> None:
        super().__init__(batch_bytes, compression, is_transactional=is_transactional)
        self._facts = (2, compression, is_transactional, -1, -1, 0, batch_bytes)

    def take(self, records: Sequence[OutRecord]) -> int:
        """Append records until the batch is full, and return how many went in.

        The batch is not yet closed. An empty batch takes at least one record, however large. A record with a header
        whose key is not UTF-8 goes into an empty batch only.
        """
        append = self._builder.append
        begun = count = self._relative_offset
        for _, timestamp_ms, key, value, headers, _ in records:
            listed = headers if type(headers) is list else list(headers)  # the compiled writer takes lists only
            try:
                if append(count, timestamp_ms, key, value, listed) is None:
                    break
            except UnicodeEncodeError:
                if count:
                    break
                append = self._change_over()
                append(count, timestamp_ms, key, value, listed)
            count += 1
        assert count, "an empty batch takes any record"
        self._relative_offset = count
        return int(count - begun)

    def _change_over(self) -> Callable[..., Any]:
        """Put the plain writer in the compiled one's place, and return the function that appends a record."""
        assert self._relative_offset == 0, "records in the other writer would be lost"
        self._builder = _DefaultRecordBatchBuilderPy(*self._facts)
        write = self._builder.append

        def append(count: int, time_ms: int, key: Any, value: Any, headers: Sequence[tuple[str, Any]]) -> Any:
            return write(count, time_ms, key, value, [(_Key(name), content) for name, content in headers])

        return append

    def _set_producer_state(self, *state: int) -> None:
        """Hand the producer's id, epoch and sequence to the writer; aiokafka's own insists on the compiled one."""
        self._builder.set_producer_state(*state)
