"""The histories by name, and histories of one's own, as time-ordered events.

CDNOW: 69 659 orders of 23 570 customers of a music shop, 1997-01-01 to 1998-06-30 (Fader and Hardie). A row has a
date and no time of day: its event_time is midnight UTC, rows of one day keep their order in the file.
ecom: 31 106 clicks of 600 shoppers, 2024-01-04 to 2024-06-29 (synthetic, from the authors of retentioneering).
Neither has event ids: they are uuid5 of file name and line number, so every reading gives the same ids.
Both ship with Footfall. A third, `completejourney`, comes from a package of its own: completejourney.py.
"""

from __future__ import annotations

import csv
import gzip
import heapq
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError
from schemas.topics import APP, CLICKSTREAM, EVENT_NAMES, FEEDBACK, PURCHASE
from streams.replay.completejourney import completejourney
from streams.replay.envelope import Event, TopicEvent, envelope
from streams.resources import resource

DAY: Final = 86_400_000
CDNOW_FILE: Final = "CDNOW_master.txt"
ECOM_FILE: Final = "ecom.csv.gz"
_DOUBLES: Final = frozenset({"lat", "lon", "sentiment"})

_ECOM: Final[dict[str, tuple[str, str, Event]]] = {
    "home": (CLICKSTREAM, "page_viewed", {"url": "home"}),
    "promo_page": (CLICKSTREAM, "page_viewed", {"url": "promo_page"}),
    "account_page": (CLICKSTREAM, "page_viewed", {"url": "account_page"}),
    "review_page": (CLICKSTREAM, "page_viewed", {"url": "review_page"}),
    "catalog": (CLICKSTREAM, "product_list_viewed", {}),
    "filter_results": (CLICKSTREAM, "product_list_viewed", {}),
    "product_view": (CLICKSTREAM, "product_viewed", {}),
    "search": (CLICKSTREAM, "product_searched", {}),
    "add_to_cart": (CLICKSTREAM, "product_added", {}),
    "cart": (CLICKSTREAM, "cart_viewed", {}),
    "wishlist_add": (CLICKSTREAM, "wishlist_added", {}),
    "compare": (APP, "feature_used", {"feature": "compare"}),
    "shipping_details": (CLICKSTREAM, "checkout_started", {}),
    "payment_details": (CLICKSTREAM, "payment_info_entered", {}),
    "purchase": (PURCHASE, "order_completed", {"currency": "USD", "revenue": 0, "discount": 0, "items": []}),
    "support_chat": (FEEDBACK, "support_contacted", {"reason": "service"}),
    "error_page": (CLICKSTREAM, "error_shown", {"kind": "error_page"}),
    "payment_error": (CLICKSTREAM, "error_shown", {"kind": "payment_error"}),
    "checkout_bug": (CLICKSTREAM, "error_shown", {"kind": "checkout_bug"}),
}


def cdnow(path: Path | None = None, *, shift_days: int = 0) -> Iterator[TopicEvent]:
    """The CDNOW orders in time order; `shift_days` moves all of them by whole days."""
    rows = [(_cdnow_day(fields[1]), line, fields) for line, fields in _cdnow_rows(path or _data(CDNOW_FILE))]
    rows.sort(key=lambda row: row[:2])
    for day, line, (customer, _, quantity, dollars) in rows:
        event = envelope(
            CDNOW_FILE, line, customer, time=day + shift_days * DAY, name="order_completed", channel="store"
        )
        revenue = _cents(dollars)
        price = revenue // int(quantity)  # of one piece, rounded down: the file has the total only
        items = [{"product_id": "cd", "category": None, "quantity": int(quantity), "price": price}]
        event |= {"order_id": f"cdnow-{line}", "currency": "USD", "revenue": revenue, "discount": 0, "items": items}
        yield PURCHASE, event


def ecom(path: Path | None = None) -> Iterator[TopicEvent]:
    """The ecom clickstream in time order: topics clickstream, app, purchase and feedback."""
    with gzip.open(path or _data(ECOM_FILE), "rt", encoding="utf-8", newline="") as file:
        rows = [(_ecom_time(row["timestamp"]), line, row) for line, row in enumerate(csv.DictReader(file), start=2)]
    rows.sort(key=lambda row: row[:2])
    for time, line, row in rows:
        yield _ecom_event(time, line, row)


def demo() -> Iterator[TopicEvent]:
    """Both at once: CDNOW moved by whole days to end on ecom's last day, topics merged by time."""
    clicks = list(ecom())
    last_order = max(_cdnow_day(fields[1]) for _, fields in _cdnow_rows(_data(CDNOW_FILE)))
    shift = clicks[-1][1]["event_time"] // DAY - last_order // DAY
    yield from heapq.merge(cdnow(shift_days=shift), clicks, key=lambda pair: pair[1]["event_time"])


def jsonl(path: Path) -> Iterator[TopicEvent]:
    """A history of one's own: one object a line, `{"topic": ..., "event": {...}}`, in the order to be sent.

    Raises ConfigurationError, naming file and line, for what is not such an object.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _jsonl_event(line, f"{path}:{number}")
    except OSError as error:
        raise ConfigurationError(f"The history {path} cannot be read: {error.strerror}.") from error


DATASETS: Final[dict[str, Callable[[], Iterator[TopicEvent]]]] = {
    "cdnow": cdnow,
    "ecom": ecom,
    "demo": demo,
    "completejourney": completejourney,
}


def dataset(name: str) -> Iterator[TopicEvent]:
    """The events of `cdnow`, `ecom`, `demo`, `completejourney` or of the .jsonl file at that path."""
    if name in DATASETS:
        return DATASETS[name]()
    if name.endswith(".jsonl"):
        return jsonl(Path(name))
    raise ConfigurationError(f"There is no history {name!r}: give {', '.join(DATASETS)} or the path of a .jsonl file.")


def _data(name: str) -> Path:
    return resource(f"data/{name}")


def _cdnow_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="ascii") as file:
        next(file)
        for line, text in enumerate(file, start=2):
            yield line, text.split()


@cache
def _cdnow_day(date: str) -> int:
    return _milliseconds(datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC))


def _ecom_time(timestamp: str) -> int:
    return _milliseconds(datetime.fromisoformat(timestamp).replace(tzinfo=UTC))


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp()) * 1000


@cache
def _cents(dollars: str) -> int:
    """Exactly: 11.77 is 1177, never a float's idea of it."""
    whole, _, cents = dollars.partition(".")
    if len(cents) != 2:
        raise ValueError(f"{dollars!r} is no amount of dollars and cents")
    return int(whole) * 100 + int(cents)


def _ecom_event(time: int, line: int, row: dict[str, str]) -> TopicEvent:
    topic, name, fields = _ECOM[row["event"]]
    channel = "service" if topic == FEEDBACK else "web"
    event = envelope(ECOM_FILE, line, row["user_id"], time=time, name=name, channel=channel)
    event["session_id"] = row["session_id"]
    event["campaign"] = {"source": row["acquisition_channel"], "medium": None, "name": None}
    own = dict(fields)
    kind = {"kind": own.pop("kind")} if "kind" in own else {}
    event["properties"] = kind | {
        "platform": row["platform"],
        "cohort": row["user_cohort"],
        "lifecycle": row["user_lifecycle"],
    }
    if topic == PURCHASE:
        own["order_id"] = f"ecom-{line}"
    return topic, event | own


def _jsonl_event(line: bytes, where: str) -> TopicEvent:
    try:
        record = json.loads(line.decode())
        topic, event = record["topic"], record["event"]
        known = topic in EVENT_NAMES and isinstance(event["event_time"], int) and isinstance(event["customer_id"], str)
        known = known and not _has_fraction(event)
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{where} is not UTF-8 (byte {error.start + 1} of the line): save the file as UTF-8."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        known = False
    if not known:
        raise ConfigurationError(
            f'{where} is no event: a line is {{"topic": one of {", ".join(EVENT_NAMES)}, "event": {{...}}}} '
            "with event_time in ms and customer_id, items as objects, and money in whole minor units."
        )
    return topic, event


def _has_fraction(event: Event) -> bool:
    """Whether a whole number has a fraction: encoding would cut it off without a word."""
    own = [value for name, value in event.items() if name not in _DOUBLES]
    lines = [value for line in event.get("items", ()) for value in line.values()]
    return any(isinstance(value, float) for value in own + lines)
