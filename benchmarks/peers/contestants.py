"""Who takes part: the peers as programs of their own, and Footfall's `process` role on the same topics."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr
from redis import Redis

from benchmarks.measure import scraped, total
from benchmarks.peers import job
from benchmarks.peers.plan import Plan
from benchmarks.peers.runs import GRACE, Outputs, Program, Result, watch
from benchmarks.peers.tree import Cost, members
from benchmarks.peers.verdict import differences
from benchmarks.services import check_running
from schemas.partitioning import bucket_of
from sinks.keys import bucket_keys
from streams.clients import redis_client
from streams.embedded.child import Service
from streams.embedded.ports import HOST, choose_port
from streams.embedded.redis import RedisServer
from streams.embedded.role import RoleProcess
from streams.settings import Settings

HERE: Final = Path(__file__).parent
GUARANTEES: Final[Mapping[str, str]] = {
    "footfall": "exactly once in its state; each profile's last version at least once, with its number",
    "kafka_streams": "exactly once (v2), output included",
    "quix": "at least once",
    "bytewax": "at least once (its recovery store)",
    "pyflink": "exactly once in its state, output at least once",
    "faust": "at least once; a state written twice counts twice",
}
"""Name -> what it promises when it is killed."""


class Contestant(Protocol):
    """Somebody who does the shared job."""

    name: str

    def build(self) -> None:
        """Make what it needs; does nothing when that is there."""

    def run(self, plan: Plan, home: Path) -> Result:
        """Do it once in an empty folder; what it took. Raises RuntimeError, with its log, when it fails."""

    def differing(self, states: Mapping[str, job.State]) -> list[str]:
        """What the last run says otherwise than the recount."""


@dataclass(slots=True)
class Peer:
    """A folder beside this file with `build` and `run`: one message an event."""

    name: str
    _plan: Plan | None = None

    @property
    def folder(self) -> Path:
        """Where it lives."""
        return HERE / self.name

    def build(self) -> None:
        """Its environment; does nothing when it is there."""
        subprocess.run([str(self.folder / "build")], check=True)  # noqa: S603  a script of this folder

    def run(self, plan: Plan, home: Path) -> Result:
        """Through when the output topic holds a message for every event."""
        self._plan = plan
        _make_output(plan)
        with RedisServer(choose_port(), home / "redis", home / "redis.log") as redis:
            _relax(redis)
            path = home / "plan.json"
            replace(plan, redis=redis.url).write(path)
            program, outputs = Program([str(self.folder / "run"), str(path)], home / "log"), Outputs(plan)
            session = program.start()
            try:
                return watch(
                    outputs.count, plan.events, Cost(lambda: [*members(session), *_pids(redis)]), program.check
                )
            finally:
                program.stop()
                outputs.close()

    def differing(self, states: Mapping[str, job.State]) -> list[str]:
        """Its last message of each customer."""
        assert self._plan is not None
        return differences(self._plan, states)


@dataclass(slots=True)
class Footfall:
    """The shipped `process` role. It does more than the shared job: every aggregate, sessions, dedup, dead letters.

    `settings` name the broker and the registry; `segments` is a file of rules, or null for those shipped.
    """

    name: str
    settings: Settings
    customers: Collection[str]
    """Whose traits are read when a run is through, before its Redis goes."""
    segments: Path | None = None
    _traits: dict[str, dict[str, Any]] = field(default_factory=dict)

    def build(self) -> None:
        """It is what runs this."""

    def run(self, plan: Plan, home: Path) -> Result:
        """Through when every event is applied: committed, published, confirmed."""
        with RedisServer(choose_port(), home / "redis", home / "redis.log") as redis:
            settings = self._settings(plan, redis.url)
            role = RoleProcess("process", settings, home / "log", {})
            role.start()
            url = f"http://{HOST}:{settings.metrics.process}/metrics"
            try:
                cost = Cost(lambda: _pids(role, redis))
                result = watch(lambda: _applied(url), plan.events, cost, lambda: check_running({"process": role}))
            finally:
                role.stop(GRACE)
            self._traits = _traits_in(settings, self.customers)
        return result

    def _settings(self, plan: Plan, redis: str) -> Settings:
        told = self.settings
        return told.model_copy(
            update={
                "installation": plan.group,
                "redis": told.redis.model_copy(update={"url": SecretStr(redis)}),
                "metrics": told.metrics.model_copy(update={"process": choose_port()}),
                "segments": self.segments or told.segments,
            }
        )

    def differing(self, states: Mapping[str, job.State]) -> list[str]:
        """The traits that the role left in Redis, at the instant they say."""
        return [line for name, state in states.items() for line in _unlike(name, state, self._traits.get(name, {}))]


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


def _pids(*services: Service) -> list[int]:
    return [service.pid for service in services if service.pid is not None]


def _applied(url: str) -> int:
    try:
        return int(total(scraped(url), "footfall_events_applied_total"))
    except OSError:  # it does not listen yet
        return 0


def _traits_in(settings: Settings, customers: Iterable[str]) -> dict[str, dict[str, Any]]:
    client, prefix = redis_client(settings), settings.redis.prefix
    pipeline: Any = client.pipeline(transaction=False)
    names = list(customers)
    for name in names:
        pipeline.hget(bucket_keys(prefix, 1, bucket_of(name)).profile_of(name), "traits")
    stored = pipeline.execute()
    client.close()
    return {name: orjson.loads(traits) for name, traits in zip(names, stored, strict=True) if traits}


def _make_output(plan: Plan) -> None:
    admin = AdminClient({"bootstrap.servers": plan.bootstrap})
    for made in admin.create_topics([NewTopic(plan.output, plan.partitions, 1)]).values():
        made.result(30)


def _relax(redis: RedisServer) -> None:
    """One fsync a second, as a peer's user has it: peers promise nothing that needs one at every write."""
    client = Redis.from_url(redis.url)
    client.config_set("appendfsync", "everysec")
    client.close()
