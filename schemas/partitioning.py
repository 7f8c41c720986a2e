"""Where a customer lives: murmur2, as every Kafka client's default partitioner for keyed records computes it."""

from __future__ import annotations

from typing import Final

BUCKETS: Final = 256
"""Buckets of customers; the number of input partitions divides it, so one partition owns whole buckets."""

_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash of Kafka's Java client (unsigned)."""
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if length > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


def bucket_of(customer_id: str) -> int:
    """The bucket of a customer, 0 to 255."""
    return bucket_of_key(customer_id.encode())


def bucket_of_key(key: bytes) -> int:
    """The bucket of a record's key, whatever it holds."""
    return (murmur2(key) & 0x7FFFFFFF) % BUCKETS


def partition_of(customer_id: str, partitions: int) -> int:
    """The partition Kafka's murmur2 partitioner chooses for this key."""
    return (murmur2(customer_id.encode()) & 0x7FFFFFFF) % partitions


def buckets_of_partition(partition: int, partitions: int) -> range:
    """The buckets that one partition number owns."""
    return range(partition, BUCKETS, partitions)
