"""One customer's events as they happened, before anything decided in which order they arrive."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.topics import EVENT_NAMES

Event = dict[str, Any]

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

TOPIC_OF: Final = {name: topic for topic, names in EVENT_NAMES.items() for name in names}
_CHANNEL_OF: Final = {"clickstream": "web", "purchase": "web", "app": "app", "social": "social", "feedback": "service"}
_OWN: Final[dict[str, Event]] = {
    "purchase": {"currency": "USD", "revenue": 0, "discount": 0, "cost": None, "coupon": None, "items": []},
    "feedback": {"survey": None, "score": None, "reason": "other", "order_id": None},
}


@dataclass(slots=True)
class Draft:
    """An event and how long after its own time it arrives, ms."""

    topic: str
    event: Event
    delay: int


@dataclass(slots=True)
class Diary:
    """Collects the events of one customer; `delay` left out is drawn by `draw_delay`."""

    customer: str
    rng: random.Random
    drafts: list[Draft] = field(default_factory=list)

    def add(self, time: int, name: str, delay: int | None = None, **fields: Any) -> Draft:
        """Write down an event that happened at `time`; it is received when it arrives."""
        topic = TOPIC_OF[name]
        late = draw_delay(self.rng) if delay is None else delay
        event: Event = {
            "event_time": time,
            "received_time": time + late,
            "event_id": str(uuid.UUID(int=self.rng.getrandbits(128), version=4)),
            "customer_id": self.customer,
            "anonymous_id": None,
            "name": name,
            "session_id": None,
            "source": "seeded",
            "channel": _CHANNEL_OF.get(topic, "other"),
            "campaign": None,
            "properties": {},
        }
        draft = Draft(topic, event | _OWN.get(topic, {}) | fields, late)
        self.drafts.append(draft)
        return draft

    def order(self, time: int, order_id: str, revenue: int, delay: int | None = None, **fields: Any) -> Draft:
        """An order_completed of `revenue` cents."""
        return self.add(time, "order_completed", delay, order_id=order_id, revenue=revenue, **fields)

    def refund(self, time: int, order_id: str, amount: int, delay: int | None = None) -> Draft:
        """An order_refunded that gives back `amount` cents."""
        return self.add(time, "order_refunded", delay, order_id=order_id, revenue=amount)

    def cancel(self, time: int, order_id: str, delay: int | None = None) -> Draft:
        """An order_cancelled."""
        return self.add(time, "order_cancelled", delay, order_id=order_id)

    def repeat(self, draft: Draft, shift: int = 0) -> Draft:
        """The same event again under its own id, its times moved by `shift`, after the first has arrived."""
        time = effective_time(draft.event)
        event = draft.event | {"event_time": time + shift, "received_time": time + shift + draft.delay + MINUTE}
        copy = Draft(draft.topic, event, max(0, draft.delay - shift) + MINUTE)
        self.drafts.append(copy)
        return copy


def item(category: str | None, quantity: int = 1, price: int = 0) -> Event:
    """One line of an order."""
    return {"product_id": f"p-{category}", "category": category, "quantity": quantity, "price": price}


def effective_time(event: Event) -> int:
    """The event's time after the clamp: never later than it was received."""
    return min(int(event["event_time"]), int(event["received_time"]))


def draw_delay(rng: random.Random) -> int:
    """Mostly seconds, sometimes an hour, seldom up to 24 h: the whole width of the order law."""
    kind = rng.random()
    if kind < 0.8:
        return rng.randrange(5_000)
    if kind < 0.93:
        return rng.randrange(HOUR)
    return DAY if kind > 0.999 else rng.randrange(DAY)
