"""Footfall takes part: its shipped `process` role on the peers' topics."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import orjson
from pydantic import SecretStr

from benchmarks.measure import scraped, total
from benchmarks.peers import job
from benchmarks.peers.contestants import Running, pids_of
from benchmarks.peers.load import made_up
from benchmarks.peers.plan import Plan
from benchmarks.peers.runs import GRACE, Outputs, Result, watch
from benchmarks.peers.tree import Cost
from benchmarks.prefill import publish
from benchmarks.services import check_running
from benchmarks.throughput_options import WORKER
from processors.features import FEATURES
from processors.parameters import LinearParameters
from schemas.partitioning import bucket_of
from schemas.results import ModelSnapshot
from schemas.topics import PROFILES
from sinks.keys import bucket_keys
from streams.clients import redis_client
from streams.embedded.ports import HOST, choose_port
from streams.embedded.redis import RedisServer
from streams.embedded.role import RoleProcess
from streams.settings import Settings

Clock = Literal["event", "wall"]
EACH: Final = "benchmarks.peers.each"
FOOTFALLS_MODEL: Final = 10_000
"""Version of the model that Footfall scores with: as many examples learnt."""


@dataclass(slots=True)
class Footfall:
    """The shipped `process` role. It does more than the shared job: every aggregate, sessions, dedup, dead letters.

    It has no count of all events, and a score of its own: these are not compared, but that a model made the score is.
    `settings` name the broker and the registry; `segments` is a file of rules, or null for those shipped.
    """

    name: str
    settings: Settings
    customers: Collection[str]
    """Whose traits are read when a run is through, before its Redis goes."""
    segments: Path | None = None
    program: str = WORKER
    """The module that runs it: the shipped one, or `EACH`, which sends a message for every event."""
    _lacking: list[str] = field(default_factory=list)
    _traits: dict[str, dict[str, Any]] = field(default_factory=dict)

    def build(self) -> None:
        """It is what runs this."""

    def run(self, plan: Plan, home: Path, most: float) -> Result:
        """Through when it says of every event that it is applied: after its state is stored, and all is published.

        Its offsets would say the same, a second later and a poll at a time: a quarter of a short run.
        """
        with closing(Outputs(replace(plan, output=PROFILES))) as updates:
            before = updates.exactly()
            with self._started(plan, home, "event") as (role, redis, settings):
                cost = Cost(lambda: pids_of(role, redis))
                result = watch(_applied(settings), plan.events, cost, lambda: check_running({"process": role}), most)
                role.stop(GRACE)
                self._lacking = self._too_few(updates.exactly() - before, plan) if result.whole else []
                self._traits = _traits_in(settings, self.customers) if result.whole else {}
        return result

    @contextmanager
    def running(self, plan: Plan, home: Path) -> Iterator[Running]:
        """By the wall clock: nobody sends clock markers among live events."""
        with self._started(plan, home, "wall") as (role, redis, _):
            yield Running(lambda: check_running({"process": role}), lambda: pids_of(role, redis))

    def output(self, plan: Plan) -> str:  # noqa: ARG002  a peer's lies in the plan
        """Its profile updates."""
        return PROFILES

    @contextmanager
    def _started(self, plan: Plan, home: Path, clock: Clock) -> Iterator[tuple[RoleProcess, RedisServer, Settings]]:
        with ExitStack() as stack:
            redis = stack.enter_context(RedisServer(choose_port(), home / "redis", home / "redis.log"))
            settings = self._settings(plan, redis.url, clock)
            role = RoleProcess("process", settings, home / "log", {}, self.program)
            role.start()
            stack.callback(role.stop, GRACE)
            yield role, redis, settings

    def _settings(self, plan: Plan, redis: str, clock: Clock) -> Settings:
        told = self.settings
        return told.model_copy(
            update={
                "clock": clock,
                "installation": plan.group,
                "redis": told.redis.model_copy(update={"url": SecretStr(redis)}),
                "metrics": told.metrics.model_copy(update={"process": choose_port()}),
                "segments": self.segments or told.segments,
            }
        )

    def differing(self, states: Mapping[str, job.State]) -> list[str]:
        """The traits that the role left in Redis, at the instant they say; and messages, where one an event is due."""
        unlike = [line for name, state in states.items() for line in _unlike(name, state, self._traits.get(name, {}))]
        return self._lacking + unlike

    def _too_few(self, messages: int, plan: Plan) -> list[str]:
        if self.program != EACH or messages >= plan.events:
            return []
        return [f"{messages:,} messages came out of {plan.events:,} events"]


def _applied(settings: Settings) -> Callable[[], int]:
    url = f"http://{HOST}:{settings.metrics.port_of('process')}/metrics"

    def count() -> int:
        try:
            return int(total(scraped(url), "footfall_events_applied_total"))
        except OSError:  # it does not serve yet
            return 0

    return count


def _unlike(customer: str, state: job.State, traits: Mapping[str, Any]) -> Iterator[str]:
    as_of = traits.get("as_of", 0)
    if as_of < state["as_of"]:
        yield f"{customer}: stands at {as_of}, its last event is of {state['as_of']}"
        return
    wanted = {name: state[name] for name in ("first_seen", "last_seen", "last_order")}
    wanted |= {f"{name}_lifetime": state[name] for name in ("orders", "revenue")}
    for window, sums in job.totals(state, as_of).items():
        wanted |= {f"{measure}_{window}": n for measure, n in zip(job.MEASURES, sums, strict=True)}
    for name, value in wanted.items():
        if not name.startswith("events_") and traits.get(name, 0) != value:
            yield f"{customer}: {name} is {traits.get(name, 0)}, recounted {value}"
    if traits.get("churn", {}).get("model_version") != FOOTFALLS_MODEL and state["last_seen"] > as_of - 30 * job.DAY:
        yield f"{customer}: no model made the score {traits.get('churn')}"


def _traits_in(settings: Settings, customers: Iterable[str]) -> dict[str, dict[str, Any]]:
    client, prefix = redis_client(settings), settings.redis.prefix
    pipeline: Any = client.pipeline(transaction=False)
    names = list(customers)
    for name in names:
        pipeline.hget(bucket_keys(prefix, 1, bucket_of(name)).profile_of(name), "traits")
    stored = pipeline.execute()
    client.close()
    return {name: orjson.loads(traits) for name, traits in zip(names, stored, strict=True) if traits}


def publish_model(settings: Settings, instant: int) -> None:
    """The model that Footfall scores with, from this instant on: its parameters are made up, as the peers' are."""
    parameters = LinearParameters(**made_up(FEATURES), limit=10.0, positives=5_000, negatives=5_000)
    payload = msgspec.json.encode(parameters)
    digest = sha256(payload).hexdigest()
    publish(settings, ModelSnapshot(FOOTFALLS_MODEL, instant - 1, 0, version("river"), payload, digest))
