"""Rolling windows over sparse event-time buckets: add, expire, merge (window rule: docs/definitions.md).

A sum enters three granularities and is kept as running totals, so that reading a window costs nothing and an
event costs a few operations on plain numbers. Totals are exact integers: add then expire leaves what was there before.
"""

from __future__ import annotations

from typing import Final

from librt.vecs import append, vec
from mypy_extensions import i64

from processors.calendar import FIVE, HOUR, Calendar
from processors.numbers import inserted, place
from processors.profile import ROW_1H, ROW_7D, ROW_24H, ROW_30D, ROW_90D, ROW_LIFE, Buckets, Profile

_DAY_WINDOWS: Final = ((7, ROW_7D), (30, ROW_30D), (90, ROW_90D))


def expire(p: Profile, t: int, calendar: Calendar) -> None:
    """Move the windows on to instant `t`: what has left them leaves the totals. `t` never goes back."""
    five = t // FIVE
    if five == p.five:
        return
    p.five = five
    _drop(p.fives, (five - 11) << 6, p.totals, ROW_1H)
    hour = t // HOUR
    if hour != p.hour:
        p.hour = hour
        _drop(p.hours, (hour - 23) << 6, p.totals, ROW_24H)
    day = calendar.day(t)
    if day != p.day:
        _expire_days(p, p.day, day)
        p.day, p.day_start = day, calendar.start(day)


def _drop(buckets: Buckets, first: i64, totals: vec[i64], row: i64) -> None:
    if len(buckets.keys) == 0 or buckets.keys[0] >= first:
        return
    _take_from(totals, row, buckets, 0, place(buckets.keys, first))
    _forget(buckets, first)


def _forget(buckets: Buckets, first: i64) -> None:
    """Keep only the buckets from `first` on."""
    gone = place(buckets.keys, first)
    if gone > 0:
        buckets.packed = 0
        buckets.keep_from(gone)


def _take_from(totals: vec[i64], row: i64, buckets: Buckets, first: i64, after: i64) -> None:
    """Take some buckets out of a row of totals."""
    keys, values = buckets.keys, buckets.values
    i = first
    while i < after:
        totals[row + (keys[i] & 63)] -= values[i]
        i += 1


def _expire_days(p: Profile, before: int, now: int) -> None:
    keys = p.days.keys
    for days, row in _DAY_WINDOWS:
        first, after = place(keys, (before - days + 1) << 6), place(keys, (now - days + 1) << 6)
        _take_from(p.totals, row, p.days, first, after)
    _forget(p.days, (now - 89) << 6)


def add(p: Profile, measure: i64, value: i64, time: i64, calendar: Calendar) -> None:
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
    day: i64 = calendar.day(time)
    if day > p.day - 90:
        _put(p.days, day << 6 | measure, value)
        totals[ROW_90D + measure] += value
        if day > p.day - 30:
            totals[ROW_30D + measure] += value
            if day > p.day - 7:
                totals[ROW_7D + measure] += value


def _put(buckets: Buckets, key: i64, value: i64) -> None:
    keys = buckets.keys
    length: i64 = len(keys)
    if length == 0 or keys[length - 1] < key:
        _append(buckets, key, value)
        return
    i = _place(keys, key)
    if i < buckets.packed:
        buckets.packed = 0
    if keys[i] == key:
        buckets.values[i] += value
    else:
        _insert(buckets, i, key, value)


def _insert(buckets: Buckets, i: i64, key: i64, value: i64) -> None:
    _make_room(buckets)
    buckets.keys, buckets.values = inserted(buckets.keys, i, key), inserted(buckets.values, i, value)


def _make_room(buckets: Buckets) -> None:
    """For one more. Left to `append`, a quarter of a worker's memory would be room that nobody uses."""
    if len(buckets.keys) >= buckets.capacity:
        buckets.keep_from(0)


def _append(buckets: Buckets, key: i64, value: i64) -> None:
    _make_room(buckets)
    buckets.keys, buckets.values = append(buckets.keys, key), append(buckets.values, value)


def _place(keys: vec[i64], key: i64) -> i64:
    """Where a key stands or belongs: nearly always among the newest, which are also still in the processor's cache."""
    near: i64 = len(keys) - 16
    return place(keys, key, near if near > 0 and keys[near] < key else 0)


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
            if day > p.day - days:
                p.totals[row] += 1
    return True


def _put_once(buckets: Buckets, key: i64) -> bool:
    keys = buckets.keys
    length: i64 = len(keys)
    if length == 0 or keys[length - 1] < key:
        _append(buckets, key, 1)
        return True
    i = _place(keys, key)
    if keys[i] == key:
        return False
    if i < buckets.packed:
        buckets.packed = 0
    _insert(buckets, i, key, 1)
    return True


def distinct_days(p: Profile, buckets: Buckets, width: int) -> int:
    """Days with presence among the 5-minute or hour buckets held, each on the day its start falls on (at most 2)."""
    keys = buckets.keys
    first: i64 = -1
    last: i64 = -1
    for key in keys:
        if key & 63 == 0:
            last = key >> 6
            if first < 0:
                first = last
    return (0 <= first * width < p.day_start) + (last * width >= p.day_start) if len(keys) > 0 else 0


def merge(a: Buckets, b: Buckets) -> Buckets:
    """The buckets of both histories together; associative and commutative. Presence (measure 0) does not add up."""
    sums = dict(zip(a.keys, a.values, strict=True))
    for key, value in zip(b.keys, b.values, strict=True):
        sums[key] = sums.get(key, 0) + value if key & 63 else 1
    keys = sorted(sums)
    return Buckets.of(vec[i64](keys), vec[i64]([sums[key] for key in keys]))


def rebuild_totals(p: Profile) -> None:
    """Compute the running totals of a loaded profile from its buckets; lifetime is kept as it is."""
    totals = p.totals
    for i in range(ROW_LIFE):
        totals[i] = 0
    for row, buckets in ((ROW_1H, p.fives), (ROW_24H, p.hours), (ROW_90D, p.days)):
        _sum_up(totals, row, buckets, 0)
    for days, row in ((7, ROW_7D), (30, ROW_30D)):
        _sum_up(totals, row, p.days, place(p.days.keys, (p.day - days + 1) << 6))


def _sum_up(totals: vec[i64], row: i64, buckets: Buckets, first: i64) -> None:
    keys, values = buckets.keys, buckets.values
    i = first
    while i < len(keys):
        totals[row + (keys[i] & 63)] += values[i]
        i += 1
