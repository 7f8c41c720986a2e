"""What a replay is asked for, and what it works with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from processors.fold import Policy
from schemas.codec import OutputCodec
from schemas.errors import ConfigurationError
from schemas.results import CommitOutcome, ModelSnapshot
from sinks.generations import Copy, Place
from sinks.kafka import Publisher
from sinks.profiles import ProfileStore
from streams.journey import Journey
from streams.refold.bounds import Bound
from streams.refold.fold import Owners
from streams.refold.live import Layout
from streams.refold.log import Reader
from streams.settings import Settings


class SourceReader(Reader, Protocol):
    """A reader that also tells where its log begins."""

    def start(self, partition: int) -> int: ...


class JobLease(Protocol):
    """The part of `Lease` that is used here."""

    @property
    def token(self) -> str: ...
    def take(self) -> bool: ...
    def renew(self) -> bool: ...
    def release(self) -> bool: ...
    def switch(self, generation: int) -> bool: ...


class Keyspaces(Protocol):
    """The part of `Generations` that is used here."""

    def live(self) -> int: ...
    def store(self, generation: int) -> ProfileStore: ...
    def replay_lease(self) -> JobLease: ...
    def switch_lease(self) -> JobLease: ...
    def customers(self, generation: int) -> Iterator[list[Place]]: ...
    def empty_others(self, live: int, token: str) -> int: ...
    def adopt(self, live: int, shadow: int, owners: Owners, copies: Sequence[Copy]) -> list[CommitOutcome]: ...


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for. Raises ConfigurationError for what contradicts itself."""

    since: Bound | None = None
    """Where the fold begins; null: at the start of the log."""
    until: Bound | None = None
    """Where it ends; null: where the live generation is."""
    switch: bool = False
    force: bool = False
    """Switch though rule-driven changes differ; it lifts nothing else."""
    partial: bool = False
    """Compare with part of a history: a log that lacks its beginning, or a fold that begins later."""
    keep: bool = False
    """Leave the shadow in Redis."""
    model: int | None = None
    """Compare scores as this version of the model gives them."""
    listed: int = 20
    """Differences listed."""

    def __post_init__(self) -> None:
        if self.switch and self.until is not None:
            raise ConfigurationError("--switch needs every record the live profiles hold: leave --to out.")
        if self.switch and self.partial:
            raise ConfigurationError(
                "--switch with --partial would make profiles live that lack part of their history: leave one of them "
                "out."
            )

    @property
    def whole(self) -> bool:
        """Whether all that the live generation holds is folded."""
        return self.until is None and self.since is None and not self.partial


@dataclass(frozen=True, slots=True)
class Watch:
    """Who hears how far it is: a stage begins with so many records or customers ahead, and so many are done."""

    stage: Callable[[str, int | None], None] = lambda _name, _total: None
    done: Callable[[int], None] = lambda _n: None


@dataclass(frozen=True, slots=True)
class Parts:
    """The collaborators."""

    settings: Settings
    policy: Policy
    layout: Layout
    keyspace: Keyspaces
    readers: Mapping[str, SourceReader]
    codec: OutputCodec
    publisher: Publisher
    """The real one: what the live generation has not published yet goes out before a switch."""
    journey_on: Callable[[ProfileStore, Publisher], Journey]
    snapshots: Sequence[ModelSnapshot] = ()
