"""How much memory a profile takes: what `batch.profiles_mib` bounds.

An estimate from the number of things a profile holds, on average within a few percent of what they take
(`python -m benchmarks.profile_memory` holds the two against each other): to ask every object for its size would take
as long as to encode them all.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from processors.profile import Buckets, Profile

BASE: Final = 4_500
"""Of a profile that holds nothing that is counted here: fields, totals, turns, empty containers, score, snapshot."""
BUCKET: Final = 16
"""A key and a value."""
ORDER: Final = 200
"""With its entry in `order_of`."""
SESSION: Final = 80
ENTRY: Final = 50
"""Of a dict whose values are small: a category, a channel, a segment."""
ATTRIBUTE: Final = 150
TEXTS: Final = 2
"""At least so many bytes for each of the stored state: where a customer's own texts are long, they are most of it."""


def memory_of(p: Profile, stored: int) -> int:
    """Bytes, estimated, of a profile whose state has so many bytes (0: it is not stored yet)."""
    entries: i64 = len(p.categories) + len(p.channels) + len(p.labels) + len(p.entered)
    found: i64 = BASE + ENTRY * entries + ATTRIBUTE * len(p.attributes)
    found += ORDER * (len(p.orders) + len(p.waiting)) + len(p.packed_orders) + SESSION * len(p.sessions)
    found += _memory_of(p.fives) + _memory_of(p.hours) + _memory_of(p.days)
    return max(found, TEXTS * stored)


def _memory_of(buckets: Buckets) -> i64:
    return BUCKET * buckets.capacity + len(buckets.packed_keys) + len(buckets.packed_values)
