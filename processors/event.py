"""One event as the fold takes it: times, name, and the few own fields a rule needs. Made from columns, in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from itertools import repeat
from typing import Any, Final

import msgspec

from schemas.events import EventBatch
from schemas.topics import APP, CLICKSTREAM, FEEDBACK, IDENTITY, PURCHASE

ATTRIBUTE_NAMES: Final = ("age", "gender", "occupation", "city", "country")
"""What an identity event may say of a customer (domain definitions, topic identity)."""

NO_ORDER: Final = -1


class Event(msgspec.Struct, gc=False):
    """One event of one customer. Times in ms, UTC."""

    customer_id: str
    time: int
    """When it happened (event_time, clamped)."""
    at: int
    """The instant the profile is advanced to first: event_time on the event clock, else the append time."""
    name: str
    channel: str
    detail: Any
    """By topic: category (clickstream), `OrderDetail` (purchase), (survey, score) (feedback), attributes (identity)."""
    event_id: str
    origin: str
    """`<topic-id>:<partition>`: with the offset, what deterministic ids are made of."""
    offset: int
    checksum: int
    """Of the payload without its times: tells a retry from another event under the same id."""
    visit: bool
    """Clickstream and app events make sessions."""


class OrderDetail(msgspec.Struct, gc=False):
    """Own fields of a purchase event; money in minor units of the base currency, `cost` -1 when unknown.

    `digest` is `NO_ORDER` for a refund or cancellation that names no order: it meets none.
    """

    digest: int
    revenue: int
    discount: int
    items: int
    cost: int
    categories: list[str]


def events_of(batch: EventBatch, origin: str, *, wall_clock: bool) -> list[Event]:
    """The events of a batch in log order."""
    times = batch.event_time
    ats = list(map(max, times, batch.append_times)) if wall_clock else times
    n = len(batch)
    visits = batch.topic in (CLICKSTREAM, APP)
    return list(
        map(
            Event,
            batch.customer_id, times, ats, batch.name, batch.column("channel"), _details(batch),
            batch.event_id, repeat(origin, n), batch.offsets, batch.checksums, repeat(visits, n),
        )
    )  # fmt: skip


def order_digest(order_id: str) -> int:
    """48 bits of an order id: enough for one customer's orders of a year, small in the state."""
    return int.from_bytes(blake2b(order_id.encode(), digest_size=6).digest())


def _details(batch: EventBatch) -> Sequence[Any]:
    if batch.topic == CLICKSTREAM:
        return batch.column("category")
    if batch.topic == PURCHASE:
        return _orders(batch)
    if batch.topic == FEEDBACK:
        return list(zip(batch.column("survey"), batch.column("score"), strict=True))
    if batch.topic == IDENTITY:
        columns = [batch.column(name) for name in ATTRIBUTE_NAMES]
        return [_attributes(row) for row in zip(*columns, strict=True)]
    return [None] * len(batch)


def _orders(batch: EventBatch) -> list[OrderDetail]:
    return [
        OrderDetail(
            digest=NO_ORDER if order_id is None else order_digest(order_id),
            revenue=revenue,
            discount=discount or 0,
            items=sum(item["quantity"] for item in items),
            cost=-1 if cost is None else cost,
            categories=[item["category"] for item in items if item["category"]],
        )
        for order_id, revenue, discount, cost, items in zip(
            *map(batch.column, ("order_id", "revenue", "discount", "cost", "items")), strict=True
        )
    ]


def _attributes(row: tuple[Any, ...]) -> dict[str, str]:
    return {name: str(value) for name, value in zip(ATTRIBUTE_NAMES, row, strict=True) if value is not None}
