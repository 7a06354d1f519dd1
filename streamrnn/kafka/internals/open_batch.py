"""Owns how a batch that aiokafka sends takes records in columns. Knows no queue and no topic."""

from aiokafka.producer.message_accumulator import BatchBuilder

from streamrnn.kafka.compiled.column_writer import ColumnWriter
from streamrnn.ticks import OutColumns


class OpenBatch(BatchBuilder):  # type: ignore[misc]
    """A batch under construction.

    Replaces aiokafka's `append`, which takes a record at a time as objects, and with it the writer. Relies on
    `_builder`, the writer, of which aiokafka calls `build`, `size` and `set_producer_state`, and on
    `_relative_offset`, the count of records.
    """

    _builder: ColumnWriter
    _relative_offset: int

    def __init__(self, batch_bytes: int, compression: int, is_transactional: bool) -> None:
        super().__init__(batch_bytes, compression, is_transactional=is_transactional)
        self._builder = ColumnWriter(batch_bytes, compression, is_transactional)

    def take(self, records: OutColumns, row: int = 0) -> int:
        """Append records from `row` on until the batch is full, and return how many went in.

        The batch is not yet closed. An empty batch takes at least one record, however large.
        """
        count = self._builder.take(records, row)
        self._relative_offset = self._builder.count
        return count

    def _set_producer_state(self, *state: int) -> None:
        """Hand the producer's id, epoch and sequence to the writer; aiokafka's own insists on the compiled one."""
        self._builder.set_producer_state(*state)
