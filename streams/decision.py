"""What one batch decided, gathered while it is folded, and turned into one commit a bucket."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

import msgspec

from processors.calendar import NEVER
from processors.churn import Answer, example_of
from processors.fold import Outcome
from processors.identity import derived_id
from processors.portrait import encode_portrait
from processors.profile import Profile
from processors.state import encode_state
from schemas.codec import OutputCodec
from schemas.events import Rejected
from schemas.partitioning import bucket_of
from schemas.results import (
    BucketCommit,
    DeadLetter,
    Headers,
    OutgoingMessage,
    ProfileUpdate,
    ProfileWrite,
    SegmentChange,
)
from schemas.topics import CLOCK_HEADER, DEAD_LETTERS, PROFILES, SEGMENT_CHANGES, TRAINING_EXAMPLES
from sinks.poison import PoisonSums
from streams.ownership import OwnedBucket, OwnedPartition, Profiles
from streams.slices import Slice

pack_message = msgspec.msgpack.Encoder().encode
unpack_message = msgspec.msgpack.Decoder(OutgoingMessage).decode


@dataclass(slots=True)
class Decision:
    """Everything a batch changes, by bucket where it matters."""

    outcome: Outcome = field(default_factory=Outcome)
    folded: dict[str, Profile] = field(default_factory=dict)
    """Changed, and not scored and encoded yet."""
    changed: dict[str, Profile] = field(default_factory=dict)
    """Changed, scored and encoded."""
    owners: list[OwnedPartition] = field(default_factory=list)
    """Partition numbers whose buckets it may touch."""
    slices: list[tuple[OwnedPartition, Slice]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    tallies: dict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    """Bucket -> `<what>:<topic>:<partition>` -> increment."""
    messages: dict[int, list[OutgoingMessage]] = field(default_factory=lambda: defaultdict(list))
    """Bucket -> changes and examples, in sequence: its outbox."""
    outbox: dict[int, list[int]] = field(default_factory=dict)
    """Bucket -> the positions of its messages in the outbox, once they are committed."""
    writes: dict[int, list[ProfileWrite]] = field(default_factory=lambda: defaultdict(list))
    """Bucket -> changed profiles, encoded."""
    published: dict[int, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    """Bucket -> (customer, version) of the updates."""
    seen: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    """Bucket -> (event hour, packed ids) to remember."""
    seen_drop: dict[int, list[int]] = field(default_factory=dict)
    late: Counter[tuple[int, str]] = field(default_factory=Counter)
    """(bucket, fence) -> events at least a 5-minute bucket older than their profile."""
    clocks: dict[int, int] = field(default_factory=dict)
    """Partition number -> instant of the event clock that is through with this decision."""
    updates: list[OutgoingMessage] = field(default_factory=list)
    """Profile updates; they need no outbox, the state is one."""
    ticks: int = 0
    poison: PoisonSums | None = None
    """What the limits of bad input have counted with this decision, when that is to be kept."""

    def count(self, bucket: int, what: str, part: Slice, n: int = 1) -> None:
        """Add to the tally that commits with the state."""
        self.tallies[bucket][f"{what}:{part.topic}:{part.partition}"] += n

    def received(self, owner: OwnedPartition, part: Slice) -> int:
        """Records of the slice's topic-partition that no fence had passed."""
        name = f"received:{part.topic}:{part.partition}"
        return sum(self.tallies[bucket].get(name, 0) for bucket in owner.buckets if bucket in self.tallies)

    def reject(self, bucket: int, part: Slice, bad: Rejected) -> None:
        """A record that goes to `dead-letters`."""
        self.count(bucket, "dead_lettered", part)
        self.letters.append(letter_of(part, bad))


def letter_of(part: Slice, bad: Rejected) -> DeadLetter:
    """A dead letter with an id that a repetition repeats."""
    return DeadLetter.of(derived_id(f"letter:{part.fence}:{bad.offset}"), part.topic, part.partition, bad)


def letter_message(letter: DeadLetter, codec: OutputCodec) -> OutgoingMessage:
    """A dead letter, keyed by its id."""
    return OutgoingMessage(DEAD_LETTERS, letter.letter_id.encode(), codec.encode_dead_letter(letter))


def gather_messages(decision: Decision, codec: OutputCodec) -> None:
    """Changes and examples into the outboxes of their buckets, in sequence; clocks into that of the lowest one."""
    for change in decision.outcome.changes:
        bucket = decision.changed[change.customer_id].bucket
        decision.messages[bucket].append(change_message(change, codec))
    for known in decision.outcome.answers:
        decision.messages[_bucket(decision, known)].append(_example_message(known, codec))
    for number, instant in decision.clocks.items():
        decision.messages[number].append(_clock_message(number, instant))


def _bucket(decision: Decision, known: Answer) -> int:
    profile = decision.changed.get(known.customer)
    return profile.bucket if profile is not None else bucket_of(known.customer)


def change_message(change: SegmentChange, codec: OutputCodec) -> OutgoingMessage:
    """A segment change, keyed by its customer."""
    return OutgoingMessage(SEGMENT_CHANGES, change.customer_id.encode(), codec.encode_change(change))


def _example_message(known: Answer, codec: OutputCodec) -> OutgoingMessage:
    value = codec.encode_training_example(example_of(known))
    return OutgoingMessage(TRAINING_EXAMPLES, known.customer.encode(), value, partition=0)


def _clock_message(number: int, instant: int) -> OutgoingMessage:
    """Tells the trainer that every label of a partition number up to this instant is in."""
    headers: Headers = [(CLOCK_HEADER, str(instant).encode())]
    return OutgoingMessage(TRAINING_EXAMPLES, str(number).encode(), None, headers, partition=0)


def clock_of(message: OutgoingMessage) -> int | None:
    """The instant (ms) a clock message tells; null for any other message."""
    return next((int(value or b"") for name, value in message.headers if name == CLOCK_HEADER), None)


def update_message(update: ProfileUpdate, codec: OutputCodec) -> OutgoingMessage:
    """A profile update, keyed by its customer."""
    return OutgoingMessage(PROFILES, update.customer_id.encode(), codec.encode_profile_update(update))


def encode_profiles(decision: Decision, codec: OutputCodec, profiles: Profiles) -> None:
    """State, traits and profile update of what was folded. Versions count up here, and profiles are weighed."""
    assert decision.changed.keys().isdisjoint(decision.folded), "one commit writes a profile once"
    writes, updates, published = decision.writes, decision.updates, decision.published
    for profile in decision.folded.values():
        traits, state = encode_portrait(profile), encode_state(profile)
        profiles.weigh(profile, len(state))
        due = profile.due if profile.due < NEVER else None
        customer, before = profile.customer, profile.version
        writes[profile.bucket].append(ProfileWrite(customer, before, state, traits, due))
        profile.version = before + 1
        updates.append(update_message(ProfileUpdate(customer, before + 1, profile.as_of, traits), codec))
        published[profile.bucket].append((customer, before + 1))
    decision.changed |= decision.folded
    decision.folded = {}


def commits_of(decision: Decision, swept: Collection[OwnedPartition] = ()) -> list[BucketCommit]:
    """One commit for every bucket the decision touches, against what the bucket holds after the last one.

    Of the `swept` partition numbers also the untouched buckets that something would change: fences that lag behind,
    messages that Kafka has confirmed. Buckets that tell a clock come last: it says that every label up to it is in.
    """
    touched = decision.writes.keys() | decision.tallies.keys() | decision.messages.keys() | decision.seen.keys()
    sweeping = {owner.number for owner in swept}
    commits = []
    for partition in {owner.number: owner for owner in (*decision.owners, *swept)}.values():
        applied = partition.applied | _applied(decision, partition)
        commits += [
            _commit(decision, bucket, applied)
            for bucket in partition.buckets.values()
            if bucket.bucket in touched or (partition.number in sweeping and bucket.stale(applied))
        ]
    return sorted(commits, key=lambda commit: commit.bucket in decision.clocks)


def tally_late(decision: Decision) -> None:
    """Late events into the tallies."""
    parts = {part.fence: part for _, part in decision.slices}
    for (bucket, fence), n in decision.late.items():
        decision.count(bucket, "late", parts[fence], n)


def _applied(decision: Decision, partition: OwnedPartition) -> dict[str, int]:
    return {part.fence: part.next - 1 for owner, part in decision.slices if owner is partition}


def _commit(decision: Decision, bucket: OwnedBucket, applied: dict[str, int]) -> BucketCommit:
    outbox = [pack_message(message) for message in decision.messages.get(bucket.bucket, ())]
    return BucketCommit(
        bucket=bucket.bucket,
        epoch=bucket.epoch,
        token=bucket.token,
        number=bucket.number,
        fences=bucket.moves(applied),
        profiles=decision.writes.get(bucket.bucket, []),
        outbox=list(enumerate(outbox, bucket.outbox_next)),
        outbox_trim=list(bucket.confirmed),
        published=list(bucket.published),
        tally=list(decision.tallies.get(bucket.bucket, {}).items()),
        seen=decision.seen.get(bucket.bucket, []),
        seen_drop=decision.seen_drop.get(bucket.bucket, []),
    )
