"""Customers who behave at random: visits, orders, refunds, feedback, bursts, and records that come twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from schemas.topics import EVENT_NAMES
from tests.oracle.diary import DAY, HOUR, MINUTE, Diary, Draft, item

_HALF_HOUR: Final = 30 * MINUTE
_CATEGORIES: Final = ("shoes", "books", "garden", "toys", "music", "électronique", "食品")
_GAPS: Final = (0, 1, _HALF_HOUR - 1, _HALF_HOUR, _HALF_HOUR + 1, 5 * MINUTE, HOUR)


def live(diary: Diary, begin: int, end: int) -> None:
    """A customer's visits between two instants; few have many, many have few."""
    rng = diary.rng
    for _ in range(min(40, 1 + int(1.6 * rng.paretovariate(0.95)))):
        _VISITS[rng.choices(range(5), (50, 20, 14, 11, 5))[0]](diary, _instant(rng, begin, end))
    for draft in list(diary.drafts):
        _spoil(diary, draft)


def rich_hour(diary: Diary, until: int) -> None:
    """Every event name within the 50 minutes before an instant, the last event exactly at it."""
    rng = diary.rng
    names = [name for names in EVENT_NAMES.values() for name in names if not name.startswith("order_")]
    for name in names:
        time = until - rng.randrange(50 * MINUTE)
        diary.add(time, name, None, **_fields(rng, name))
    for score in (2, 5):
        diary.add(until - rng.randrange(40 * MINUTE), "survey_answered", survey="csat", score=score)
    for number in range(3):
        _order(diary, until - rng.randrange(1, 50 * MINUTE), f"{diary.customer}-rich-{until}-{number}")
    diary.refund(until - MINUTE, f"{diary.customer}-rich-{until}-0", 100, 0)
    diary.add(until, "page_viewed", 0)


def closed_visit(diary: Diary, until: int) -> None:
    """A bounce and a short visit that are both over, yet began within the hour before an instant."""
    first = until - 54 * MINUTE
    diary.add(first, "page_viewed", None)
    if diary.rng.random() < 0.5:
        diary.add(first + diary.rng.randrange(1, 20 * MINUTE), "product_viewed", None, category="shoes")


def _instant(rng: random.Random, begin: int, end: int) -> int:
    """Any ms, sometimes exactly on the edge of a bucket or the ms before it."""
    time = rng.randrange(begin, end)
    edge = rng.choice((5 * MINUTE, HOUR, DAY))
    return max(begin, time // edge * edge - rng.randrange(2)) if rng.random() < 0.2 else time


def _pause(rng: random.Random) -> int:
    return rng.choice(_GAPS) if rng.random() < 0.25 else int(rng.expovariate(1 / (2 * MINUTE)))


def _browse(diary: Diary, time: int) -> None:
    rng = diary.rng
    for _ in range(1 + min(12, int(rng.expovariate(1 / 4)))):
        name = rng.choice(EVENT_NAMES["clickstream"][:12]) if rng.random() < 0.8 else "product_viewed"
        diary.add(time, name, None, session_id="sdk", **_fields(rng, name))
        time += _pause(rng)
    if rng.random() < 0.35:
        _order(diary, time, f"{diary.customer}-{time}")
        _afterwards(diary, diary.drafts[-1])


def _use_app(diary: Diary, time: int) -> None:
    rng = diary.rng
    burst = rng.random() < 0.02
    for _ in range(80 if burst else 1 + rng.randrange(6)):
        name = rng.choice(EVENT_NAMES["app"])
        diary.add(time, name, None, **_fields(rng, name))
        time += rng.randrange(3) if burst else _pause(rng)


def _socialise(diary: Diary, time: int) -> None:
    for _ in range(1 + diary.rng.randrange(3)):
        name = diary.rng.choice(EVENT_NAMES["social"])
        diary.add(time, name, None, network="weibo", content_id="c1")
        time += _pause(diary.rng)


def _answer(diary: Diary, time: int) -> None:
    name = diary.rng.choice(EVENT_NAMES["feedback"])
    diary.add(time, name, None, **_fields(diary.rng, name))


def _identify(diary: Diary, time: int) -> None:
    name = diary.rng.choice(EVENT_NAMES["identity"])
    diary.add(time, name, None, **_fields(diary.rng, name))


_VISITS: Final[tuple[Callable[[Diary, int], None], ...]] = (_browse, _use_app, _socialise, _answer, _identify)


def _order(diary: Diary, time: int, order_id: str) -> None:
    rng = diary.rng
    items = [
        item(rng.choice((*_CATEGORIES, None)), 1 + rng.randrange(3), rng.randrange(10_000))
        for _ in range(rng.randrange(4))
    ]
    revenue = 0 if rng.random() < 0.03 else 1 + int(rng.expovariate(1 / 4_000))
    discount = rng.choice((0, 0, rng.randrange(1, 1_000)))
    cost = rng.choice((None, 0, revenue // 2, revenue + 100))
    channel = rng.choice(("web", "app", "store"))
    diary.order(time, order_id, revenue, discount=discount, cost=cost, items=items, channel=channel)


def _afterwards(diary: Diary, order: Draft) -> None:
    """What may happen to an order: refunds (also before it), a cancellation, the same order_id again."""
    rng, time, event = diary.rng, order.event["event_time"], order.event
    order_id, revenue = event["order_id"], event["revenue"]
    kind = rng.random()
    if kind < 0.10:
        diary.refund(time + rng.randrange(60 * DAY), order_id, revenue)
    elif kind < 0.20:
        for _ in range(1 + rng.randrange(3)):
            diary.refund(time + rng.randrange(-DAY, 30 * DAY), order_id, rng.randrange(revenue + 1))
    elif kind < 0.26:
        diary.cancel(time + rng.randrange(-HOUR, 10 * DAY), order_id)
    elif kind < 0.29:
        diary.refund(time + rng.randrange(10 * DAY), f"{order_id}-unknown", 500)
    elif kind < 0.34:
        diary.order(time + rng.randrange(10 * DAY), order_id, revenue, items=event["items"])
    elif kind < 0.39:
        _order(diary, time + rng.randrange(-DAY, 5 * DAY), order_id)
    elif kind < 0.44:
        _order(diary, time + DAY + rng.choice((-1, 0, 1)), f"{order_id}-next")


def _fields(rng: random.Random, name: str) -> dict[str, Any]:
    maker = _OWN_FIELDS.get(name)
    if maker is not None:
        return maker(rng)
    if name in EVENT_NAMES["clickstream"] and rng.random() < 0.5:
        return {"category": rng.choice(_CATEGORIES), "price": rng.randrange(10_000)}
    return {}


def _survey(rng: random.Random) -> dict[str, Any]:
    survey = rng.choice(("nps", "csat", "ces"))
    score = rng.randrange(11) if survey == "nps" else 1 + rng.randrange(5)
    return {"survey": survey, "score": score}


def _traits(rng: random.Random) -> dict[str, Any]:
    traits = {
        "age": 18 + rng.randrange(60),
        "gender": rng.choice(("f", "m", "x")),
        "occupation": rng.choice(("baker", "nurse", "Zimmerer")),
        "city": rng.choice(("Köln", "Lyon", "上海")),
        "country": rng.choice(("DE", "FR", "CN")),
    }
    return {name: value for name, value in traits.items() if rng.random() < 0.6}


_OWN_FIELDS: Final[dict[str, Callable[[random.Random], dict[str, Any]]]] = {
    "survey_answered": _survey,
    "identified": _traits,
    "traits_updated": _traits,
    "complaint_opened": lambda rng: {"reason": rng.choice(("price", "product", "service", "other"))},
}


def _spoil(diary: Diary, draft: Draft) -> None:
    """Some records are sent twice, some carry a clock that runs ahead."""
    kind = diary.rng.random()
    if kind < 0.02 and draft.delay < 6 * HOUR:
        diary.repeat(draft, diary.rng.choice((0, 0, -HOUR, HOUR, diary.rng.randrange(-HOUR, HOUR))))
    elif kind < 0.03:
        ahead = diary.rng.choice((1_000, 5 * MINUTE, 5 * MINUTE + 1, 3 * DAY))
        draft.event |= {"received_time": draft.event["event_time"], "event_time": draft.event["event_time"] + ahead}
