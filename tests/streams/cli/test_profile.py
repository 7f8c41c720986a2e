"""The customer's card: advanced to now, readable, and never obeying what a customer wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator

import orjson
import pytest
import redis
from rich.console import Console

from processors.calendar import DAY
from processors.event import Event, OrderDetail
from processors.fold import Outcome, fold
from processors.portrait import encode_portrait
from processors.profile import Profile, Score
from processors.state import encode_state
from schemas.errors import ConfigurationError, UnreachableError
from schemas.partitioning import bucket_of
from schemas.results import BucketCommit, ProfileWrite
from sinks.keys import bucket_keys
from sinks.profiles import ProfileStore
from streams.cli.console import out
from streams.cli.profile import show
from streams.embedded.ports import choose_port
from streams.embedded.redis import RedisServer
from streams.environment import policy_of
from streams.settings import Settings, load_settings

BOUGHT = 1_700_000_000_000
HOSTILE = "\x1b]0;owned\x07[red]eve\u202e"


@pytest.fixture
def settings(valkey: RedisServer, fresh_name: str) -> Settings:
    return load_settings(redis={"url": valkey.url, "prefix": fresh_name}, clock="event")


@pytest.fixture
def said() -> Iterator[Console]:
    out.record = True
    yield out
    out.record = False


def order(number: int, at: int) -> Event:
    return Event(
        customer_id="", time=at, at=at, name="order_completed", channel="store", event_id=str(number), origin="t:0",
        detail=OrderDetail(number, 5_000, 0, 2, -1, ["[bold]vinyl"]), offset=number, checksum=0, visit=False,
    )  # fmt: skip


def store_customer(settings: Settings, customer: str) -> ProfileStore:
    """Two orders ten days apart, with a churn score of a model."""
    store = ProfileStore(redis.Redis.from_url(settings.redis.url.get_secret_value()), settings.redis.prefix)
    p = Profile(customer)
    for number, at in enumerate((BOUGHT, BOUGHT + 10 * DAY)):
        fold(p, order(number, at), policy_of(settings), Outcome())
    p.attributes["city"] = (BOUGHT, HOSTILE)
    p.score = Score(0.25, 1_845, [("revenue_90d", -0.76)], p.as_of)
    [claim] = store.claim([bucket_of(customer)], "t")
    write = ProfileWrite(customer, 0, encode_state(p), encode_portrait(p), p.due)
    commit = BucketCommit(claim.bucket, claim.epoch, claim.token, claim.number, profiles=[write])
    assert store.commit([commit]) == ["applied"]
    return store


def note_clock(store: ProfileStore, settings: Settings, customer: str, instant: int) -> None:
    store.note_clock({bucket_of(customer) % settings.kafka.partitions: instant})


def test_the_card_says_who_what_why_and_what_to_do(settings: Settings, said: Console) -> None:
    store_customer(settings, "ada")
    assert show(settings, "ada", as_json=False) == 0
    text = said.export_text()
    for words in (
        "customer ada, at 2023-11-24 22:13",
        "mid: 2 orders, 100.00 USD in 365 days",
        "25% (model of 1,845 examples); moved by revenue 90d -0.76",
        "activity: Active",
        "activity = active",
        "[bold]vinyl (2)",
        "store (2)",
    ):
        assert words in text


def test_the_card_is_advanced_to_where_a_replay_has_come(settings: Settings, said: Console) -> None:
    store = store_customer(settings, "ada")
    note_clock(store, settings, "ada", BOUGHT + 110 * DAY)
    show(settings, "ada", as_json=True)
    show(settings, "ada", as_json=False)
    text = said.export_text()
    assert "activity: Dormant" in text
    assert "(100 days ago)" in text


def test_on_the_wall_clock_now_is_now(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    store_customer(settings, "ada")
    before = int(time.time() * 1000)
    assert show(settings.model_copy(update={"clock": "wall"}), "ada", as_json=True) == 0
    traits = orjson.loads(capsys.readouterr().out)
    assert before <= traits["as_of"] <= time.time() * 1000
    assert traits["activity"] == "lost"
    assert "orders_90d" not in traits
    assert traits["orders_lifetime"] == 2


def test_looking_changes_nothing(settings: Settings) -> None:
    store = store_customer(settings, "ada")
    note_clock(store, settings, "ada", BOUGHT + 500 * DAY)
    place = [(bucket_of("ada"), "ada")]
    before = store.read(place)
    show(settings, "ada", as_json=True)
    assert store.read(place) == before


def test_what_a_customer_wrote_is_shown_as_text(settings: Settings, said: Console) -> None:
    store_customer(settings, HOSTILE)
    assert show(settings, HOSTILE, as_json=False) == 0
    text = said.export_text()
    assert "[red]eve" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_an_unknown_customer_is_one_sentence_and_exit_code_2(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(settings, "nobody", as_json=False) == 2
    assert capsys.readouterr().err.startswith("error: There is no customer 'nobody' in Redis at redis://")


def test_a_key_of_another_program_is_named(settings: Settings, valkey: RedisServer) -> None:
    redis.Redis.from_url(valkey.url).set(bucket_keys(settings.redis.prefix, 1, bucket_of("x")).profile_of("x"), "?")
    with pytest.raises(ConfigurationError, match="something that is no profile under the key of 'x'"):
        show(settings, "x", as_json=False)


@pytest.mark.parametrize(
    ("state", "says"),
    [(b"\x91\x02", "stored state of 'x' .* is damaged: .*replay-topic"), (b"\x91\x63", "codec version 99")],
)
def test_a_state_that_cannot_be_read_is_one_sentence(
    settings: Settings, valkey: RedisServer, state: bytes, says: str
) -> None:
    key = bucket_keys(settings.redis.prefix, 1, bucket_of("x")).profile_of("x")
    with redis.Redis.from_url(valkey.url) as client:
        client.hset(key.decode(), mapping={"version": 1, "state": state})
    with pytest.raises(ConfigurationError, match=says):
        show(settings, "x", as_json=False)


def test_a_redis_that_is_not_there_is_named() -> None:
    nowhere = load_settings(redis={"url": f"redis://127.0.0.1:{choose_port()}/0"})
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:\d+.*FOOTFALL_REDIS__URL"):
        show(nowhere, "ada", as_json=False)
