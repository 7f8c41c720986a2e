"""The `process` role with a pipelined HSET in place of commit, outbox and fsync: what exactness is measured against.

No setting leads here. It forgets nothing while nothing fails, and promises nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.results import BucketCommit, CommitOutcome
from sinks.profiles import ProfileStore
from sinks.redis_calls import pipelined
from streams.clients import redis_client
from streams.roles import process
from streams.settings import load_settings


def hset(store: ProfileStore, commits: Sequence[BucketCommit]) -> list[CommitOutcome]:
    """State and traits of every changed profile; no check, no fence, no outbox, no due set, no tally."""
    commands = [
        ("HSET", store.keys_of(commit.bucket).profile_of(write.customer_id), "state", write.state,
         "traits", write.traits, "version", write.expected_version + 1)
        for commit in commits for write in commit.profiles
    ]  # fmt: skip
    pipelined(store.client, commands)
    return ["applied"] * len(commits)


def main() -> int:
    """The role, without its promises."""
    settings = load_settings()
    client = redis_client(settings)
    client.config_set("appendonly", "no")
    client.close()
    ProfileStore.commit = hset  # type: ignore[method-assign, assignment]
    return process.run(settings)


if __name__ == "__main__":
    main()
