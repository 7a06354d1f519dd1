"""Owns how headers are written whose keys are not UTF-8. Knows no topic.

aiokafka's compiled writer refuses them, its plain one asks each key for its bytes.
"""

from collections.abc import Callable, Sequence
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy


class _Key:
    """A header's key as `Record` has it, with surrogates for what was not UTF-8; gives back the bytes it was."""

    def __init__(self, text: str) -> None:
        self._text = text

    def encode(self, encoding: str) -> bytes:
        """As str does."""
        return self._text.encode(encoding, "surrogateescape")


class AnyKeys(BatchBuilder):  # type: ignore[misc]
    """aiokafka's batch under construction, which can change over to the plain writer while it is empty."""

    def __init__(self, batch_size: int, compression: int, is_transactional: bool) -> None:
        super().__init__(batch_size, compression, is_transactional=is_transactional)
        self._facts = (2, compression, is_transactional, -1, -1, 0, batch_size)

    def take_any_keys(self) -> Callable[..., Any]:
        """From now on headers with any keys go in: the function that appends a record, as the compiled writer's."""
        assert self._relative_offset == 0, "records in the other writer would be lost"
        self._builder = _DefaultRecordBatchBuilderPy(*self._facts)
        write = self._builder.append

        def append(count: int, time_ms: int, key: Any, value: Any, headers: Sequence[tuple[str, Any]]) -> Any:
            return write(count, time_ms, key, value, [(_Key(name), content) for name, content in headers])

        return append

    def _set_producer_state(self, *state: int) -> None:
        """aiokafka's own insists on the compiled writer."""
        self._builder.set_producer_state(*state)
