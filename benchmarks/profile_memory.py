"""What a profile takes in memory, and what `processors/weight.py` says it takes: python -m benchmarks.profile_memory.

Profiles are folded from histories of some lengths, scored, stored, and loaded again and again until they fill a few
hundred MiB, each ready for its next event; what the process grows by is theirs. Run it as a role runs, in jemalloc
where there is one (`LD_PRELOAD=libjemalloc.so.2 PYTHONMALLOC=malloc`), with the fold compiled.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from statistics import fmean
from typing import Final, NamedTuple

from benchmarks.generator import Generator, batches
from benchmarks.measure import MIB, memory_mib
from benchmarks.prefill import Reader, history_load
from benchmarks.throughput_options import START
from processors.batch_scores import score
from processors.fold import Outcome, Policy, advance, fold
from processors.profile import Profile
from processors.scoring import ScorerHistory
from processors.state import decode_state, encode_state
from processors.weight import memory_of
from schemas.codec import schema_of
from schemas.topics import INPUT_TOPICS
from streams.environment import contract_of, policy_of
from streams.settings import Settings, load_settings

CUSTOMERS: Final = 2_000
BATCH: Final = 10_000
EVENTS: Final = (20_000, 60_000, 240_000, 960_000)
FILL: Final = 250_000_000
"""Bytes, about, that the profiles loaded again should take: against it whatever else the process does is nothing."""
_OF_A_BYTE: Final = 8
"""Bytes of memory, about, for each of a stored state."""


class Taken(NamedTuple):
    """Bytes a profile, on average."""

    state: float
    memory: float
    estimate: float


def measured(events: int) -> Taken:
    """Of the customers of a history of so many events over 90 days. Once a process: a second time finds room left."""
    settings = load_settings(clock="event")
    policy = policy_of(settings)
    folded = _folded(settings, policy, events)
    states = [encode_state(profile) for profile in folded]
    before = _resident()
    loaded = [
        decode_state(profile.customer, 1, state, policy.calendar, policy.limits)
        for _ in range(1 + FILL // (_OF_A_BYTE * sum(map(len, states))))
        for profile, state in zip(folded, states, strict=True)
    ]
    weights = [_used(profile, policy) for profile in loaded]
    taken = (_resident() - before) / len(loaded)
    return Taken(fmean(map(len, states)), taken, fmean(weights))


def _used(profile: Profile, policy: Policy) -> int:
    """Its weight once it was advanced and encoded: then it knows its turns, and keeps what it has packed."""
    advance(profile, profile.as_of, policy, Outcome())
    return memory_of(profile, len(encode_state(profile)))


def _folded(settings: Settings, policy: Policy, events: int) -> list[Profile]:
    ids = {topic: number for number, topic in enumerate(INPUT_TOPICS)}
    schemas = {number: schema_of(topic) for topic, number in ids.items()}
    reader = Reader(schemas.get, replace(contract_of(settings), clamp_to_append=False))
    generator = Generator(history_load(1, CUSTOMERS, events, START, 1.0), ids, 1)
    profiles: dict[str, Profile] = {}
    for size in batches(events, BATCH):
        for event in reader.events(list(enumerate(generator.batch(size)))):
            profile = profiles.setdefault(event.customer_id, Profile(event.customer_id))
            fold(profile, event, policy, Outcome())
    folded = list(profiles.values())
    score(folded, Outcome(), ScorerHistory(version("river")), policy)
    return folded


def _resident() -> float:
    gc.collect()
    return memory_mib(os.getpid()) * MIB


def main(arguments: Sequence[str] | None = None) -> None:
    """A line for each length of history."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_memory", description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=EVENTS, help="of a history (%(default)s)")
    lengths = parser.parse_args(arguments).events
    print(f"{'events a customer':>18}{'state':>9}{'memory':>9}{'estimate':>10}   bytes a profile")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for events, taken in zip(lengths, pool.imap(measured, lengths), strict=True):
            row = f"{events / CUSTOMERS:>18,.0f}{taken.state:>9,.0f}{taken.memory:>9,.0f}{taken.estimate:>10,.0f}"
            print(row, flush=True)


if __name__ == "__main__":
    main()
