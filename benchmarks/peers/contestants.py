"""Who takes part: what a contestant can do, and the peers as programs of their own (Footfall: ours.py)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from confluent_kafka.admin import AdminClient
from redis import Redis

from benchmarks.peers import job
from benchmarks.peers.plan import Plan
from benchmarks.peers.runs import Outputs, Program, Result, watch
from benchmarks.peers.tree import Cost, members
from benchmarks.peers.verdict import differences
from streams.embedded.child import Child
from streams.embedded.ports import choose_port
from streams.embedded.redis import RedisServer
from streams.kafka.config import KafkaConfig
from streams.kafka.topics import Topics, TopicSpec

HERE: Final = Path(__file__).parent
REDIS_PEERS: Final = ("faust",)
"""Who keeps its state in a Redis."""


class Running(NamedTuple):
    """A contestant at work."""

    check: Callable[[], None]
    """Raises an error, with its log, when it has ended by itself."""
    pids: Callable[[], list[int]]
    """All it runs on but Kafka."""


class Runner(Protocol):
    """Somebody who takes a turn in each round."""

    name: str

    def run(self, plan: Plan, home: Path, most: float) -> Result:
        """Do it once, or for `most` seconds after the warm-up; `home` is a folder of its own.

        Raises RuntimeError, with its log, when it fails.
        """

    def differing(self, states: Mapping[str, job.State]) -> list[str]:
        """What the last run says otherwise than the recount."""


class Contestant(Runner, Protocol):
    """Somebody who does the shared job, and goes on doing it as long as events come."""

    def build(self) -> None:
        """Make what it needs; does nothing when that is there."""

    def running(self, plan: Plan, home: Path) -> AbstractContextManager[Running]:
        """Started for live events, on topics that are empty yet; stopped when the block ends."""

    def output(self, plan: Plan) -> str:
        """The topic of its messages, keyed by customer."""


@dataclass(slots=True)
class Peer:
    """A folder beside this file with `build` and `run`: one message an event."""

    name: str
    stores: bool = True
    """False leaves out the Redis of who keeps its state in one."""
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
        with self.running(plan, home) as peer, closing(Outputs(plan)) as outputs:
            result = watch(outputs.count, plan.events, Cost(peer.pids), peer.check, most)
            if result.whole:
                outputs.settle()
        return result

    @contextmanager
    def running(self, plan: Plan, home: Path) -> Iterator[Running]:
        """The same program, whatever the events."""
        make_output(plan)
        with ExitStack() as stack:
            redis = stack.enter_context(_redis(home)) if self.stores and self.name in REDIS_PEERS else None
            path = home / "plan.json"
            replace(plan, redis=redis.url if redis else "").write(path)
            program = Program([str(self.folder / "run"), str(path)], home / "log")
            program.start()
            stack.callback(program.stop)
            yield Running(program.check, lambda: [*members(program.pid or 0), *pids_of(*filter(None, [redis]))])

    def output(self, plan: Plan) -> str:
        """Of its own in every run."""
        return plan.output

    def differing(self, states: Mapping[str, job.State]) -> list[str]:
        """Its last message of each customer."""
        assert self._plan is not None
        return differences(self._plan, states)


def pids_of(*services: Child) -> list[int]:
    """The processes of those that run."""
    return [service.pid for service in services if service.pid is not None]


def make_output(plan: Plan) -> None:
    """The output topic of a run."""
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
