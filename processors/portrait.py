"""The traits of a profile as sparse JSON: what people and other programs read. Zeros are omitted."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any, Final

import orjson

from processors.calendar import FIVE, HOUR
from processors.dimensions import rfm_class, rfm_segment, value_of
from processors.measures import MEASURES, WINDOWS
from processors.profile import ROW_1H, ROW_24H, Profile
from processors.windows import distinct_days

_COUNT = itemgetter(1)
_HOURS: Final = tuple(map(str, range(24)))
TOP: Final = 5
"""Categories, channels and hours shown."""

_MEMBERS: Final = tuple(f'"{measure}_{window}":' for window in WINDOWS for measure in MEASURES)
"""Names of `Profile.totals` as JSON, in its order."""

_SMALL: Final = 64
_WRITTEN: Final = tuple(tuple(f"{member}{total}" for total in range(_SMALL)) for member in _MEMBERS)
"""The members with small totals, which most are: a look-up costs a quarter of writing them."""


def portrait(p: Profile) -> dict[str, Any]:
    """Every non-zero trait at `as_of`: `<measure>_<window>`, order facts, dimensions, lists, segments, churn."""
    found: dict[str, Any] = orjson.loads(encode_portrait(p))
    return found


def encode_portrait(p: Profile) -> bytes:
    """`portrait` as JSON bytes. Most of it are the totals: they are written here, the rest by orjson."""
    totals = ",".join(_totals(p)).encode()
    rest: bytes = orjson.dumps(_rest(p))
    return b"".join((b"{", totals, b",", rest[1:])) if totals else rest


def _totals(p: Profile) -> list[str]:
    members = [
        _WRITTEN[i][total] if 0 < total < _SMALL else _MEMBERS[i] + str(total)
        for i, total in enumerate(p.totals)
        if total
    ]
    # In 1 h and 24 h the presence entries (measure 0) count buckets; the trait counts distinct days.
    if p.totals[ROW_24H] > 1:
        place = len([total for total in p.totals[:ROW_24H] if total])
        members[place] = _MEMBERS[ROW_24H] + str(distinct_days(p, p.hours, HOUR))
    if p.totals[ROW_1H] > 1:
        members[0] = _MEMBERS[ROW_1H] + str(distinct_days(p, p.fives, FIVE))
    return members


def _rest(p: Profile) -> dict[str, Any]:
    seen: dict[str, Any] = {"as_of": p.as_of, "first_seen": p.first_seen, "last_seen": p.last_seen}
    if p.first_order:
        _orders(p, seen)
    seen["activity"] = p.activity
    seen["value"] = value_of(p)
    seen["rfm"] = rfm_segment(p)
    seen["top_channels"] = _top(p.channels)
    seen["top_hours"] = _top_hours(p.hours_of_day)
    if p.categories:
        seen["top_categories"] = _top(p.categories)
    if p.nps >= 0:
        seen["last_nps"] = p.nps
    for name, (_, value) in p.attributes.items():
        seen[name] = value
    seen["segments"] = p.labels
    seen["sequence"] = p.sequence
    if p.score is not None:
        seen["churn"] = _churn(p)
    return seen


def _orders(p: Profile, seen: dict[str, Any]) -> None:
    seen["first_order"] = p.first_order
    if p.last_order:
        seen["last_order"] = p.last_order
    seen["frequency"], seen["monetary"] = p.frequency, p.monetary
    seen["rfm_scores"] = [p.recency_score, p.frequency_score, p.monetary_score]
    seen["rfm_class"] = rfm_class(p)
    if p.gap_count:
        seen["gap_count"], seen["gap_sum"] = p.gap_count, p.gap_sum
        seen["mean_gap_ms"] = p.gap_sum // p.gap_count


def _top_hours(counts: dict[int, int]) -> list[tuple[str, int]]:
    """`_top` of the hours of a day, each as a text: numbers that hold both are sorted in a third of the time."""
    ranked = sorted([n << 5 | 31 - hour for hour, n in counts.items()], reverse=True)
    return [(_HOURS[31 - (both & 31)], both >> 5) for both in ranked[:TOP]]


def _top(counts: dict[str, int]) -> list[tuple[str, int]]:
    """The most counted keys; ties by key, so that equal counts give equal lists."""
    if len(counts) == 1:
        return list(counts.items())
    items: Iterable[tuple[str, int]] = counts.items()
    if len(counts) > TOP:
        least = sorted(counts.values(), reverse=True)[TOP - 1]
        items = [item for item in items if item[1] >= least]
    return sorted(sorted(items), key=_COUNT, reverse=True)[:TOP]


def _churn(p: Profile) -> dict[str, Any]:
    assert p.score is not None
    return {
        "probability": p.score.probability,
        "model_version": p.score.model_version,
        "contributions": p.score.contributions,
    }
