"""Who takes part: the peers as programs of their own, and Footfall's `process` role on the same topics."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import orjson
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr
from redis import Redis

from benchmarks.peers import job
from benchmarks.peers.load import made_up
from benchmarks.peers.plan import Plan
from benchmarks.peers.runs import GRACE, Committed, Outputs, Program, Result, watch
from benchmarks.peers.tree import Cost, members
from benchmarks.peers.verdict import differences
from benchmarks.prefill import publish
from benchmarks.services import check_running
from processors.features import FEATURES
from processors.scoring import LinearParameters
from schemas.partitioning import bucket_of
from schemas.results import ModelSnapshot
from sinks.keys import bucket_keys
from streams.clients import redis_client
from streams.embedded.child import Service
from streams.embedded.ports import choose_port
from streams.embedded.redis import RedisServer
from streams.embedded.role import RoleProcess
from streams.kafka.config import KafkaConfig
from streams.kafka.topics import Topics, TopicSpec
from streams.settings import Settings

HERE: Final = Path(__file__).parent
REDIS_PEERS: Final = ("faust",)
"""Who keeps its state in a Redis."""
FOOTFALLS_MODEL: Final = 10_000
"""Version of the model that Footfall scores with: as many examples learnt."""


class Contestant(Protocol):
    """Somebody who does the shared job."""

    name: str

    def build(self) -> None:
        """Make what it needs; does nothing when that is there."""

    def run(self, plan: Plan, home: Path, most: float) -> Result:
        """Do it once, or for `most` seconds after the warm-up; `home` is a folder of its own.

        Raises RuntimeError, with its log, when it fails.
        """

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

    def run(self, plan: Plan, home: Path, most: float) -> Result:
        """Through when the output topic holds a message for every event."""
        self._plan = plan
        _make_output(plan)
        with ExitStack() as closing:
            redis = closing.enter_context(_redis(home)) if self.name in REDIS_PEERS else None
            path = home / "plan.json"
            replace(plan, redis=redis.url if redis else "").write(path)
            program, outputs = Program([str(self.folder / "run"), str(path)], home / "log"), Outputs(plan)
            closing.callback(outputs.close)
            program.start()
            closing.callback(program.stop)
            cost = Cost(lambda: [*members(program.pid or 0), *_pids(*filter(None, [redis]))])
            result = watch(outputs.count, plan.events, cost, program.check, most)
            if result.whole:
                outputs.settle()
            return result

    def differing(self, states: Mapping[str, job.State]) -> list[str]:
        """Its last message of each customer."""
        assert self._plan is not None
        return differences(self._plan, states)


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
    _traits: dict[str, dict[str, Any]] = field(default_factory=dict)

    def build(self) -> None:
        """It is what runs this."""

    def run(self, plan: Plan, home: Path, most: float) -> Result:
        """Through when the offset of every event is committed: after its state is stored, and all is published."""
        with ExitStack() as closing:
            redis = closing.enter_context(RedisServer(choose_port(), home / "redis", home / "redis.log"))
            settings = self._settings(plan, redis.url)
            through = Committed(plan, settings.group("process"))
            closing.callback(through.close)
            role = RoleProcess("process", settings, home / "log", {})
            role.start()
            closing.callback(role.stop, GRACE)
            cost = Cost(lambda: _pids(role, redis))
            result = watch(through.count, plan.events, cost, lambda: check_running({"process": role}), most)
            role.stop(GRACE)
            self._traits = _traits_in(settings, self.customers) if result.whole else {}
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
    if traits.get("churn", {}).get("model_version") != FOOTFALLS_MODEL and state["last_seen"] > as_of - 30 * job.DAY:
        yield f"{customer}: no model made the score {traits.get('churn')}"


def _pids(*services: Service) -> list[int]:
    return [service.pid for service in services if service.pid is not None]


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


def _make_output(plan: Plan) -> None:
    Topics(KafkaConfig(plan.bootstrap)).create([TopicSpec(plan.output, plan.partitions)], 1)


def forget(plan: Plan) -> None:
    """Delete what a run left on the broker: its messages, and topics that are named after its group."""
    admin = AdminClient({"bootstrap.servers": plan.bootstrap})
    names = [name for name in admin.list_topics(timeout=30).topics if plan.group in name]
    for gone in admin.delete_topics(names).values() if names else ():
        gone.result(30)


@contextmanager
def _redis(home: Path) -> Iterator[RedisServer]:
    """One fsync a second, as a peer's user has it: peers promise nothing that needs one at every write."""
    with RedisServer(choose_port(), home / "redis", home / "redis.log") as redis:
        client = Redis.from_url(redis.url)
        client.config_set("appendfsync", "everysec")
        client.close()
        yield redis
