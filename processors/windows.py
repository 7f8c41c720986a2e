"""Rolling windows over sparse event-time buckets: add, expire, merge (window rule: docs/definitions.md).

A sum enters three granularities and is kept as running totals, so that reading a window costs nothing and an
event costs a few list operations. Totals are exact integers: add then expire leaves what was there before.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Final

from processors.calendar import FIVE, HOUR, Calendar
from processors.profile import ROW_1H, ROW_7D, ROW_24H, ROW_30D, ROW_90D, ROW_LIFE, Buckets, Profile

_DAY_WINDOWS: Final = ((7, ROW_7D), (30, ROW_30D), (90, ROW_90D))


def expire(p: Profile, t: int, calendar: Calendar) -> None:
    """Move the windows on to instant `t`: what has left them leaves the totals. `t` never goes back."""
    five = t // FIVE
    if five == p.five:
        return
    p.five = five
    if p.fives.keys:
        _drop(p.fives, (five - 11) << 6, p.totals, ROW_1H)
    hour = t // HOUR
    if hour != p.hour:
        p.hour = hour
        if p.hours.keys:
            _drop(p.hours, (hour - 23) << 6, p.totals, ROW_24H)
    day = calendar.day(t)
    if day != p.day:
        _expire_days(p, p.day, day)
        p.day, p.day_start = day, calendar.start(day)


def _drop(buckets: Buckets, first: int, totals: list[int], row: int) -> None:
    keys = buckets.keys
    if keys[0] >= first:
        return
    gone = bisect_left(keys, first)
    for i in range(gone):
        totals[row + (keys[i] & 63)] -= buckets.values[i]
    buckets.packed = 0
    del keys[:gone]
    del buckets.values[:gone]


def _expire_days(p: Profile, before: int, now: int) -> None:
    keys, values, totals = p.days.keys, p.days.values, p.totals
    for days, row in _DAY_WINDOWS:
        start = bisect_left(keys, (before - days + 1) << 6)
        for i in range(start, bisect_left(keys, (now - days + 1) << 6)):
            totals[row + (keys[i] & 63)] -= values[i]
    gone = bisect_left(keys, (now - 89) << 6)
    if gone:
        p.days.packed = 0
        del keys[:gone]
        del values[:gone]


def add(p: Profile, measure: int, value: int, time: int, calendar: Calendar) -> None:
    """Add to every window that still holds the bucket of `time`, and to lifetime."""
    totals = p.totals
    totals[ROW_LIFE + measure] += value
    five = time // FIVE
    if five > p.five - 12:
        _put(p.fives, five << 6 | measure, value)
        totals[measure] += value
    hour = time // HOUR
    if hour > p.hour - 24:
        _put(p.hours, hour << 6 | measure, value)
        totals[ROW_24H + measure] += value
    day = calendar.day(time)
    if day > p.day - 90:
        _put(p.days, day << 6 | measure, value)
        totals[ROW_90D + measure] += value
        if day > p.day - 30:
            totals[ROW_30D + measure] += value
            if day > p.day - 7:
                totals[ROW_7D + measure] += value


def _put(buckets: Buckets, key: int, value: int) -> None:
    keys = buckets.keys
    if not keys or keys[-1] < key:
        keys.append(key)
        buckets.values.append(value)
        return
    i = _place(keys, key)
    if i < buckets.packed:
        buckets.packed = 0
    if keys[i] == key:
        buckets.values[i] += value
    else:
        keys.insert(i, key)
        buckets.values.insert(i, value)


def _place(keys: array[int], key: int) -> int:
    """Where a key stands or belongs: nearly always among the newest, which are also still in the processor's cache."""
    near = len(keys) - 16
    return bisect_left(keys, key, near if near > 0 and keys[near] < key else 0)


def mark_present(p: Profile, time: int, calendar: Calendar) -> bool:
    """Record that the customer was there (measure 0, `active_days`); true when that may have changed a count."""
    five = time // FIVE
    if five == p.seen_five:
        return False
    p.seen_five = five
    if five > p.five - 12 and _put_once(p.fives, five << 6):
        p.totals[ROW_1H] += 1
    hour = time // HOUR
    if hour > p.hour - 24 and _put_once(p.hours, hour << 6):
        p.totals[ROW_24H] += 1
    day = calendar.day(time)
    if day > p.day - 90 and _put_once(p.days, day << 6):
        p.totals[ROW_LIFE] += 1
        for days, row in _DAY_WINDOWS:
            p.totals[row] += day > p.day - days
    return True


def _put_once(buckets: Buckets, key: int) -> bool:
    keys = buckets.keys
    if not keys or keys[-1] < key:
        keys.append(key)
        buckets.values.append(1)
        return True
    i = _place(keys, key)
    if keys[i] == key:
        return False
    if i < buckets.packed:
        buckets.packed = 0
    keys.insert(i, key)
    buckets.values.insert(i, 1)
    return True


def distinct_days(p: Profile, buckets: Buckets, width: int) -> int:
    """Days with presence among the 5-minute or hour buckets held, each on the day its start falls on (at most 2)."""
    keys = buckets.keys
    first = last = -1
    for key in keys:
        if not key & 63:
            first = key >> 6
            break
    for key in reversed(keys):
        if not key & 63:
            last = key >> 6
            break
    return (0 <= first * width < p.day_start) + (last * width >= p.day_start) if keys else 0


def merge(a: Buckets, b: Buckets) -> Buckets:
    """The buckets of both histories together; associative and commutative. Presence (measure 0) does not add up."""
    sums = dict(zip(a.keys, a.values, strict=True))
    for key, value in zip(b.keys, b.values, strict=True):
        sums[key] = sums.get(key, 0) + value if key & 63 else 1
    keys = sorted(sums)
    return Buckets(array("q", keys), [sums[key] for key in keys])


def rebuild_totals(p: Profile) -> None:
    """Compute the running totals of a loaded profile from its buckets; lifetime is kept as it is."""
    totals = p.totals
    totals[:ROW_LIFE] = [0] * ROW_LIFE
    for row, buckets in ((ROW_1H, p.fives), (ROW_24H, p.hours), (ROW_90D, p.days)):
        for key, value in zip(buckets.keys, buckets.values, strict=True):
            totals[row + (key & 63)] += value
    for days, row in ((7, ROW_7D), (30, ROW_30D)):
        for i in range(bisect_left(p.days.keys, (p.day - days + 1) << 6), len(p.days.keys)):
            totals[row + (p.days.keys[i] & 63)] += p.days.values[i]
