"""One event as the fold takes it: times, name, and the few own fields a rule needs. Made from columns, in bulk."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from mypy_extensions import mypyc_attr

from schemas.events import EventBatch
from schemas.topics import APP, CLICKSTREAM, FEEDBACK, IDENTITY, PURCHASE

ATTRIBUTE_NAMES: Final = ("age", "gender", "occupation", "city", "country")
"""What an identity event may say of a customer (domain definitions, topic identity)."""

NO_ORDER: Final = -1


@mypyc_attr(acyclic=True)
@dataclass(slots=True, init=False)
class Event:
    """One event of one customer. Times in ms, UTC. Its `__init__` is written out for speed, see profile.py."""

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

    def __init__(  # noqa: PLR0917  a row of the columns
        self, customer_id: str, time: int, at: int, name: str, channel: str, detail: Any,
        event_id: str, origin: str, offset: int, checksum: int, visit: bool,  # noqa: FBT001
    ) -> None:  # fmt: skip
        self.customer_id, self.time, self.at, self.name, self.channel = customer_id, time, at, name, channel
        self.detail, self.event_id, self.origin, self.offset = detail, event_id, origin, offset
        self.checksum, self.visit = checksum, visit


@mypyc_attr(acyclic=True)
@dataclass(slots=True, init=False)
class OrderDetail:
    """Own fields of a purchase event; money in minor units of the base currency, `cost` -1 when unknown.

    `digest` is `NO_ORDER` for a refund or cancellation that names no order: it meets none.
    """

    digest: int
    revenue: int
    discount: int
    items: int
    cost: int
    categories: list[str]

    def __init__(  # noqa: PLR0917  a row of the columns
        self, digest: int, revenue: int, discount: int, items: int, cost: int, categories: list[str]
    ) -> None:
        self.digest, self.revenue, self.discount = digest, revenue, discount
        self.items, self.cost, self.categories = items, cost, categories


def events_of(batch: EventBatch, origin: str, *, wall_clock: bool) -> list[Event]:
    """The events of a batch in log order."""
    customers, names, channels, details = batch.customer_id, batch.name, batch.column("channel"), _details(batch)
    times, ids, offsets, checksums = batch.event_time, batch.event_id, batch.offsets, batch.checksums
    ats = list(map(max, times, batch.append_times)) if wall_clock else times
    visit = batch.topic in (CLICKSTREAM, APP)
    return [
        Event(
            customers[i], times[i], ats[i], names[i], channels[i], details[i], ids[i], origin, offsets[i], checksums[i],
            visit,
        )
        for i in range(len(customers))
    ]  # fmt: skip


def order_digest(order_id: str) -> int:
    """48 bits of an order id: enough for one customer's orders of a year, small in the state."""
    return int.from_bytes(blake2b(order_id.encode(), digest_size=6).digest())


def _details(batch: EventBatch) -> list[Any]:
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
