"""The stored form of a profile: MessagePack of one list, with a codec version first.

Kept is what cannot be computed again. Window totals, order facts and dimension labels are derived on loading: the
state of a customer stays small (it is written with every commit, read once while its owner lives).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import accumulate
from sys import intern
from typing import Any, Final

import msgspec

from processors.calendar import FIVE, HOUR, NEVER, Calendar
from processors.dimensions import Thresholds, refresh_activity, refresh_rfm
from processors.orders import refresh_orders
from processors.profile import (
    ROW_LIFE,
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
from schemas.errors import CodecVersionError

CODEC_VERSION: Final = 2

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Any]).decode


def encode_state(p: Profile) -> bytes:
    """The state as bytes; `decode_state` gives an equal profile back."""
    days, day_values = _packed_buckets(p.days, p.day << 6)
    hours, hour_values = _packed_buckets(p.hours, p.hour << 6)
    return _encode(
        [
            CODEC_VERSION, p.as_of, p.due, p.seen_five, p.first_seen, p.last_seen, p.first_order, p.left_order,
            _steps(p.fives.keys), p.fives.values, hours, hour_values,
            days, day_values,
            p.totals[ROW_LIFE:],
            _orders(p.orders),
            [(w.digest, w.time, w.amount, w.cancels) for w in p.waiting],
            _sessions(p.sessions),
            p.categories, p.channels, p.hours_of_day, p.nps, p.nps_time, p.attributes,
            p.labels, p.entered, p.sequence, p.model_sequence, p.last_effective, p.snapshot_day,
            _pending(p.pending), _score(p.score),
        ]
    )  # fmt: skip


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
    p.fives, p.hours, p.days = (Buckets(array("q", accumulate(row[i])), row[i + 1]) for i in (8, 10, 12))
    p.totals[ROW_LIFE:] = row[14]
    p.orders = [Order(*o) for o in row[15]]
    p.order_of = {order.digest: order for order in p.orders}
    p.waiting = [WaitingRefund(*w) for w in row[16]]
    p.sessions = [Session(*s) for s in row[17]]
    p.categories, p.channels = ({intern(key): n for key, n in counts.items()} for counts in row[18:20])
    p.hours_of_day, p.nps, p.nps_time = row[20:23]
    p.attributes = {intern(name): (time, intern(value)) for name, (time, value) in row[23].items()}
    p.labels = {intern(unit): intern(label) for unit, label in row[24].items()}
    p.entered, p.sequence, p.model_sequence, p.last_effective, p.snapshot_day = row[25:30]
    p.pending = Pending(*row[30]) if row[30] else None
    p.score = Score(row[31][0], row[31][1], [(n, v) for n, v in row[31][2]], row[31][3]) if row[31] else None
    _derive(p, calendar, limits)
    return p


def due_of(state: bytes) -> int:
    """When a stored profile is to be woken (ms, NEVER for never), without decoding all of it."""
    due: int = _decode(state)[2]
    return due


def _packed_buckets(b: Buckets, open_key: int) -> tuple[msgspec.Raw, msgspec.Raw]:
    """Steps of the keys, and values; those below `open_key` are packed once and kept until one of them changes."""
    if not b.packed:
        b.packed_keys = b.packed_values = b""
    closed = bisect_left(b.keys, open_key, b.packed)
    if closed > b.packed:
        keys, values = _packed_part(b, b.packed, closed)
        b.packed_keys += keys
        b.packed_values += values
        b.packed = closed
    keys, values = _packed_part(b, closed, len(b.keys))
    header = _array_header(len(b.keys))
    return msgspec.Raw(header + b.packed_keys + keys), msgspec.Raw(header + b.packed_values + values)


def _packed_part(b: Buckets, first: int, after: int) -> tuple[bytes, bytes]:
    before = b.keys[first - 1] if first else 0
    return _items(_steps(b.keys[first:after], before)), _items(b.values[first:after])


def _items(numbers: list[int]) -> bytes:
    """What MessagePack writes of a list, without its header."""
    return _encode(numbers)[len(_array_header(len(numbers))) :]


def _steps(keys: array[int], before: int = 0) -> list[int]:
    """Each of sorted keys as its distance to the one before: a byte or two instead of five."""
    steps: list[int] = []
    for key in keys:
        steps.append(key - before)
        before = key
    return steps


def _derive(p: Profile, calendar: Calendar, limits: Thresholds) -> None:
    p.five, p.hour, p.day = p.as_of // FIVE, p.as_of // HOUR, calendar.day(p.as_of)
    p.day_start = calendar.start(p.day)
    rebuild_totals(p)
    p.session_due = min((s.end + GAP + 1 for s in p.sessions if not s.closed), default=NEVER)
    refresh_orders(p)
    refresh_rfm(p, limits)
    refresh_activity(p, limits)


def _orders(orders: list[Order]) -> msgspec.Raw:
    """The list of orders; each is packed once, since a busy customer has thousands and every commit holds all."""
    return msgspec.Raw(_array_header(len(orders)) + b"".join([o.packed or _packed(o) for o in orders]))


def _sessions(sessions: list[Session]) -> msgspec.Raw:
    """The list of sessions; those that are over are packed once."""
    return msgspec.Raw(_array_header(len(sessions)) + b"".join([s.packed or _packed_session(s) for s in sessions]))


def _packed_session(s: Session) -> bytes:
    packed = _encode((s.start, s.end, s.events, s.closed))
    if s.closed:
        s.packed = packed
    return packed


def _packed(o: Order) -> bytes:
    o.packed = _encode((o.digest, o.time, o.revenue, o.discount, o.items, o.cost, o.refunded, o.refunds, o.cancelled))
    return o.packed


def _array_header(length: int) -> bytes:
    """MessagePack's, for so many items."""
    if length < 16:
        return bytes((0x90 | length,))
    return b"\xdc" + length.to_bytes(2, "big") if length < 1 << 16 else b"\xdd" + length.to_bytes(4, "big")


def _pending(pending: Pending | None) -> tuple[Any, ...] | None:
    if pending is None:
        return None
    return pending.time, pending.features, pending.rule_probability, pending.probability, pending.model_version


def _score(score: Score | None) -> tuple[Any, ...] | None:
    return None if score is None else (score.probability, score.model_version, score.contributions, score.time)
