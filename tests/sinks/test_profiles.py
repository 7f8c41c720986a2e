"""What only a real server can show: lost scripts, short memory, planted keys, a server that is gone."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from schemas.errors import ConfigurationError, ProtocolError, RetryableError, UnreachableError
from schemas.results import BucketClaim, BucketCommit, FenceMove, ProfileWrite
from sinks.generations import Generations
from sinks.installation import check_server, join_installation, live_generation
from sinks.keys import BucketKeys, bucket_keys
from sinks.profiles import ProfileStore
from streams.embedded.ports import choose_port
from streams.embedded.redis import RedisServer

B = 17


def client_of(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=2)


@pytest.fixture
def client(valkey: RedisServer) -> Iterator[redis.Redis]:
    with client_of(valkey.url) as client:
        yield client


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server a test may starve, stop or kill."""
    with RedisServer(choose_port(), tmp_path / "redis", tmp_path / "redis.log") as server:
        yield server


def full_commit(claim: BucketClaim, **changes: Any) -> BucketCommit:
    commit = BucketCommit(
        claim.bucket,
        claim.epoch,
        claim.token,
        claim.number,
        fences=[FenceMove("t:1", claim.fences.get("t:1", -1), claim.fences.get("t:1", -1) + 1)],
        profiles=[ProfileWrite("anna", claim.number, b"state", b"{}", 9)],
        outbox=[(1, b"m")],
        tally=[("received:app:1", 1)],
        seen=[(7, b"x" * 12)],
        seen_drop=[6],
        published=[("bert", 1)],
    )
    return msgspec.structs.replace(commit, **changes)


def everything(client: redis.Redis, prefix: str) -> dict[bytes, Any]:
    return {key: client.dump(key) for key in client.scan_iter(f"{prefix}:*", count=1000)}


def test_a_script_lost_by_a_restart_is_loaded_again(client: redis.Redis, fresh_name: str) -> None:
    store = ProfileStore(client, fresh_name)
    store.claim([B], "t")
    client.script_flush()
    claims = store.claim([B, B + 1], "t")
    assert [claim.epoch for claim in claims] == [2, 1]
    client.script_flush()
    assert store.commit([full_commit(claim) for claim in claims]) == ["applied", "applied"]


PLANTED = {
    "outbox": lambda keys: keys.outbox,
    "due": lambda keys: keys.due,
    "tally": lambda keys: keys.tally,
    "dirty": lambda keys: keys.dirty,
    "hours": lambda keys: keys.hours,
    "profile": lambda keys: keys.profile_of("anna"),
}


@pytest.mark.parametrize("which", PLANTED)
def test_a_key_of_another_type_refuses_the_whole_commit(client: redis.Redis, fresh_name: str, which: str) -> None:
    store = ProfileStore(client, fresh_name)
    commit = full_commit(store.claim([B], "t")[0])
    client.set(PLANTED[which](bucket_keys(fresh_name, 1, B)), "planted")
    before = everything(client, fresh_name)
    assert store.commit([commit]) == ["wrong_type"]
    assert everything(client, fresh_name) == before


def test_a_seen_key_of_another_type_refuses_the_whole_commit(client: redis.Redis, fresh_name: str) -> None:
    store = ProfileStore(client, fresh_name)
    commit = full_commit(store.claim([B], "t")[0])
    client.lpush(bucket_keys(fresh_name, 1, B).seen_in(7).decode(), "planted")
    before = everything(client, fresh_name)
    assert store.commit([commit]) == ["wrong_type"]
    assert everything(client, fresh_name) == before


@pytest.mark.parametrize("planted", ["many", "1.5", "9" * 19])
def test_a_tally_that_cannot_be_added_to_refuses_the_whole_commit(
    client: redis.Redis, fresh_name: str, planted: str
) -> None:
    store = ProfileStore(client, fresh_name)
    commit = full_commit(store.claim([B], "t")[0])
    client.hset(bucket_keys(fresh_name, 1, B).tally.decode(), "received:app:1", planted)
    before = everything(client, fresh_name)
    assert store.commit([commit]) == ["wrong_type"]
    assert everything(client, fresh_name) == before


def test_a_profile_whose_version_is_no_number_is_of_the_wrong_type(client: redis.Redis, fresh_name: str) -> None:
    store = ProfileStore(client, fresh_name)
    commit = full_commit(store.claim([B], "t")[0])
    client.hset(bucket_keys(fresh_name, 1, B).profile_of("anna").decode(), "version", "latest")
    assert store.commit([commit]) == ["wrong_type"]


@pytest.mark.parametrize("fields", [{"version": "x", "state": "s"}, {"version": "1"}], ids=["no number", "no state"])
def test_a_hash_that_is_no_profile_reads_as_one_of_the_wrong_type(
    client: redis.Redis, fresh_name: str, fields: Any
) -> None:
    client.hset(bucket_keys(fresh_name, 1, 3).profile_of("anna"), mapping=fields)
    store = ProfileStore(client, fresh_name)
    assert store.read([(3, "anna"), (3, "bert")]) == ["wrong_type", None]
    assert store.read_traits([(3, "anna"), (3, "bert")]) == [None, None]


@pytest.mark.parametrize(
    "changes",
    [
        {"profiles": [ProfileWrite("anna", 0, b"", b"", "soon")]},  # type: ignore[arg-type]
        {"profiles": [ProfileWrite("anna", 0, b"", b"", float("nan"))]},  # type: ignore[arg-type]
        {"tally": [("a", 1.5)]},
        {"tally": [("a", 10**18)]},
        {"fences": [FenceMove("t:1", -1, -2)]},
    ],
)
def test_nonsense_arguments_are_refused_before_anything_is_written(
    client: redis.Redis, fresh_name: str, changes: dict[str, Any]
) -> None:
    store = ProfileStore(client, fresh_name)
    commit = full_commit(store.claim([B], "t")[0], **changes)
    before = everything(client, fresh_name)
    with pytest.raises(ProtocolError, match="ARGUMENTS"):
        store.commit([commit])
    assert everything(client, fresh_name) == before


def test_a_claim_names_the_key_that_holds_something_else(client: redis.Redis, fresh_name: str) -> None:
    keys: BucketKeys = bucket_keys(fresh_name, 1, B)
    client.set(keys.outbox, "planted")
    with pytest.raises(ProtocolError, match=rf"WRONGTYPE {fresh_name}:1:\{{b17\}}:outbox holds a string"):
        ProfileStore(client, fresh_name).claim([B], "t")
    assert client.exists(keys.fence) == 0


def test_generations_do_not_see_each_other(client: redis.Redis, fresh_name: str) -> None:
    live, shadow = ProfileStore(client, fresh_name, 1), ProfileStore(client, fresh_name, 2)
    assert live.commit([full_commit(live.claim([B], "t")[0])]) == ["applied"]
    assert shadow.read([(B, "anna")]) == [None]
    assert shadow.claim([B], "t")[0].number == 0


def test_the_traits_are_there_for_other_programs(client: redis.Redis, fresh_name: str) -> None:
    store = ProfileStore(client, fresh_name)
    store.commit([full_commit(store.claim([B], "t")[0])])
    assert client.hgetall(f"{fresh_name}:1:{{b17}}:p:anna") == {b"state": b"state", b"traits": b"{}", b"version": b"1"}


def test_short_memory_refuses_the_commit_whole_and_for_now(own_server: RedisServer) -> None:
    with client_of(own_server.url) as client:
        store = ProfileStore(client)
        commit = full_commit(store.claim([B], "t")[0])
        client.config_set("maxmemory", "1")
        before = everything(client, "ff")
        with pytest.raises(RetryableError, match="refuses for now: OOM"):
            store.commit([commit])
        assert everything(client, "ff") == before
        client.config_set("maxmemory", "0")
        assert store.commit([commit]) == ["applied"]


def test_a_commit_without_an_answer_and_its_repetition_are_applied_once(own_server: RedisServer) -> None:
    with redis.Redis.from_url(own_server.url, retry=Retry(NoBackoff(), 0), socket_timeout=0.3) as client:
        store = ProfileStore(client)
        claim = store.claim([B], "t")[0]
        assert own_server.pid is not None
        subprocess.run(["kill", "-STOP", str(own_server.pid)], check=True)
        try:
            with pytest.raises(UnreachableError, match="does not answer"):
                store.commit([full_commit(claim)])
        finally:
            subprocess.run(["kill", "-CONT", str(own_server.pid)], check=True)
        # the unanswered commit may arrive before or after its repetition: either way one of the two is applied
        assert store.commit([full_commit(claim)])[0] in ("applied", "stale_number")
        found = store.peek([B])[0]
        assert (found.number, found.tally) == (1, {"received:app:1": 1})


def test_an_acknowledged_commit_survives_the_kill_of_its_server(tmp_path: Path) -> None:
    port = choose_port()
    server = RedisServer(port, tmp_path / "redis", tmp_path / "first.log")
    with server, client_of(server.url) as client:
        store = ProfileStore(client)
        claim = store.claim([B], "t")[0]
        assert store.commit([full_commit(claim)]) == ["applied"]
        assert server.pid is not None
        subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(server.pid)], check=True)
        with pytest.raises(UnreachableError, match=f"127.0.0.1:{port}"):
            store.read([(B, "anna")])
    with RedisServer(port, tmp_path / "redis", tmp_path / "second.log") as again, client_of(again.url) as client:
        store = ProfileStore(client)
        found = store.peek([B])[0]
        assert (found.epoch, found.number, found.fences, found.outbox) == (1, 1, {"t:1": 0}, [(1, b"m")])
        assert store.commit([full_commit(found)]) == ["applied"]


def test_an_address_without_a_server_is_unreachable_and_no_password_is_told() -> None:
    url = f"redis://:hunter2@127.0.0.1:{choose_port()}/0"
    with client_of(url) as client, pytest.raises(UnreachableError, match="FOOTFALL_REDIS__URL") as caught:
        ProfileStore(client).claim([B], "t")
    assert "hunter2" not in str(caught.value)


def test_a_wrong_password_is_the_users_to_fix(own_server: RedisServer) -> None:
    with client_of(own_server.url) as admin:
        admin.config_set("requirepass", "right")
    with client_of(own_server.url.replace("//", "//:wrong@")) as client:
        with pytest.raises(ConfigurationError, match="refuses this user"):
            check_server(client)
        with pytest.raises(ConfigurationError, match="refuses this user"):
            ProfileStore(client).claim([B], "t")


def test_the_start_check_reports_how_durable_an_answer_is(own_server: RedisServer) -> None:
    with client_of(own_server.url) as client:
        assert check_server(client).durable_before_answer
        client.config_set("appendfsync", "everysec")
        assert check_server(client).appendfsync == "everysec"
        client.config_set("appendonly", "no")
        assert check_server(client).appendfsync == "off"


def test_the_start_check_refuses_a_server_that_evicts(own_server: RedisServer) -> None:
    with client_of(own_server.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(ConfigurationError, match="maxmemory-policy allkeys-lru"):
            check_server(client)


def test_a_prefix_belongs_to_one_installation(client: redis.Redis, fresh_name: str) -> None:
    assert join_installation(client, fresh_name, "shop") is True
    assert join_installation(client, fresh_name, "shop") is False
    with pytest.raises(ConfigurationError, match="holds installation shop"):
        join_installation(client, fresh_name, "staging")


def test_one_pointer_names_the_live_generation(client: redis.Redis, fresh_name: str) -> None:
    assert live_generation(client, fresh_name) == 1
    lease = Generations(client, fresh_name).switch_lease()
    assert not lease.switch(2), "nobody moves it without holding the lease"
    assert lease.take()
    assert lease.switch(2)
    assert live_generation(client, fresh_name) == 2
