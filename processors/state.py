"""The stored form of a profile: MessagePack of one list, with a codec version first.

Kept is what cannot be computed again. Window totals, order facts and dimension labels are derived on loading: the
state of a customer stays small (it is written with every commit, read once while its owner lives).
"""

from __future__ import annotations

from itertools import accumulate
from sys import intern
from typing import Any, Final

import msgspec
from librt.strings import BytesWriter
from librt.vecs import vec
from mypy_extensions import i64

from processors.calendar import FIVE, HOUR, NEVER, Calendar
from processors.dimensions import Thresholds, refresh_activity, refresh_rfm
from processors.numbers import place, zeros
from processors.orders import refresh_orders
from processors.profile import (
    ROW_LIFE,
    WIDTH,
    Buckets,
    Order,
    Pending,
    Profile,
    Score,
    Session,
    WaitingRefund,
)
from processors.sessions import GAP
from processors.windows import rebuild_totals
from processors.writing import pack_float, pack_integer, pack_length, pack_part, pack_steps
from schemas.errors import CodecVersionError

CODEC_VERSION: Final = 2

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Any]).decode
_MAPS: Final[list[bytes]] = [msgspec.msgpack.encode(dict.fromkeys(range(n)))[: 1 if n < 16 else 3] for n in range(25)]
"""Headers of maps of so many members."""
_NONE: Final = b"\xc0"
_FALSE: Final = b"\xc2"
_TRUE: Final = b"\xc3"
_FIELDS: Final = 32


def encode_state(p: Profile) -> bytes:
    """The state as bytes; `decode_state` gives an equal profile back."""
    out = BytesWriter()
    pack_length(out, _FIELDS)
    pack_integer(out, CODEC_VERSION)
    pack_integer(out, p.as_of)
    pack_integer(out, p.due)
    pack_integer(out, p.seen_five)
    pack_integer(out, p.first_seen)
    pack_integer(out, p.last_seen)
    pack_integer(out, p.first_order)
    pack_integer(out, p.left_order)
    _pack_buckets(out, p.fives, 0)
    _pack_buckets(out, p.hours, p.hour << 6)
    _pack_buckets(out, p.days, p.day << 6)
    pack_length(out, WIDTH)
    pack_part(out, p.totals, ROW_LIFE, ROW_LIFE + WIDTH)
    _pack_orders(out, p)
    out.write(_encode([(w.digest, w.time, w.amount, w.cancels) for w in p.waiting]) if p.waiting else b"\x90")
    _pack_sessions(out, p.sessions)
    out.write(_encode([p.categories, p.channels])[1:])
    _pack_hours(out, p.hours_of_day)
    out.write(
        _encode((
            p.nps, p.nps_time, p.attributes, p.labels, p.entered, p.sequence, p.model_sequence, p.last_effective,
            p.snapshot_day,
        ))[1:]
    )  # fmt: skip
    _pack_pending(out, p.pending)
    out.write(_encode(_score(p.score)))
    return out.getvalue()


def decode_state(customer: str, version: int, state: bytes, calendar: Calendar, limits: Thresholds) -> Profile:
    """A profile from its stored state.

    Raises:
        CodecVersionError: they are one in a codec version this program does not know.
        Exception: these bytes are no state of any version; damaged ones raise whatever they lead to.

    """
    row = _decode(state)
    if row[0] != CODEC_VERSION:
        if type(row[0]) is not int:
            raise ValueError(f"the state of profile {customer!r} begins with no codec version")
        raise CodecVersionError(
            f"profile {customer!r} is stored in codec version {row[0]}, this program reads {CODEC_VERSION}: start the "
            "release that wrote it"
        )
    p = Profile(customer, version)
    (p.as_of, p.due, p.seen_five, p.first_seen, p.last_seen, p.first_order, p.left_order) = row[1:8]
    p.fives, p.hours, p.days = (_buckets(row[i], row[i + 1]) for i in (8, 10, 12))
    for measure, total in enumerate(row[14]):
        p.totals[ROW_LIFE + measure] = total
    p.orders = [Order(*o) for o in row[15]]
    p.order_of = {order.digest: order for order in p.orders}
    p.waiting = [WaitingRefund(*w) for w in row[16]]
    p.sessions = [Session(*s) for s in row[17]]
    p.categories, p.channels = ({intern(key): n for key, n in counts.items()} for counts in row[18:20])
    p.hours_of_day, p.nps, p.nps_time = _hours(row[20]), row[21], row[22]
    p.attributes = {intern(name): (time, intern(value)) for name, (time, value) in row[23].items()}
    p.labels = {intern(unit): intern(label) for unit, label in row[24].items()}
    p.entered, p.sequence, p.model_sequence, p.last_effective, p.snapshot_day = row[25:30]
    p.pending = _pending(row[30])
    p.score = Score(row[31][0], row[31][1], [(n, v) for n, v in row[31][2]], row[31][3]) if row[31] else None
    _derive(p, calendar, limits)
    return p


def _pending(row: list[Any] | None) -> Pending | None:
    """Each argument by itself: a `vec` beside a starred one is never freed (mypyc 2.4)."""
    if not row:
        return None
    time, features, rule_probability, probability, model_version = row
    return Pending(time, vec[float](features), rule_probability, probability, model_version)


def due_of(state: bytes) -> int:
    """When a stored profile is to be woken (ms, NEVER for never), without decoding all of it."""
    due: int = _decode(state)[2]
    return due


def _buckets(steps: list[int], values: list[int]) -> Buckets:
    return Buckets.of(vec[i64](accumulate(steps)), vec[i64](values))


def _pack_buckets(out: BytesWriter, b: Buckets, open_key: i64) -> None:
    """Steps of the keys, then values; those below `open_key` are packed once and kept until one of them changes."""
    _close(b, place(b.keys, open_key, b.packed))
    length: i64 = len(b.keys)
    pack_length(out, length)
    out.write(b.packed_keys)
    pack_steps(out, b.keys, b.packed, length)
    pack_length(out, length)
    out.write(b.packed_values)
    pack_part(out, b.values, b.packed, length)


def _close(b: Buckets, closed: i64) -> None:
    """Pack what is not packed yet of the first `closed` buckets."""
    if not b.packed:
        b.packed_keys = b.packed_values = b""
    if closed > b.packed:
        keys, values = BytesWriter(), BytesWriter()
        pack_steps(keys, b.keys, b.packed, closed)
        pack_part(values, b.values, b.packed, closed)
        b.packed_keys += keys.getvalue()
        b.packed_values += values.getvalue()
        b.packed = closed


def _derive(p: Profile, calendar: Calendar, limits: Thresholds) -> None:
    p.five, p.hour, p.day = p.as_of // FIVE, p.as_of // HOUR, calendar.day(p.as_of)
    p.day_start = calendar.start(p.day)
    rebuild_totals(p)
    p.session_due = min((s.end + GAP + 1 for s in p.sessions if not s.closed), default=NEVER)
    refresh_orders(p)
    refresh_rfm(p, limits)
    refresh_activity(p, limits)


def _pack_orders(out: BytesWriter, p: Profile) -> None:
    """The list of orders."""
    length: i64 = len(p.orders)
    if p.packed < length:
        further = BytesWriter()
        for order in p.orders[p.packed :]:
            _pack_order(further, order)
        p.packed_orders = (p.packed_orders if p.packed else b"") + further.getvalue()
        p.packed = length
    pack_length(out, length)
    if length > 0:
        out.write(p.packed_orders)


def _pack_order(out: BytesWriter, o: Order) -> None:
    pack_length(out, 9)
    pack_integer(out, o.digest)
    pack_integer(out, o.time)
    pack_integer(out, o.revenue)
    pack_integer(out, o.discount)
    pack_integer(out, o.items)
    pack_integer(out, o.cost)
    pack_integer(out, o.refunded)
    pack_integer(out, o.refunds)
    out.write(_TRUE if o.cancelled else _FALSE)


def _pack_sessions(out: BytesWriter, sessions: list[Session]) -> None:
    """The list of sessions."""
    pack_length(out, len(sessions))
    for session in sessions:
        pack_length(out, 4)
        pack_integer(out, session.start)
        pack_integer(out, session.end)
        pack_integer(out, session.events)
        out.write(_TRUE if session.closed else _FALSE)


def _pack_hours(out: BytesWriter, hours: vec[i64]) -> None:
    """A map: hour of the day -> events, without those that have none."""
    held: i64 = 0
    for events in hours:
        held += events != 0
    out.write(_MAPS[held])
    for hour, events in enumerate(hours):
        if events != 0:
            pack_integer(out, hour)
            pack_integer(out, events)


def _hours(counts: dict[int, int]) -> vec[i64]:
    hours = zeros(24)
    for hour, events in counts.items():
        hours[hour] = events
    return hours


def _pack_pending(out: BytesWriter, pending: Pending | None) -> None:
    if pending is None:
        out.write(_NONE)
        return
    pack_length(out, 5)
    pack_integer(out, pending.time)
    if not pending.packed:
        pending.packed = _packed(pending.features)
    out.write(pending.packed)
    out.write(_encode((pending.rule_probability, pending.probability, pending.model_version))[1:])


def _packed(values: vec[float]) -> bytes:
    out = BytesWriter()
    pack_length(out, len(values))
    for value in values:
        pack_float(out, value)
    return out.getvalue()


def _score(score: Score | None) -> tuple[Any, ...] | None:
    return None if score is None else (score.probability, score.model_version, score.contributions, score.time)
