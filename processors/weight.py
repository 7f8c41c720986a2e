"""How much memory a profile takes: what `batch.profiles_mib` bounds.

An estimate from the number of things a profile holds, within a few percent of what they take in memory on average
(`python -m benchmarks.profile_memory` holds the two against each other): to ask for every object's size would take as
long as to encode all of them.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from processors.profile import Buckets, Profile

BASE: Final = 4_300
"""Of a profile with nothing in it: its fields, totals, turns, empty containers, segments, score and snapshot."""
BUCKET: Final = 16
"""A key and a value."""
ORDER: Final = 200
"""With its entry in `order_of`."""
SESSION: Final = 80
ENTRY: Final = 50
"""Of a dict whose values are small: a category, a channel, a segment."""
ATTRIBUTE: Final = 150


def memory_of(p: Profile) -> int:
    """Bytes, estimated; without the customer's events."""
    entries: i64 = len(p.categories) + len(p.channels) + len(p.labels) + len(p.entered)
    found: i64 = BASE + ENTRY * entries + ATTRIBUTE * len(p.attributes)
    found += ORDER * (len(p.orders) + len(p.waiting)) + len(p.packed_orders) + SESSION * len(p.sessions)
    return found + _memory_of(p.fives) + _memory_of(p.hours) + _memory_of(p.days)


def _memory_of(buckets: Buckets) -> i64:
    return BUCKET * buckets.room + len(buckets.packed_keys) + len(buckets.packed_values)
