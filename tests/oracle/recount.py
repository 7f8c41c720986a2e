"""Counts every measure of docs/definitions.md again, from the raw records, in SQL (recount.sql, run by DuckDB).

It shares no code with `processors/`: what both compute equally was understood equally from the definitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

Event = dict[str, Any]
Counts = dict[str, Any]
"""Name -> value of one customer. `<measure>_<window>` for every measure and window, zeros included; F, M, R;
`first_seen`, `last_seen`, `first_order`, `last_order` in ms; `gap_count`, `gap_sum`; `last_nps`; `complaints_open`;
`age`, `gender`, `occupation`, `city`, `country`; and as mappings key -> count `channels`, `hours` (keys "0" to
"23") and `categories`, of which `top_<list>` holds the five most counted as [key, count]; and `<quotient>_<window>`.
What a customer does not have is None; a list with more than 64 keys is None, too, and has no `top_<list>`."""

MEASURES: Final = (
    "active_days", "page_views", "product_views", "searches", "cart_adds", "checkouts",
    "orders", "revenue", "refunds", "discount", "discounted_orders", "profit", "items",
    "app_opens", "feature_uses", "scan_pays", "social_actions", "shares", "referrals_sent", "referrals_converted",
    "feedback_answers", "csat_sum", "csat_answers", "csat_top2", "complaints_opened", "complaints_resolved",
    "support_contacts", "returns", "sessions", "sessions_closed", "session_ms", "session_events", "bounces",
)  # fmt: skip
WINDOWS: Final = ("1h", "24h", "7d", "30d", "90d", "lifetime")
NAMES: Final = tuple(f"{measure}_{window}" for measure in MEASURES for window in WINDOWS)
LISTS: Final = ("channels", "hours", "categories")
TOPS: Final = tuple(f"top_{name}" for name in LISTS)
_QUOTIENTS: Final = {
    "discounted_share": ("discounted_orders", "orders"),
    "bounce_share": ("bounces", "sessions_closed"),
    "mean_session_ms": ("session_ms", "sessions_closed"),
    "mean_session_depth": ("session_events", "sessions_closed"),
    "csat_mean": ("csat_sum", "csat_answers"),
    "csat_top2_share": ("csat_top2", "csat_answers"),
}
"""What is derived when it is read: one measure divided by another, 0 where the other is 0."""
QUOTIENTS: Final = tuple(f"{name}_{window}" for name in _QUOTIENTS for window in WINDOWS)

_HOUR: Final = 3_600_000
_MAX_KEYS: Final = 64
_SQL: Final = Path(__file__).with_name("recount.sql").read_text(encoding="utf-8")
_SCHEMA: Final = pa.schema(
    [(name, pa.int64()) for name in ("arrival", "et", "day", "hour_day", "clock_hour")]
    + [(name, pa.string()) for name in ("topic", "customer", "id", "name", "channel", "category", "order_id", "survey")]
    + [(name, pa.int64()) for name in ("revenue", "discount", "cost", "items", "score", "age")]
    + [(name, pa.string()) for name in ("gender", "occupation", "city", "country")]
)
_SAME_NAME: Final = ("name", "channel", "category", "order_id", "survey", "revenue", "discount", "cost", "score",
                     "age", "gender", "occupation", "city", "country")  # fmt: skip


def recount(records: Iterable[tuple[int, str, Event]], t: int, *, zone: str = "UTC") -> dict[str, Counts]:
    """Every customer's counts at instant `t` (ms), from all records (arrival index, topic, event) a profile applied.

    The records are in log order by their arrival index; none may lie after `t`, for then the profile's instant
    would be that record's: `History.until(t)` leaves those out.
    """
    rows = [_row(record, zone) for record in records]
    if any(row["et"] > t for row in rows):
        raise ValueError("a record after t: the profile would be at that record's time")
    lines = [line for row in rows for line in row.pop("lines")]
    with duckdb.connect() as database:
        database.execute("SET threads = 2")
        database.register("record", pa.Table.from_pylist(rows, schema=_SCHEMA))
        database.register("line", pa.Table.from_pylist(lines, schema=pa.schema(_LINE)))
        database.execute(f"SET VARIABLE t = {int(t)}::BIGINT; SET VARIABLE today = {_local(t, zone)[0]}::BIGINT;")
        database.execute(_SQL)
        return _gather(database)


_LINE: Final = [("arrival", pa.int64()), ("category", pa.string())]


def _row(record: tuple[int, str, Event], zone: str) -> dict[str, Any]:
    arrival, topic, event = record
    time = min(event["event_time"], event["received_time"])
    day, clock_hour = _local(time, zone)
    items: Sequence[Event] = event.get("items") or ()
    own = {name: event.get(name) for name in _SAME_NAME}
    own |= {"arrival": arrival, "topic": topic, "customer": event["customer_id"], "id": event["event_id"]}
    own |= {"et": time, "day": day, "clock_hour": clock_hour, "hour_day": _local(time // _HOUR * _HOUR, zone)[0]}
    own["items"] = sum(item["quantity"] for item in items)
    own["lines"] = [{"arrival": arrival, "category": item.get("category")} for item in items]
    return own


def _local(time: int, zone: str) -> tuple[int, int]:
    """Day (days since 1970-01-01 on the zone's calendar) and hour of the day of an instant."""
    if zone == "UTC":
        return time // (24 * _HOUR), time // _HOUR % 24
    return _local_quarter(time // (_HOUR // 4), zone)


@lru_cache(maxsize=1 << 18)
def _local_quarter(quarter: int, zone: str) -> tuple[int, int]:
    """Offsets of zones change, and differ, by quarters of an hour: instants of one quarter share day and hour."""
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=15 * quarter)
    local = instant.astimezone(ZoneInfo(zone))
    return local.toordinal() - datetime(1970, 1, 1, tzinfo=UTC).toordinal(), local.hour


def _gather(database: duckdb.DuckDBPyConnection) -> dict[str, Counts]:
    points = database.execute("SELECT * FROM pointed")
    names = [column[0] for column in points.description or ()]
    zeros = dict.fromkeys(NAMES, 0)
    customers: dict[str, Counts] = {}
    for row in points.fetchall():
        point = dict(zip(names, row, strict=True))
        customer = point.pop("customer")
        customers[customer] = zeros | point | {name: {} for name in LISTS}
    for customer, name, amount in database.execute("SELECT customer, name, amount FROM measured").fetchall():
        customers[customer][name] = amount
    for customer, name, key, count in database.execute("SELECT customer, list, key, n FROM tallied").fetchall():
        customers[customer][name][key] = count
    for counts in customers.values():
        counts.update({name: None for name in LISTS if len(counts[name]) > _MAX_KEYS})
        for name in LISTS:
            if counts[name] is not None:
                counts[f"top_{name}"] = _top(counts[name], int if name == "hours" else str)
        counts.update(_quotients(counts))
    return customers


def _quotients(counts: Counts) -> Counts:
    found: Counts = {}
    for name, (part, whole) in _QUOTIENTS.items():
        for window in WINDOWS:
            divisor = counts[f"{whole}_{window}"]
            found[f"{name}_{window}"] = counts[f"{part}_{window}"] / divisor if divisor else 0
    return found


def _top(counts: dict[str, int], key: Callable[[str], Any]) -> list[list[Any]]:
    """The five most counted; of equal counts the one with the lesser key comes first."""
    return [[name, counts[name]] for name in sorted(counts, key=lambda name: (-counts[name], key(name)))[:5]]
