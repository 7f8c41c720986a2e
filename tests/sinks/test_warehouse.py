from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from schemas.errors import PoisonLimitError, RetryableError
from schemas.events import EventBatch
from schemas.results import ProfileUpdate, SegmentChange
from sinks.migrations import apply_migrations, read_migrations
from sinks.rows import CHANGES, EVENTS, PROFILE_VERSIONS, change_rows, event_rows, joined, profile_rows
from sinks.warehouse import Block, Warehouse
from streams.embedded.clickhouse import ClickHouse
from tests.sinks.records import DAY, HOUR, NOON, Record, batch, event
from tests.sinks.test_warehouse_migrations import SHIPPED

VIEWS = ("events", "segment_changes", "profiles", "profiles_history", "segment_sizes", "daily_revenue")


@pytest.fixture
def client(clickhouse: ClickHouse, fresh_database: str) -> Iterator[Any]:
    setup = clickhouse_connect.get_client(port=clickhouse.launch.port)
    apply_migrations(setup, fresh_database, read_migrations(SHIPPED))
    setup.close()
    client = clickhouse_connect.get_client(
        port=clickhouse.launch.port, database=fresh_database, autogenerate_session_id=False
    )
    yield client
    client.close()


@pytest.fixture
def warehouse(client: Any, fresh_database: str) -> Warehouse:
    return Warehouse(client, fresh_database)


def events_block(*batches: EventBatch) -> Block:
    return Block.of(EVENTS, joined([event_rows(each) for each in batches]))


def change(number: int, customer: str = "ada", **fields: Any) -> SegmentChange:
    defaults: dict[str, Any] = {
        "change_id": f"change-{number}",
        "customer_id": customer,
        "sequence": number,
        "driver": "rule",
        "segment": "active",
        "group": "activity",
        "from_segment": None,
        "to_segment": "active",
        "direction": "entered",
        "effective_time": NOON + number,
        "cause": "tick",
        "evidence": {"orders_30d": "3"},
        "churn_probability": None,
        "suggested_action": None,
        "rule_version": "1",
    }
    return SegmentChange(**(defaults | fields))


def profile(version: int, customer: str = "ada", traits: bytes = b"{}") -> ProfileUpdate:
    return ProfileUpdate(customer, version, NOON + version, traits)


def contents(client: Any) -> dict[str, list[str]]:
    """Everything a reader can see, in a comparable order."""
    return {view: sorted(map(repr, client.query(f"SELECT * FROM {view}").result_rows)) for view in VIEWS}


def test_every_own_field_of_every_topic_comes_back_typed(client: Any, warehouse: Warehouse) -> None:
    own: dict[str, dict[str, Any]] = {
        "clickstream": {"url": "https://shop.example/", "dwell_ms": 1_200, "price": 1_999, "category": "shoes"},
        "app": {"feature": "compare", "lat": 52.5, "lon": 13.4, "duration_ms": 7},
        "social": {"network": "mastodon", "sentiment": -0.5, "referred_customer_id": "bob"},
        "feedback": {"name": "survey_answered", "survey": "nps", "score": 0, "text": "so'; DROP TABLE events_log"},
        "identity": {"age": 41, "city": "Köln", "email_hash": "e" * 64},
    }
    warehouse.insert(events_block(*(batch(topic, [event(topic, 1, **fields)]) for topic, fields in own.items())))

    rows = {row["topic"]: row for row in client.query("SELECT * FROM events").named_results()}
    for topic, fields in own.items():
        assert {name: rows[topic][name] for name in fields} == fields
    assert rows["clickstream"]["price_amount"] == Decimal("19.99")
    assert rows["clickstream"]["score"] is None
    assert rows["clickstream"]["session_id"] == ""


def test_an_order_keeps_its_money_and_its_lines(client: Any, warehouse: Warehouse) -> None:
    lines = [
        {"product_id": "p1", "category": "shoes", "quantity": 2, "price": 500},
        {"product_id": "p2", "category": None, "quantity": 1, "price": 250},
    ]
    order = event("purchase", 3, revenue=1_250, discount=50, cost=None, items=lines, properties={"gift": "yes"},
                  campaign={"source": "mail", "medium": None, "name": "may"})  # fmt: skip
    warehouse.insert(events_block(batch("purchase", [order])))

    (row,) = client.query("SELECT * FROM events").named_results()
    assert (row["revenue_amount"], row["discount_amount"], row["cost_amount"]) == (
        Decimal("12.50"),
        Decimal("0.50"),
        None,
    )
    assert (row["campaign_source"], row["campaign_medium"], row["campaign_name"]) == ("mail", "", "may")
    assert row["properties"] == {"gift": "yes"}
    lines_sold = (
        "SELECT product, quantity FROM events ARRAY JOIN items.product_id AS product, items.quantity AS quantity"
    )
    assert client.query(lines_sold).result_rows == [("p1", 2), ("p2", 1)]


def test_a_batch_without_arrow_columns_gives_the_same_rows() -> None:
    fast = batch("purchase", [event("purchase", 1, properties={"a": "b"}), event("purchase", 2)])
    slow = batch("purchase", [event("purchase", 1, properties={"a": "b"}), event("purchase", 2)])
    slow.arrow = None

    assert event_rows(slow).to_pylist() == event_rows(fast).to_pylist()


def history() -> list[tuple[str, list[Any]]]:
    """Rows of every kind in log order, with repeated ids among them, each list from one partition."""
    records = [event("clickstream", n, f"c{n % 7}", event_time=NOON + n * HOUR) for n in range(60)]
    records += [event("clickstream", 60 + n, f"c{n % 7}", event_id=f"clickstream-{n}",
                      event_time=NOON + (n + 40 * (n % 3)) * DAY) for n in range(20)]  # fmt: skip
    orders = [event("purchase", n, f"c{n % 7}", event_time=NOON + n * DAY, order_id=f"o{n % 9}") for n in range(30)]
    traits = [b'{"segments":{"value":"%d"},"orders_30d":%d}' % (n % 2, n) for n in range(20)]
    return [
        ("clickstream", records),
        ("purchase", orders),
        (CHANGES, [change(n, f"c{n % 7}") for n in range(40)]),
        (PROFILE_VERSIONS, [profile(n // 7 + 1, f"c{n % 7}", traits[n]) for n in range(20)]),
    ]


def write(warehouse: Warehouse, kind: str, rows: Sequence[Any], first: int) -> None:
    if not rows:
        return
    offsets = range(first, first + len(rows))
    if kind == CHANGES:
        block = Block.of(kind, change_rows(rows, 0, offsets))
    elif kind == PROFILE_VERSIONS:
        block = Block.of(kind, profile_rows(rows, 0, offsets))
    else:
        block = events_block(batch(kind, rows))
    assert warehouse.insert(block) == []


def test_a_replay_with_other_block_edges_changes_no_view(client: Any, warehouse: Warehouse) -> None:
    for kind, rows in history():
        write(warehouse, kind, rows, 0)
    once = contents(client)
    assert len(once["events"]) == 90
    assert len(once["segment_changes"]) == 40
    assert len(once["profiles"]) == 7

    edges = random.Random(7)
    for kind, rows in history():
        begin = 0
        while begin < len(rows):
            end = begin + edges.randint(1, 25)
            write(warehouse, kind, rows[max(0, begin - 3) : end], max(0, begin - 3))
            begin = end

    assert contents(client) == once
    for table in ("events_log", "segment_changes_log", "profiles_log", "profiles_latest"):
        client.command(f"OPTIMIZE TABLE {table} FINAL")
    assert contents(client) == once


@pytest.mark.parametrize(
    "other",
    [
        {"event_time": NOON + HOUR},
        {"event_time": NOON - 40 * DAY},
        {"event_time": NOON + DAY, "name": "product_viewed"},
        {"customer_id": "bob"},
    ],
    ids=["same day", "another month", "another name", "another customer"],
)
@pytest.mark.parametrize("first_in", [0, 1], ids=["first comes first", "first comes last"])
def test_of_two_records_with_one_id_the_lower_partition_and_offset_wins(
    client: Any, warehouse: Warehouse, other: dict[str, Any], first_in: int
) -> None:
    winner = batch("clickstream", [event("clickstream", 9, event_id="twin", url="kept")], partition=1)
    loser = batch("clickstream", [event("clickstream", 4, event_id="twin", url="left out", **other)], partition=2)
    for each in (winner, loser)[:: 1 if first_in == 0 else -1]:
        warehouse.insert(events_block(each))

    assert client.query("SELECT url FROM events").result_rows == [("kept",)]
    # a filter that only the loser passes must not bring it back
    (loser_time,) = loser.event_time
    fetched = client.query(
        "SELECT url FROM events WHERE event_time = fromUnixTimestamp64Milli({at:Int64}) AND name = {name:String}"
        " AND customer_id = {customer:String}",
        parameters={"at": loser_time, "name": loser.name[0], "customer": loser.customer_id[0]},
    )
    expected = [("kept",)] if (loser_time, loser.customer_id[0]) == (NOON, "ada") else []
    assert fetched.result_rows == expected


def test_profiles_show_the_newest_version_and_its_common_traits(client: Any, warehouse: Warehouse) -> None:
    old = b'{"first_seen":1,"last_seen":2,"segments":{"value":"low"}}'
    new = (
        b'{"as_of":5,"first_seen":1714564800000,"last_seen":1714568400000,"first_order":1714564800000,"orders_30d":3,'
        b'"revenue_lifetime":12345,"activity":"active","value":"high","rfm":"champion","rfm_scores":[5,4,5],'
        b'"last_nps":0,"age":"41","segments":{"value":"high","vip":"vip"},'
        b'"churn":{"probability":0.25,"model_version":300,"contributions":[["recency",0.5]]}}'
    )
    updates = [profile(1, traits=old), profile(2, traits=new), profile(1, "bob", b"{}")]
    warehouse.insert(Block.of(PROFILE_VERSIONS, profile_rows(updates, 0, [0, 1, 2])))

    (ada,) = client.query("SELECT * FROM profiles WHERE customer_id = 'ada'").named_results()
    expected = {
        "version": 2, "orders_30d": 3, "revenue_lifetime_amount": Decimal("123.45"), "activity": "active",
        "rfm": "champion", "rfm_scores": [5, 4, 5], "last_nps": 0, "age": "41", "churn_probability": 0.25,
        "churn_model_version": 300, "segments": {"value": "high", "vip": "vip"}, "traits": new.decode(),
        "orders_90d": 0, "last_order": None,
    }  # fmt: skip
    assert {name: ada[name] for name in expected} == expected
    assert ada["last_seen"].isoformat() == "2024-05-01T13:00:00"
    assert client.query("SELECT count() FROM profiles_history").result_rows == [(3,)]
    sizes = client.query("SELECT segment_group, segment, customers, share FROM segment_sizes ORDER BY segment_group")
    assert sizes.result_rows == [("value", "high", 1, 0.5), ("vip", "vip", 1, 0.5)]


def test_an_older_version_that_arrives_last_does_not_replace_a_newer_one(client: Any, warehouse: Warehouse) -> None:
    for version in (2, 1):
        warehouse.insert(Block.of(PROFILE_VERSIONS, profile_rows([profile(version)], 0, [version])))

    assert client.query("SELECT version FROM profiles").result_rows == [(2,)]


def test_daily_revenue_counts_a_repeated_order_once(client: Any, warehouse: Warehouse) -> None:
    orders = [
        event("purchase", 1, order_id="a", revenue=1_000),
        event("purchase", 2, order_id="a", revenue=9_999, event_time=NOON + HOUR),
        event("purchase", 3, order_id="b", revenue=501),
        event("purchase", 4, order_id="a", revenue=250, name="order_refunded"),
    ]
    warehouse.insert(events_block(batch("purchase", orders)))

    (row,) = client.query("SELECT * EXCEPT day FROM daily_revenue").result_rows
    assert row == (2, 1, Decimal("15.01"), Decimal("2.50"), Decimal("12.51"), 0)


def test_only_the_rows_clickhouse_refuses_are_left_out(client: Any, warehouse: Warehouse, fresh_database: str) -> None:
    client.command(f"ALTER TABLE {fresh_database}.events_log ADD CONSTRAINT cheap CHECK ifNull(price, 0) < 666")
    records = [event("clickstream", n, price=700 if n in {17, 300} else n % 600) for n in range(500)]

    refused = warehouse.insert(events_block(batch("clickstream", records)))

    assert [bad.position for bad in refused] == [17, 300]
    assert "cheap" in refused[0].detail
    assert client.query("SELECT count() FROM events").result_rows == [(498,)]


def test_a_table_that_refuses_everything_stops_the_sink(client: Any, warehouse: Warehouse, fresh_database: str) -> None:
    client.command(f"ALTER TABLE {fresh_database}.events_log ADD CONSTRAINT never CHECK event_id = ''")

    with pytest.raises(PoisonLimitError, match="refuses more than 10 rows"):
        warehouse.insert(events_block(batch("clickstream", [event("clickstream", n) for n in range(40)])))


class FailingClient:
    """A client that raises the given errors, one a call, before (or after) passing the insert on."""

    def __init__(self, client: Any, errors: Sequence[Exception], *, after: bool = False) -> None:
        self._client = client
        self._errors = list(errors)
        self._after = after
        self.sent: list[tuple[bytes, str]] = []

    def raw_insert(self, table: str, columns: Any, payload: bytes, settings: Any, fmt: str) -> None:
        self.sent.append((payload, settings["insert_deduplication_token"]))
        error = self._errors.pop(0) if self._errors else None
        if error is None or self._after:
            self._client.raw_insert(table, columns, payload, settings=settings, fmt=fmt)
        if error is not None:
            raise error


def test_a_block_whose_answer_was_lost_is_one_row_per_id(client: Any, fresh_database: str) -> None:
    failing = FailingClient(client, [OperationalError("timed out")], after=True)
    warehouse = Warehouse(failing, fresh_database)
    block = events_block(batch("clickstream", [event("clickstream", n) for n in range(5)]))

    with pytest.raises(RetryableError, match="timed out"):
        warehouse.insert(block)
    warehouse.insert(block)

    assert failing.sent[0] == failing.sent[1]
    assert client.query("SELECT count() FROM events").result_rows == [(5,)]


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("connection refused"),
        DatabaseError("Code: 241. MEMORY_LIMIT_EXCEEDED", code=241),
        DatabaseError("Code: 252. TOO_MANY_PARTS", code=252),
        DatabaseError("Code: 60. UNKNOWN_TABLE", code=60),
        ConnectionResetError("peer"),
    ],
)
def test_a_server_in_trouble_is_not_the_rows_fault(error: Exception) -> None:
    block = events_block(batch("clickstream", [event("clickstream", n) for n in range(4)]))

    with pytest.raises(RetryableError):
        Warehouse(FailingClient(None, [error]), "footfall").insert(block)


def test_blocks_of_other_rows_never_share_a_token() -> None:
    one, same, other = (
        events_block(batch("clickstream", [event("clickstream", 1, url=url)])) for url in ("a", "a", "b")
    )

    assert one.token == same.token
    assert one.token != other.token


def test_a_row_costs_little_memory_while_it_waits() -> None:
    records: list[Record] = [event("clickstream", n, f"c{n}", url="https://shop.example/p/1") for n in range(2_000)]

    assert len(events_block(batch("clickstream", records)).payload) / 2_000 < 300
