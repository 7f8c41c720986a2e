"""The example of docs/redis-keys.md reads what the store wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from schemas.partitioning import bucket_of
from schemas.results import BucketCommit, ProfileWrite
from sinks.keys import bucket_keys
from sinks.profiles import ProfileStore
from streams.embedded.redis import RedisServer

DOCUMENT = (Path(__file__).parents[2] / "docs" / "redis-keys.md").read_text()


def example() -> dict[str, Any]:
    code = re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    return names


@pytest.fixture
def client(valkey: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey.url) as client:
        yield client


@given(st.text())
def test_the_documented_bucket_is_the_real_one(customer: str) -> None:
    customer = customer.encode("utf-8", "replace").decode()
    assert EXAMPLE["bucket_of"](customer) == bucket_of(customer)


EXAMPLE = example()


def test_the_documented_reader_finds_the_traits(client: redis.Redis, fresh_name: str) -> None:
    bucket = bucket_of(fresh_name)
    store = ProfileStore(client)  # the documented prefix and generation; the customer is this test's own
    claim = store.claim([bucket], "t")[0]
    write = ProfileWrite(fresh_name, 0, b"", b'{"as_of":1}', None)
    assert store.commit([BucketCommit(bucket, claim.epoch, "t", claim.number, profiles=[write])]) == ["applied"]
    assert EXAMPLE["traits_of"](client, fresh_name) == b'{"as_of":1}'
    assert EXAMPLE["traits_of"](client, "nobody") is None


def test_every_kind_of_key_is_documented() -> None:
    keys = bucket_keys("ff", 1, 17)
    for key in (keys.fence, keys.outbox, keys.due, keys.tally, keys.dirty, keys.hours, keys.seen):
        assert f"`…:{key.decode().split('}:')[1].rstrip(':')}" in DOCUMENT
