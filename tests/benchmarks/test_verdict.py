"""The verdict finds what is wrong: it compares stored profiles with the events that were sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.generator import Generator, Load, customer_name
from benchmarks.verdict import Part, Stored, sample_of
from processors.portrait import encode_portrait
from processors.state import encode_state
from schemas.topics import INPUT_TOPICS
from tests.builders import Record, fold_history, policy

IDS = {topic: 300 + number for number, topic in enumerate(INPUT_TOPICS)}
LOADS = (Load(seed=3, customers=20, rate=0.01, duplicates=0.0), Load(seed=4, customers=20, start=1_735_900_000_000))
SIZES = ([300, 200], [400])
END = 1_735_990_000_000
NAMES = [customer_name(rank) for rank in range(5)]


class Redis:
    """Answers HMGET from a dict."""

    def __init__(self) -> None:
        self.hashes: dict[bytes, list[bytes | None]] = {}

    def hmget(self, key: bytes, *_names: str) -> list[bytes | None]:
        return self.hashes.get(key[key.rindex(b":") + 1 :], [None, None, None])


def parts() -> list[Part]:
    return [Part(Generator(load, IDS, 8), sizes) for load, sizes in zip(LOADS, SIZES, strict=True)]


def recorded() -> list[Record]:
    records: list[Record] = []
    for part, load in zip(parts(), LOADS, strict=True):
        everyone = [customer_name(rank) for rank in range(load.customers)]
        first = len(records)
        records += [(first + a, t, e) for a, t, e in part.generator.events_of(everyone, part.sizes)]
    return records


def stored(records: Iterable[Record] = ()) -> tuple[Redis, Stored]:
    redis = Redis()
    for name, p in fold_history(list(records) or recorded(), policy()).profiles.items():
        redis.hashes[name.encode()] = [b"1", encode_state(p), encode_portrait(p)]
    return redis, Stored(redis, "ff", policy())


def test_what_was_folded_right_has_no_differences() -> None:
    _, told = stored()
    assert told.compare(parts(), NAMES, END) == []


def test_customers_that_share_a_history_each_have_its_events() -> None:
    load = LOADS[0]
    sharers = [customer_name(rank) for rank in (3, 3 + load.customers, 3 + 2 * load.customers)]
    records = [(a, t, e | {"customer_id": name}) for name in sharers for a, t, e in recorded()[:500]
               if e["customer_id"] == sharers[0]]  # fmt: skip
    _, told = stored(records)
    part = Part(Generator(load, IDS, 8), SIZES[0])
    assert told.compare([part], sharers, END) == []


def test_a_missing_profile_a_lost_event_and_a_wrong_trait_are_differences() -> None:
    redis, told = stored()
    absent, other, wrong = (name.encode() for name in NAMES[:3])
    del redis.hashes[absent]
    redis.hashes[other] = redis.hashes[NAMES[4].encode()]
    traits: Any = redis.hashes[wrong][2]
    redis.hashes[wrong][2] = traits.replace(b'"as_of":1', b'"as_of":2')
    found = {(one.customer, one.name) for one in told.compare(parts(), NAMES, END)}
    assert (NAMES[0], "profile") in found
    assert (NAMES[1], "page_views_lifetime") in found
    assert (NAMES[2], "traits.as_of") in found
    assert not {name for name, _ in found} & {NAMES[3], NAMES[4]}


def test_the_sample_holds_the_hottest_and_some_of_all_ranks() -> None:
    ranks = sample_of(100_000, 210)
    assert ranks[:10] == list(range(10))
    assert len(set(ranks)) == 210
    assert max(ranks) > 99_000
    assert sample_of(4, 210) == [0, 1, 2, 3]
