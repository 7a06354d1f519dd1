"""What a test finds in a topic: the product's own reading, within what there is."""

from collections.abc import AsyncGenerator

from streamrnn.config import Settings
from streamrnn.kafka.reading.log import log_extent, read_whole
from streamrnn.ticks import Record


async def read_range(
    settings: Settings, partition: int, start: int, stop: int, max_records: int
) -> AsyncGenerator[list[Record], None]:
    """Records of the input's partition from `start` to before `stop`, or as many of these as there are."""
    topic = settings.input.topic
    there = await log_extent(settings, topic, partition)
    first, end = max(start, there.start), min(stop, there.stop)
    async for records in read_whole(settings, topic, partition, first, end, max_records):
        yield records


async def everything(settings: Settings) -> list[Record]:
    """All records of the input's first partition."""
    extent = await log_extent(settings, settings.input.topic, 0)
    return [r async for rs in read_range(settings, 0, extent.start, extent.stop, 1000) for r in rs]
