"""A digest of everything the compiled modules say of a seeded history: run where they are compiled and where not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from importlib.metadata import version

from librt.vecs import vec

from benchmarks.generator import Generator, Load
from benchmarks.prefill import Reader
from processors.batch_scores import score
from processors.calendar import DAY
from processors.churn import example_of
from processors.dedup import Seen, event_digests
from processors.event import Event
from processors.features import FEATURES
from processors.fold import Outcome, Policy, advance, fold
from processors.gathering import (
    at_hand,
    buckets_of_events,
    by_customer,
    checksums_of,
    counted,
    in_one_order,
    names_of,
    times_of,
)
from processors.portrait import encode_portrait
from processors.profile import Profile
from processors.scoring import LinearScorer, ScorerHistory
from processors.state import decode_state, encode_state
from schemas.codec import OutputCodec, ParsedSchema, schema_of
from schemas.results import ProfileUpdate
from schemas.topics import INPUT_TOPICS, OUTPUT_TOPICS
from streams.build import fold_is_compiled
from streams.environment import contract_of, policy_of
from streams.settings import load_settings

EVENTS = 12_000
START = 1_704_067_200_000


def events() -> list[Event]:
    """Six topics, 300 customers, 60 days; late ones and refunds among them."""
    ids = {topic: number for number, topic in enumerate(INPUT_TOPICS)}
    known: dict[int, ParsedSchema] = {number: schema_of(topic) for topic, number in ids.items()}
    load = Load(seed=3, customers=300, rate=EVENTS / (60 * 86_400), start=START, late=0.1, late_ms=40 * 3_600_000)
    records = Generator(load, ids, 8).batch(EVENTS)
    return Reader(known.get, contract_of(load_settings())).events(list(enumerate(records)))


def folded(made: Iterable[Event], policy: Policy, said: Outcome) -> dict[str, Profile]:
    """The customers of some events, by name, and what folding said of them."""
    profiles: dict[str, Profile] = {}
    for event in made:
        fold(profiles.setdefault(event.customer_id, Profile(event.customer_id)), event, policy, said)
    return profiles


def digest(policy: Policy) -> str:
    """Of every change, answer, score, state and trait, as they are after the last event and 100 days of silence."""
    said, scorers = Outcome(), history()
    profiles = folded(events(), policy, said)
    everybody = list(profiles.values())
    score(everybody, said, scorers, policy)
    assert {p.score.model_version for p in everybody if p.score} == {1}
    whole = sha256(repr([(p.score, p.pending) for p in everybody]).encode())
    for name, p in profiles.items():
        advance(p, START + 160 * DAY, policy, said)
        again = decode_state(name, p.version, encode_state(p), policy.calendar, policy.limits)
        assert encode_portrait(again) == encode_portrait(p), name
    score(everybody, said, scorers, policy)
    assert {p.score.model_version for p in everybody if p.score} == {0}, "all are silent"
    whole.update(repr(_greatest().score(vec[float](float(n) for n in range(len(FEATURES))))).encode())
    for profile in everybody:
        whole.update(encode_state(profile) + encode_portrait(profile))
    for one in (*said.changes, *said.answers):
        whole.update(repr(one).encode())
    for record in records(said, profiles.values()):
        whole.update(record)
    whole.update(repr(gathered(profiles)).encode())
    assert len(said.changes) > 1_000, len(said.changes)
    assert said.answers
    return whole.hexdigest()


def history() -> ScorerHistory:
    """One model that may score everything, in which no two features weigh the same."""
    numbers = [1.0 + n / 8 for n in range(len(FEATURES))]
    found = ScorerHistory(version("river"))
    found._scorers = [_scorer(numbers, [1 / n for n in numbers], numbers[::-1], limit=5.0)]
    return found


def _greatest() -> LinearScorer:
    """The greatest parameters that are let in."""
    most = [1e100] * len(FEATURES)
    return _scorer(most, most, most, limit=1e100)


def _scorer(means: list[float], scales: list[float], weights: list[float], limit: float) -> LinearScorer:
    return LinearScorer(
        version=1, label_time_max=0, mature=True, means=vec[float](means), inverse_scales=vec[float](scales),
        weights=vec[float](weights), intercept=0.1, limit=limit,
    )  # fmt: skip


def records(said: Outcome, profiles: Iterable[Profile]) -> Iterator[bytes]:
    """What goes to the result topics."""
    codec = OutputCodec({topic: number for number, topic in enumerate(OUTPUT_TOPICS)})
    yield from map(codec.encode_change, said.changes)
    yield from (codec.encode_training_example(example_of(known)) for known in said.answers)
    for p in profiles:
        yield codec.encode_profile_update(ProfileUpdate(p.customer, p.version, p.as_of, encode_portrait(p)))


def gathered(profiles: dict[str, Profile]) -> tuple[object, ...]:
    """What is said of all events taken together: their order, customers, counts and repetitions."""
    made = events()
    merged = in_one_order([[one for one in made if one.origin == origin] for origin in {one.origin: 0 for one in made}])
    found, missing = at_hand([merged], {name: p for name, p in profiles.items() if not name.endswith("7")})
    known = [one for one in merged if one.customer_id in found]
    buckets = buckets_of_events(known, found)
    seen = Seen(24)
    seen.claim(0, [])
    verdicts = seen.check_batch(buckets, times_of(known), event_digests(b"key", *names_of(known)), checksums_of(known))
    theirs = [(p.customer, [one.offset for one in some]) for p, some in by_customer(known, found)]
    return [one.offset for one in merged], missing, theirs, counted(known, buckets), verdicts, seen.additions(0)


if __name__ == "__main__":
    print("compiled" if fold_is_compiled() else "plain", digest(policy_of(load_settings())))
