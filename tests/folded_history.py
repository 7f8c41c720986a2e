"""A digest of everything the fold says of a seeded history: run where `processors/` is compiled and where it is not."""

from __future__ import annotations

from hashlib import sha256

from benchmarks.generator import Generator, Load
from benchmarks.prefill import Reader
from processors.calendar import DAY
from processors.event import Event
from processors.fold import Outcome, Policy, advance, fold
from processors.portrait import encode_portrait
from processors.profile import Profile
from processors.state import decode_state, encode_state
from schemas.codec import ParsedSchema, schema_of
from schemas.topics import INPUT_TOPICS
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


def digest(policy: Policy) -> str:
    """Of every change, answer, state and trait, as they are after the last event and 100 days of silence."""
    profiles: dict[str, Profile] = {}
    said = Outcome()
    for event in events():
        fold(profiles.setdefault(event.customer_id, Profile(event.customer_id)), event, policy, said)
    for name, p in profiles.items():
        advance(p, START + 160 * DAY, policy, said)
        again = decode_state(name, p.version, encode_state(p), policy.calendar, policy.limits)
        assert encode_portrait(again) == encode_portrait(p), name
    whole = sha256()
    for profile in profiles.values():
        whole.update(encode_state(profile) + encode_portrait(profile))
    for one in (*said.changes, *said.answers):
        whole.update(repr(one).encode())
    assert len(said.changes) > 1_000, len(said.changes)
    assert said.answers
    return whole.hexdigest()


if __name__ == "__main__":
    print("compiled" if fold_is_compiled() else "plain", digest(policy_of(load_settings())))
