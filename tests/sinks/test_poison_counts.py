"""What is kept of bad input over restarts, on a real server."""

from __future__ import annotations

import redis

from sinks.keys import poison_key
from sinks.poison import PoisonCounts, PoisonSums
from streams.embedded.redis import RedisServer


def test_what_was_saved_last_is_loaded_and_nothing_of_before(valkey: RedisServer, fresh_name: str) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        counts = PoisonCounts(client, fresh_name)
        assert counts.load() is None
        counts.save(PoisonSums(1_000, 0.01, 7, 90, {"undecodable": 7, "null_key": 2}))
        last = PoisonSums(1_000, 0.01, 0, 100_000, {"undecodable": 9})
        counts.save(last)
        assert counts.load() == last


def test_a_hash_that_is_not_ours_counts_nothing(valkey: RedisServer, fresh_name: str) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.hset(poison_key(fresh_name), "row", "many")
        assert PoisonCounts(client, fresh_name).load() is None
