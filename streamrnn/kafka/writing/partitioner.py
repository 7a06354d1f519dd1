"""Owns which partition a key belongs to, as every Kafka client chooses it by default. Knows no topic."""

from aiokafka.partitioner import murmur2


def default_partition(key: bytes, partitions: int) -> int:
    """The partition of a key: Kafka's hash of it (murmur2) without its sign, modulo their count."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
