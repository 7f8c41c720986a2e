"""A seeded load over the six input topics: framed Avro records, made at 280 000 events/s on one busy core.

A record is a prefix (header, times, ids; fixed width, made for a whole batch in numpy) and a tail (name, properties,
own fields), one of a pool that fastavro encoded beforehand. So a load is as large as a real one and costs next to
nothing, and the same seed gives the same load again: `events_of` regenerates it for the recount.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.sizes import USUAL, resized
from schemas.codec import HEADER_BYTES, decode_body, encode_body, framed, schema_of
from schemas.partitioning import partition_of
from schemas.topics import APP, CLICKSTREAM, EVENT_NAMES, FEEDBACK, IDENTITY, INPUT_TOPICS, PURCHASE, SOCIAL

Bytes = npt.NDArray[np.uint8]
Longs = npt.NDArray[np.int64]
Record = tuple[str, int, bytes, bytes]
"""Topic, partition, key, value: ready for a producer."""

MIX: Final[Mapping[str, float]] = {
    CLICKSTREAM: 0.62, APP: 0.20, PURCHASE: 0.05, SOCIAL: 0.05, FEEDBACK: 0.03, IDENTITY: 0.05,
}  # fmt: skip
_POOL: Final = 1_500
_TIME_BYTES: Final = 6  # an Avro long of any ms between 2004 and 2039
_ID_BYTES: Final = 36
_CUSTOMER_BYTES: Final = 8
_ORDER: Final = "order-0000000000"
_EVENT_AT: Final = HEADER_BYTES + 2 * _TIME_BYTES + 1
_CUSTOMER_AT: Final = _EVENT_AT + _ID_BYTES + 1
_WIDTH: Final = _CUSTOMER_AT + _CUSTOMER_BYTES
_HEX: Final = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], dtype=np.uint8)
_DASHES: Final = (8, 13, 18, 23)
_ID_COLUMNS: Final = np.array([column for column in range(_ID_BYTES) if column not in _DASHES])


@dataclass(frozen=True, slots=True)
class Load:
    """What to generate. `rate` is events per simulated second, `start` the first event's time, ms.

    `exponent` is Zipf's: 0 spreads the events evenly over the customers, 1 gives the first of 100 000 every twelfth.
    A share `duplicates` of the records is sent again within the last thousand, `late` is up to `late_ms` late.
    A share `hot` of the events is the first customer's, whatever the exponent says of it; 0 leaves it to the exponent.
    """

    seed: int = 1
    customers: int = 100_000
    rate: float = 50_000.0
    start: int = 1_735_689_600_000  # 2025-01-01
    exponent: float = 1.0
    duplicates: float = 0.01
    late: float = 0.02
    late_ms: int = 300_000
    mix: Mapping[str, float] = field(default_factory=lambda: MIX)
    purchases: tuple[int, int, int] = (90, 8, 2)
    """Of a hundred: orders, refunds, cancellations."""
    hot: float = 0.0
    size: str = USUAL
    """Of the events: small, usual or large (`sizes.py`)."""


class _Tail(NamedTuple):
    """The end of a record; a purchase's order_id is put between the two parts."""

    name: str
    before: bytes
    after: bytes


class Generator:
    """The records of a load, batch after batch. `schema_ids`: topic -> registered id, `partitions`: of each topic."""

    def __init__(self, load: Load, schema_ids: Mapping[str, int], partitions: int) -> None:
        self.load = load
        self.made = 0
        """Records made so far."""
        self._arguments = (load, schema_ids, partitions)
        self._headers = np.array([list(framed(schema_ids[topic], b"")) for topic in INPUT_TOPICS], dtype=np.uint8)
        self._tails = [_pool(topic, load.seed, load.purchases, load.size) for topic in INPUT_TOPICS]
        self._shares = np.cumsum([load.mix.get(topic, 0.0) for topic in INPUT_TOPICS])
        self._weights = _weights(load)
        names = [customer_name(number) for number in range(load.customers)]
        self._names = np.frombuffer("".join(names).encode(), np.uint8).reshape(-1, _CUSTOMER_BYTES)
        self._partitions = [partition_of(name, partitions) for name in names]
        self._orders: dict[int, str] = {}

    def batch(self, n: int) -> list[Record]:
        """The next `n` records in order of arrival."""
        rng = np.random.default_rng((self.load.seed, self.made))
        topics = np.minimum(np.searchsorted(self._shares, rng.random(n) * self._shares[-1], "right"), 5)
        customers = np.searchsorted(self._weights, rng.random(n) * self._weights[-1], "right")
        tails = rng.integers(0, _POOL, n)
        ids = rng.integers(0, 256, (n, 16), dtype=np.uint8)
        received = self.load.start + ((self.made + np.arange(n)) * (1000.0 / self.load.rate)).astype(np.int64)
        times = received - np.where(rng.random(n) < self.load.late, rng.integers(0, self.load.late_ms + 1, n), 0)
        source = _copied(rng, n, self.load.duplicates)
        rows = self._prefixes(topics[source], customers[source], ids[source], times[source], received)
        tails[:] = tails[source]
        records = self._join(rows, topics[source].tolist(), customers[source].tolist(), tails.tolist(), source.tolist())
        self.made += n
        return records

    def event(self, record: Record) -> dict[str, Any]:
        """The record's event under its Avro field names."""
        return decode_body(schema_of(record[0]), record[3][HEADER_BYTES:])

    def events_of(self, customers: Collection[str], sizes: Collection[int]) -> list[tuple[int, str, dict[str, Any]]]:
        """The events of some customers as (arrival, topic, event), from the batches of these sizes made again."""
        again = Generator(*self._arguments)
        keys = {customer.encode() for customer in customers}
        found = []
        for size in sizes:
            first = again.made
            chosen = [(first + i, record) for i, record in enumerate(again.batch(size)) if record[2] in keys]
            found += [(arrival, record[0], self.event(record)) for arrival, record in chosen]
        return found

    def _prefixes(self, topics: Longs, customers: Longs, ids: Bytes, times: Longs, received: Longs) -> bytes:
        """Header, times, event id and customer id of every record, `_WIDTH` bytes each."""
        rows = np.empty((len(topics), _WIDTH), dtype=np.uint8)
        rows[:, :HEADER_BYTES] = self._headers[topics]
        rows[:, HEADER_BYTES : HEADER_BYTES + _TIME_BYTES] = _varints(times)
        rows[:, HEADER_BYTES + _TIME_BYTES : _EVENT_AT - 1] = _varints(received)
        rows[:, _EVENT_AT - 1] = 2 * _ID_BYTES
        rows[:, _EVENT_AT + _ID_COLUMNS] = _HEX[ids].reshape(-1, 32)
        rows[:, [_EVENT_AT + dash for dash in _DASHES]] = ord("-")
        rows[:, _CUSTOMER_AT - 1] = 2 * _CUSTOMER_BYTES
        rows[:, _CUSTOMER_AT:] = self._names[customers]
        return rows.tobytes()

    def _join(
        self, rows: bytes, topics: list[int], customers: list[int], tails: list[int], source: list[int]
    ) -> list[Record]:
        records: list[Record] = []
        pools, partitions, purchase = self._tails, self._partitions, INPUT_TOPICS.index(PURCHASE)
        for i, (topic, customer, tail) in enumerate(zip(topics, customers, tails, strict=True)):
            prefix = rows[i * _WIDTH : (i + 1) * _WIDTH]
            chosen = pools[topic][tail]
            if topic != purchase:
                value = prefix + chosen.before
            elif source[i] == i:
                value = b"".join((prefix, chosen.before, self._order_id(customer, chosen.name, i), chosen.after))
            else:
                value = prefix + records[source[i]][3][_WIDTH:]  # the order it had when it was sent first
            records.append((INPUT_TOPICS[topic], partitions[customer], prefix[_CUSTOMER_AT:], value))
        return records

    def _order_id(self, customer: int, name: str, place: int) -> bytes:
        """A new one for an order; a refund or cancellation means the customer's last."""
        if name == "order_completed" or customer not in self._orders:
            self._orders[customer] = f"order-{self.made + place:010d}"
        return self._orders[customer].encode()


def batches(events: int, most: int) -> list[int]:
    """The sizes of batches that so many events come in."""
    return [min(most, events - made) for made in range(0, events, most)]


def customer_name(number: int) -> str:
    """The customer id of rank `number`, 0 being the one with the most events."""
    return f"u{number:07d}"


def readdressed(record: Record, customer: str, partitions: int) -> Record:
    """The same event as one of another customer, whose id has as many bytes."""
    topic, _, _, value = record
    key = customer.encode()
    assert len(key) == _CUSTOMER_BYTES, customer
    return topic, partition_of(customer, partitions), key, renamed(value, key)


def sharer_of(key: bytes, customers: int) -> bytes:
    """The customer whose events another one has, too, where a load is for fewer `customers` than there are."""
    return customer_name(int(key[1:]) % customers).encode()


def renamed(value: bytes, key: bytes) -> bytes:
    """A record's value as another customer's."""
    return value[:_CUSTOMER_AT] + key + value[_WIDTH:]


def _weights(load: Load) -> npt.NDArray[np.float64]:
    """Each customer's share of the events, not normed, cumulated."""
    weights = 1.0 / np.arange(1, load.customers + 1) ** load.exponent
    if load.hot:
        weights[0] = weights[1:].sum() * load.hot / (1 - load.hot)
    return np.cumsum(weights)


def _copied(rng: np.random.Generator, n: int, share: float) -> Longs:
    """For every record the one it repeats: mostly itself, for a duplicate one of the thousand before it."""
    source = np.arange(n)
    earlier = source - rng.integers(1, 1_001, n)
    copies = (rng.random(n) < share) & (earlier >= 0)
    copies &= ~copies[np.maximum(earlier, 0)]  # never a copy of a copy
    return np.where(copies, earlier, source)


def _varints(times: Longs) -> Bytes:
    """Avro longs of six bytes."""
    zigzag = times[:, None] << 1
    digits = (zigzag >> (7 * np.arange(_TIME_BYTES))) & 0x7F
    digits[:, :-1] |= 0x80
    return digits.astype(np.uint8)


@cache
def _pool(topic: str, seed: int, purchases: tuple[int, int, int], size: str) -> list[_Tail]:
    rng = random.Random(f"{seed}-{topic}")
    schema = schema_of(topic)
    start: dict[str, Any] = {
        "event_time": 1_700_000_000_000,
        "received_time": 1_700_000_000_000,
        "event_id": "0" * _ID_BYTES,
    }
    tails = []
    for _ in range(_POOL):
        event = start | {"customer_id": "0" * _CUSTOMER_BYTES} | resized(_tail_event(topic, rng, purchases), size)
        body = encode_body(schema, event)[_WIDTH - HEADER_BYTES :]
        before, order, after = body.partition(_ORDER.encode())
        tails.append(_Tail(event["name"], before, after if order else b""))
    return tails


def _tail_event(topic: str, rng: random.Random, purchases: tuple[int, int, int]) -> dict[str, Any]:
    """Everything of an event but times and ids, 100 to 300 bytes."""
    names = EVENT_NAMES[topic]
    weights = purchases if topic == PURCHASE else [max(1, 12 - 2 * place) for place in range(len(names))]
    campaign = {"source": "newsletter", "medium": "email", "name": f"week-{rng.randrange(52)}"}
    return {
        "anonymous_id": f"anon-{rng.getrandbits(64):016x}" if rng.random() < 0.5 else None,
        "name": rng.choices(names, weights)[0],
        "session_id": f"{rng.getrandbits(96):024x}",
        "source": rng.choice(("analytics-next/1.84", "analytics-node/3.1", "rudder-sdk-python/2.1")),
        "channel": rng.choice(("web", "app", "store")),
        "campaign": campaign if rng.random() < 0.3 else None,
        "properties": {"experiment": f"variant-{rng.randrange(8)}", "locale": rng.choice(("de-DE", "en-GB", "zh-CN"))},
    } | _own_fields(topic, rng)


def _own_fields(topic: str, rng: random.Random) -> dict[str, Any]:
    category = f"category-{rng.randrange(40)}"
    product = f"sku-{rng.randrange(100_000):06d}"
    fields: dict[str, dict[str, Any]] = {
        CLICKSTREAM: {
            "url": f"https://shop.example/{category}/{product}", "product_id": product, "category": category,
            "referrer": "https://search.example/", "dwell_ms": rng.randrange(120_000), "price": rng.randrange(50_000),
        },
        PURCHASE: {
            "order_id": _ORDER, "currency": "USD", "revenue": rng.randrange(500, 30_000),
            "discount": rng.choice((0, 0, 500)), "cost": rng.choice((None, rng.randrange(10_000))),
            "items": [
                {"product_id": product, "category": category, "quantity": 1 + rng.randrange(3), "price": 1_999}
                for _ in range(1 + rng.randrange(3))
            ],
        },
        APP: {
            "app_version": "7.12.0", "os": rng.choice(("iOS 19.1", "Android 16")), "feature": category,
            "screen": f"screen-{rng.randrange(30)}", "duration_ms": rng.randrange(60_000),
        },
        SOCIAL: {"network": "weibo", "content_id": product, "sentiment": rng.uniform(-1, 1)},
        FEEDBACK: {
            "survey": rng.choice(("nps", "csat", "ces")), "score": 1 + rng.randrange(5), "topic": category,
            "reason": rng.choice(("price", "product", "service", "other")), "text": "The delivery took a day longer.",
        },
        IDENTITY: {"age": 18 + rng.randrange(60), "city": rng.choice(("Lyon", "Köln", "上海")), "country": "DE"},
    }  # fmt: skip
    return fields[topic]
