"""What a decision produces: values that sinks write. Times are ms since the epoch, UTC."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from schemas.events import Rejected
from schemas.excerpt import keep

DETAIL: Final = 1_000
"""The most characters of a letter's detail: some library puts whole values into its errors."""
Direction = Literal["entered", "exited"]
Driver = Literal["rule", "model"]


Headers = list[tuple[str, bytes | None]]
"""A record's headers, in order; a name may come more than once, a value may be null."""


class SegmentChange(msgspec.Struct, frozen=True, gc=False):
    """One real change of one segment (or of one group) for one customer.

    `sequence` counts 1, 2, 3 ... per customer and driver: rule-driven and model-driven changes each have
    their own. A move within a group is one message: `from_segment`, `to_segment`, direction `entered`.
    """

    change_id: str
    customer_id: str
    sequence: int
    driver: Driver
    segment: str
    group: str | None
    from_segment: str | None
    to_segment: str | None
    direction: Direction
    effective_time: int
    cause: str
    """`event <event_id>`, `tick`, `breakpoints vN`, `rule <version>` or `replay <generation>`."""
    evidence: dict[str, str]
    """The traits the condition read, with their values as text."""
    churn_probability: float | None
    suggested_action: str | None
    rule_version: str


class TrainingExample(msgspec.Struct, frozen=True, gc=False):
    """Features as they were at prediction time, and the label that time revealed."""

    example_id: str
    customer_id: str
    snapshot_time: int
    """The instant predicted at: the last millisecond of the snapshot's day."""
    label_time: int
    """The instant the label became known."""
    label: int
    """1 churned, 0 came back."""
    features: dict[str, float]
    probability: float | None
    """What was predicted at `snapshot_time`; null before the first model."""
    model_version: int | None
    rule_probability: float
    """What the recency rule alone predicted."""


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """A refused record: origin, reason and original bytes."""

    letter_id: str
    """uuid5 of topic id, partition and offset: a crash repeats a letter under the same id."""
    topic: str
    partition: int
    offset: int
    timestamp: int
    reason: str
    """One of `schemas.reasons.REASONS`; a letter of another release may hold one this release does not know."""
    detail: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    cut: list[str] = []
    """Which of key, value and headers are not whole: the record was too large for a letter."""
    value_bytes: int | None = None
    """Length of the whole value; null without a value, and in letters of version 1."""
    value_sha256: str | None = None
    """sha256 of the whole value, hex, where it was cut."""

    @classmethod
    def of(cls, letter_id: str, topic: str, partition: int, bad: Rejected) -> DeadLetter:
        """The letter of a bad record, with everything the record brought, as far as a letter holds it."""
        record = bad.record
        kept = keep(record.key, record.value, record.headers)
        return cls(
            letter_id, topic, partition, bad.offset, record.timestamp, bad.reason, bad.detail[:DETAIL],
            kept.key, kept.value, kept.headers, kept.cut, kept.value_bytes, kept.value_sha256,
        )  # fmt: skip


class ProfileUpdate(msgspec.Struct, frozen=True, gc=False):
    """The current profile of a customer; readers of `profiles` keep the greatest `version`."""

    customer_id: str
    version: int
    as_of: int
    traits: bytes
    """Sparse JSON object: what Redis holds under `traits`."""


class ModelSnapshot(msgspec.Struct, frozen=True, gc=False):
    """A published model. Plain numbers, never a pickle: loading one cannot run code."""

    version: int
    """Number of examples learnt; only a greater one replaces the one in use."""
    label_time_max: int
    next_offset: int
    """Where the trainer goes on reading `training-examples`."""
    river_version: str
    payload: bytes
    """JSON: parameters of the pipeline and the prequential metrics."""
    checksum: str
    """sha256 of the payload, hex."""


class OutgoingMessage(msgspec.Struct, frozen=True, gc=False):
    """One Kafka message, ready to send."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = []
    partition: int | None = None


class ProfileWrite(msgspec.Struct, frozen=True, gc=False):
    """One profile inside a bucket commit."""

    customer_id: str
    expected_version: int
    """0 for a customer who is not stored yet; the write makes it `expected_version + 1`."""
    state: bytes
    traits: bytes
    due: int | None
    """The next instant at which the profile changes by itself; null takes it out of the due set."""


class FenceMove(msgspec.Struct, frozen=True, gc=False):
    """One fence `<topic-id>:<partition>`: last applied offset before and after; `expected` -1 means absent."""

    field: str
    expected: int
    new: int


class BucketCommit(msgspec.Struct, frozen=True, gc=False):
    """Everything one batch (or tick) changes in one bucket: committed together or not at all."""

    bucket: int
    epoch: int
    token: str
    number: int
    """The commit number expected in Redis; the commit makes it `number + 1`."""
    fences: list[FenceMove] = []
    profiles: list[ProfileWrite] = []
    outbox: list[tuple[int, bytes]] = []
    """(position in the bucket's outbox, packed OutgoingMessage)."""
    outbox_trim: list[int] = []
    """Positions that Kafka has confirmed."""
    published: list[tuple[str, int]] = []
    """(customer, version) of profiles that Kafka has confirmed: no longer dirty when the version is equal."""
    tally: list[tuple[str, int]] = []
    """(`<what>:<topic>:<partition>`, increment): received, applied, duplicate, late, dead_lettered, control ..."""
    seen: list[tuple[int, bytes]] = []
    """(event hour, packed 12-byte entries): event ids for dedup."""
    seen_drop: list[int] = []


class BucketClaim(msgspec.Struct, frozen=True, gc=False):
    """What a claim found in one bucket, after it raised the epoch."""

    bucket: int
    epoch: int
    token: str
    """The owner's token: another one than the reader's means another owner."""
    number: int
    fences: dict[str, int]
    outbox: list[tuple[int, bytes]]
    dirty: dict[str, int]
    first_due: int | None
    seen_hours: list[int]
    tally: dict[str, int]


class StoredProfile(msgspec.Struct, frozen=True, gc=False):
    """A profile as Redis holds it."""

    version: int
    state: bytes


ReadProfile = StoredProfile | Literal["wrong_type"] | None
"""A profile, none stored, or a key that holds something else (the customer's records are dead letters)."""

CommitOutcome = Literal["applied", "stale_epoch", "stale_number", "stale_fence", "stale_version", "wrong_type"]

Standing = Literal["live", "switching", "shadow"]
"""Of a generation of keys: readers follow it; they will soon follow another; they do not follow it."""

Json = dict[str, Any]
