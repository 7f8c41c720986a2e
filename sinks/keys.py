"""The key layout in Redis: one hash tag a bucket, under the prefix of the installation and a generation.

    ff:installation                 the installation's id
    ff:generation                   the generation that readers follow
    ff:restarts                     hash: kind of standstill -> how often a watchdog ended a worker because of it
    ff:poison                       hash: what the limits of bad input have counted, kept over restarts of workers
    ff:dedup-key                    16 random bytes that key the digests of event ids
    ff:replay                       lease of the replay at work: one at a time
    ff:switch:{ff:generation}       lease of the switch at work: workers wait; in the slot of the pointer, with which
                                    it is checked in one call
    ff:<generation>:clock           hash: partition number -> instant (ms) the event clock has reached there
    ff:<generation>:{b17}:p:<customer>   hash: state, traits, version
    ff:<generation>:{b17}:fence     hash: <topic-id>:<partition> -> last applied offset; epoch, token, number
    ff:<generation>:{b17}:outbox    hash: position -> message not yet confirmed
    ff:<generation>:{b17}:due       sorted set: customer by the next instant its profile changes by itself, ms
    ff:<generation>:{b17}:tally     hash: <what>:<topic>:<partition> -> count
    ff:<generation>:{b17}:dirty     hash: customer -> version not yet published
    ff:<generation>:{b17}:hours     set: the event hours that have a `seen` key
    ff:<generation>:{b17}:seen:<event hour>   string of 12-byte entries; hour -1: redriven events, kept for ever

Redis Cluster hashes what stands between the first `{` and the next `}` of a key. Footfall does not run on one yet (a
commit is a few MULTI over many tags); the tags prepare for it. The tag is a number and comes before the customer id, so
no id (`}x`, `{y}`, empty) can move a key to another slot than its bucket's.
"""

from __future__ import annotations

from typing import NamedTuple

DEFAULT_PREFIX = "ff"


class BucketKeys(NamedTuple):
    """The keys of one bucket, encoded; `profile` and `seen` are prefixes."""

    fence: bytes
    outbox: bytes
    due: bytes
    tally: bytes
    dirty: bytes
    hours: bytes
    profile: bytes
    seen: bytes

    def profile_of(self, customer_id: str) -> bytes:
        """The key of one customer's profile."""
        return self.profile + customer_id.encode()

    def seen_in(self, hour: int) -> bytes:
        """The key of the event ids of one event hour (hours since the epoch)."""
        return b"%b%d" % (self.seen, hour)


def bucket_keys(prefix: str, generation: int, bucket: int) -> BucketKeys:
    """All keys of one bucket."""
    base = f"{prefix}:{generation}:{{b{bucket}}}:"
    return BucketKeys(
        fence=f"{base}fence".encode(),
        outbox=f"{base}outbox".encode(),
        due=f"{base}due".encode(),
        tally=f"{base}tally".encode(),
        dirty=f"{base}dirty".encode(),
        hours=f"{base}hours".encode(),
        profile=f"{base}p:".encode(),
        seen=f"{base}seen:".encode(),
    )


def clock_key(prefix: str, generation: int) -> str:
    """Holds how far the event clock of a replay has come, by partition number."""
    return f"{prefix}:{generation}:clock"


def installation_key(prefix: str) -> str:
    """Holds the id of the installation that owns the prefix."""
    return f"{prefix}:installation"


def generation_key(prefix: str) -> str:
    """Holds the generation that readers follow; a shadow replay writes another one."""
    return f"{prefix}:generation"


def dedup_key_key(prefix: str) -> str:
    """Holds the key of the installation's event id digests."""
    return f"{prefix}:dedup-key"


def restarts_key(prefix: str, role: str) -> str:
    """Counts a role's ends by watchdog: the process that noticed one does not live long enough to show it."""
    return f"{prefix}:restarts:{role}"


def poison_key(prefix: str) -> str:
    """Holds what the limits of bad input have counted."""
    return f"{prefix}:poison"


def replay_key(prefix: str) -> str:
    """Lease of the one replay that may write a shadow generation."""
    return f"{prefix}:replay"


def switch_key(prefix: str) -> str:
    """Lease of a switch of generations; hashes to the slot of the pointer."""
    return f"{prefix}:switch:{{{generation_key(prefix)}}}"
