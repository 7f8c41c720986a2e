"""The traits of a profile as sparse JSON: what people and other programs read. Zeros are omitted."""

from __future__ import annotations

from typing import Any, Final

import orjson
from librt.strings import BytesWriter
from librt.vecs import vec
from mypy_extensions import i64

from processors.calendar import FIVE, HOUR
from processors.dimensions import rfm_class, rfm_segment, value_of
from processors.measures import MEASURES, WINDOWS
from processors.profile import ROW_1H, ROW_24H, Profile
from processors.windows import distinct_days
from processors.writing import write_decimal

TOP: Final = 5
"""Categories, channels and hours shown."""

_MEMBERS: Final[list[bytes]] = [f'"{measure}_{window}":'.encode() for window in WINDOWS for measure in MEASURES]
"""Names of `Profile.totals` as JSON, in its order."""
_HOURS: Final[list[bytes]] = [f'["{hour}",'.encode() for hour in range(24)]


def portrait(p: Profile) -> dict[str, Any]:
    """Every non-zero trait at `as_of`: `<measure>_<window>`, order facts, dimensions, lists, segments, churn."""
    found: dict[str, Any] = orjson.loads(encode_portrait(p))
    return found


def encode_portrait(p: Profile) -> bytes:
    """`portrait` as JSON bytes. Numbers, which are most of it, are written here; texts and fractions by orjson."""
    out = BytesWriter()
    out.write(b"{")
    _write_totals(out, p)
    _write_instants(out, p)
    if p.first_order:
        _write_orders(out, p)
    _write_word(out, b'"activity":"', p.activity)
    _write_word(out, b'"value":"', value_of(p))
    _write_word(out, b'"rfm":"', rfm_segment(p))
    _write_top(out, b'"top_channels":[', p.channels)
    _write_top_hours(out, p.hours_of_day)
    if p.categories:
        _write_top(out, b'"top_categories":[', p.categories)
    if p.nps >= 0:
        _write_number(out, b'"last_nps":', p.nps)
    _write_number(out, b'"sequence":', p.sequence)
    out.write(orjson.dumps(_texts(p))[1:])
    return out.getvalue()


def _write_totals(out: BytesWriter, p: Profile) -> None:
    """Those that are not 0. In 1 h and 24 h the presence entries (measure 0) count buckets; the trait counts days."""
    for i, total in enumerate(p.totals):
        if total != 0:
            out.write(_MEMBERS[i])
            if total > 1 and i == ROW_1H:
                write_decimal(out, distinct_days(p, p.fives, FIVE))
            elif total > 1 and i == ROW_24H:
                write_decimal(out, distinct_days(p, p.hours, HOUR))
            else:
                write_decimal(out, total)
            out.write(b",")


def _write_number(out: BytesWriter, name: bytes, number: i64) -> None:
    out.write(name)
    write_decimal(out, number)
    out.write(b",")


def _write_word(out: BytesWriter, name: bytes, word: str) -> None:
    """One of our own labels: there is nothing in it to escape."""
    out.write(name)
    out.write(word.encode())
    out.write(b'",')


def _write_instants(out: BytesWriter, p: Profile) -> None:
    _write_number(out, b'"as_of":', p.as_of)
    _write_number(out, b'"first_seen":', p.first_seen)
    _write_number(out, b'"last_seen":', p.last_seen)


def _write_orders(out: BytesWriter, p: Profile) -> None:
    _write_number(out, b'"first_order":', p.first_order)
    if p.last_order:
        _write_number(out, b'"last_order":', p.last_order)
    _write_number(out, b'"frequency":', p.frequency)
    _write_number(out, b'"monetary":', p.monetary)
    _write_number(out, b'"rfm_scores":[', p.recency_score)
    _write_number(out, b"", p.frequency_score)
    write_decimal(out, p.monetary_score)
    _write_word(out, b'],"rfm_class":"', rfm_class(p))
    if p.gap_count:
        _write_number(out, b'"gap_count":', p.gap_count)
        _write_number(out, b'"gap_sum":', p.gap_sum)
        _write_number(out, b'"mean_gap_ms":', p.gap_sum // p.gap_count)


def _write_top(out: BytesWriter, name: bytes, counts: dict[str, int]) -> None:
    """The most counted keys; ties by key, so that equal counts give equal lists."""
    keys, numbers = _top(counts)
    out.write(name)
    for rank, key in enumerate(keys):
        out.write(b",[" if rank else b"[")
        out.write(orjson.dumps(key))
        out.write(b",")
        write_decimal(out, numbers[rank])
        out.write(b"]")
    out.write(b"],")


def _top(counts: dict[str, int]) -> tuple[list[str], list[int]]:
    keys: list[str] = []
    numbers: list[int] = []
    for key, n in counts.items():
        rank = len(keys)
        while rank > 0 and (n > numbers[rank - 1] or (n == numbers[rank - 1] and key < keys[rank - 1])):
            rank -= 1
        if rank < TOP:
            keys.insert(rank, key)
            numbers.insert(rank, n)
            if len(keys) > TOP:
                keys.pop()
                numbers.pop()
    return keys, numbers


def _write_top_hours(out: BytesWriter, hours: vec[i64]) -> None:
    """The hours with the most events, ties by the hour."""
    out.write(b'"top_hours":[')
    left = 0
    for _ in range(TOP):
        best = _busiest(hours, left)
        if best < 0:
            break
        if left:
            out.write(b",")
        left |= 1 << best
        out.write(_HOURS[best])
        write_decimal(out, hours[best])
        out.write(b"]")
    out.write(b"],")


def _busiest(hours: vec[i64], but: i64) -> i64:
    """The hour with the most events, leaving out those whose bit is set; -1 when no other has any."""
    best: i64 = -1
    most: i64 = 0
    for hour, events in enumerate(hours):
        if events > most and not but >> hour & 1:
            best, most = hour, events
    return best


def _texts(p: Profile) -> dict[str, Any]:
    """What holds texts of customers, or fractions."""
    seen: dict[str, Any] = {"segments": p.labels}
    for name, (_, value) in p.attributes.items():
        seen[name] = value
    if p.score is not None:
        seen["churn"] = _churn(p)
    return seen


def _churn(p: Profile) -> dict[str, Any]:
    assert p.score is not None
    return {
        "probability": p.score.probability,
        "model_version": p.score.model_version,
        "contributions": p.score.contributions,
    }
