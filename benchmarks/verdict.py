"""Whether what the worker stored is true: profiles read from Redis, against a recount of the generated events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from benchmarks.differential import Difference, differences
from benchmarks.generator import Generator, renamed, sharer_of
from processors.fold import Outcome, Policy, advance
from processors.portrait import encode_portrait
from processors.profile import Profile
from processors.state import decode_state
from schemas.partitioning import bucket_of
from sinks.keys import bucket_keys
from tests.oracle.recount import Event, recount

_AT_ONCE: Final = 200_000
"""Events recounted together: the hottest customers come alone."""

Kept = tuple[int, str, bytes]
"""Arrival, topic, framed record."""
Row = tuple[int, bytes, bytes]
"""Version, state and traits of a profile in Redis."""
Counts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """A load as it was sent: its generator's arguments and batch sizes.

    A load of fewer customers than are asked for is that of all of them: each shares one's events (`History`).
    """

    generator: Generator
    sizes: Sequence[int]

    def records_of(self, keys: Collection[bytes], first: int) -> Iterator[tuple[bytes, Kept]]:
        """The records of some customers, arrival counted from `first`."""
        sharing: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for key in keys:
            sharing[sharer_of(key, self.generator.load.customers)].append(key)
        arrival = first
        for size in self.sizes:
            for topic, _, sent, value in self.generator.batch(size):
                for key in sharing.get(sent, ()):
                    yield key, (arrival, topic, renamed(value, key))
                arrival += 1

    def event(self, topic: str, value: bytes) -> Event:
        """A record's event under its Avro field names."""
        return self.generator.event((topic, 0, b"", value))


@dataclass(frozen=True, slots=True)
class Stored:
    """The profiles of an installation in Redis, first generation."""

    client: Any
    prefix: str
    policy: Policy

    def compare(self, parts: Sequence[Part], customers: Collection[str], t: int) -> list[Difference]:
        """Everything that differs at instant `t` (ms), at or after the last event. Generators must be fresh."""
        profiles, found = _decoded(self._rows(customers), self.policy, t)
        for group in _groups(parts, customers):
            # numbered anew: who shares a history has the same arrivals, and the recount wants each once
            events = [(place, topic, parts[0].event(topic, value)) for place, (_, topic, value) in enumerate(group)]
            counts = recount(events, t)
            found += differences({name: profiles[name] for name in counts.keys() & profiles.keys()}, counts)
            profiles = {name: profile for name, profile in profiles.items() if name not in counts}
        return found + [Difference(name, "profile", "stored", "has no events") for name in profiles]

    def _rows(self, customers: Collection[str]) -> dict[str, Row]:
        """Those that are stored."""
        rows: dict[str, Row] = {}
        for customer in customers:
            key = bucket_keys(self.prefix, 1, bucket_of(customer)).profile_of(customer)
            version, state, traits = self.client.hmget(key, "version", "state", "traits")
            if version is not None:
                rows[customer] = (int(version), state, traits)
        return rows


def rows_in(client: Any, prefix: str) -> dict[str, Row]:
    """Every profile of an installation, first generation."""
    keys = list(client.scan_iter(match=f"{prefix}:1:*:p:*", count=5_000))
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.hmget(key, "version", "state", "traits")
    return {
        key.decode().split(":p:", 1)[1]: (int(version), state, traits)
        for key, (version, state, traits) in zip(keys, pipe.execute(), strict=True)
    }


def stored_differences(
    rows: Mapping[str, Row], policy: Policy, counts: Mapping[str, Counts], t: int
) -> list[Difference]:
    """Everything in which stored profiles differ from the recount at instant `t` (ms), at or after the last event."""
    profiles, found = _decoded(rows, policy, t)
    return found + differences(profiles, counts)


def _decoded(rows: Mapping[str, Row], policy: Policy, t: int) -> tuple[dict[str, Profile], list[Difference]]:
    """The profiles as they are at `t`, and where the traits beside a state say something else."""
    profiles: dict[str, Profile] = {}
    found: list[Difference] = []
    for customer, (version, state, traits) in rows.items():
        p = decode_state(customer, version, state, policy.calendar, policy.limits)
        found += _traits_unlike(p, orjson.loads(traits))
        advance(p, t, policy, Outcome())
        profiles[customer] = p
    return profiles, found


def _traits_unlike(p: Profile, written: dict[str, Any]) -> list[Difference]:
    derived = orjson.loads(encode_portrait(p))
    return [
        Difference(p.customer, f"traits.{name}", written.get(name), derived.get(name))
        for name in derived.keys() | written.keys()
        if derived.get(name) != written.get(name)
    ]


def _groups(parts: Sequence[Part], customers: Collection[str]) -> Iterator[list[Kept]]:
    """The records of all customers, in groups of whole customers."""
    by_customer = _kept(parts, {customer.encode() for customer in customers})
    group: list[Kept] = []
    for _, kept in sorted(by_customer.items(), key=lambda item: len(item[1])):
        if group and len(group) + len(kept) > _AT_ONCE:
            yield sorted(group)
            group = []
        group += kept
        kept.clear()
    if group:
        yield sorted(group)


def _kept(parts: Sequence[Part], keys: Collection[bytes]) -> dict[bytes, list[Kept]]:
    by_customer: defaultdict[bytes, list[Kept]] = defaultdict(list)
    first = 0
    for part in parts:
        for key, kept in part.records_of(keys, first):
            by_customer[key].append(kept)
        first += sum(part.sizes)
    return by_customer


def sample_of(customers: int, size: int, hottest: int = 10) -> list[int]:
    """Ranks to compare: the hottest, and the others spread evenly over all ranks."""
    size = min(size, customers)
    hottest = min(hottest, size)
    others = size - hottest
    step = (customers - hottest) / others if others else 0.0
    return [*range(hottest), *(hottest + int(place * step) for place in range(others))]
