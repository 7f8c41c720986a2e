"""The contest on one broker: who takes part, the rounds, and the latency of each."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException

from benchmarks.peers import job, latency, table
from benchmarks.peers.brokers import EMBEDDED
from benchmarks.peers.contestants import Contestant, Peer, Runner, forget
from benchmarks.peers.limits import LIMITS, Limit
from benchmarks.peers.load import START, Course, fill, plan_of, truth, write_model
from benchmarks.peers.ours import EACH, Footfall, publish_model
from benchmarks.peers.plan import Plan
from benchmarks.peers.runs import PATIENCE
from benchmarks.throughput import say
from schemas.errors import FootfallError
from streams.embedded.topics import make_topics
from streams.registration import register_schemas
from streams.settings import Settings

PEERS: Final = ("kafka_streams", "quix", "bytewax", "pyflink", "faust")
TRANSACTIONAL: Final = ("kafka_streams",)
"""Who needs a broker with transactions: exactly once is what it is taken for."""
OURS: Final = "footfall"
NAMES: Final = (OURS, f"{OURS}-full", f"{OURS}-each", *PEERS, *LIMITS)
FAILURES: Final = (RuntimeError, TimeoutError, ValueError, FootfallError, KafkaException)
"""What a contestant's run ends with that others need not suffer from."""
NO_SEGMENTS: Final = "groups: []\nsegments: []\n"


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    events: int
    rounds: int
    seconds: float
    customers: int
    zipf: float
    broker: str
    only: str
    latency_seconds: float
    latency_rate: int
    results: Path

    @property
    def course(self) -> Course:
        """The load."""
        return Course(self.events, self.customers, self.zipf)

    @property
    def about(self) -> dict[str, object]:
        """What is told of it beside the results."""
        return {"events": self.events, "customers": self.customers, "zipf": self.zipf, "broker": self.broker}


@dataclass(frozen=True, slots=True)
class Field:
    """Everybody who takes part, and the limits that run beside them."""

    contestants: Sequence[Contestant]
    limits: Sequence[Limit]
    rows: Mapping[str, table.Row]

    @property
    def everybody(self) -> list[Runner]:
        """In the order of a round, without those who have failed."""
        everybody: list[Runner] = [*self.contestants, *self.limits]
        return [one for one in everybody if not self.rows[one.name].failure]

    @property
    def live(self) -> list[Contestant]:
        """Who has a latency."""
        return [one for one in self.contestants if not self.rows[one.name].failure]


def contest(options: Options, root: Path, settings: Settings) -> list[table.Row]:
    """All rounds, then the latencies; a row for each. Results are written after every round and every latency."""
    course, model = options.course, root / "model.json"
    write_model(model)
    make_topics(settings)
    say(f"filling the topics with {options.events:,} events of {options.customers:,} customers, and counting them")
    fill(course, settings, register_schemas(settings))
    states, plan = truth(course), plan_of(course, settings, model)
    field = _field(options, settings, list(states), root)
    publish_model(settings, START)
    rows = list(field.rows.values())
    for number in range(1, options.rounds + 1):
        for one in field.everybody:
            row = field.rows[one.name]
            _turn(one, row, _run_of(plan, f"{one.name}-{number}", root), states, options.seconds)
            say(f"round {number} of {options.rounds}: {row.last()}")
        table.write(rows, options.results, options.about)
    if options.latency_seconds:
        stage = latency.Stage(settings, course.load, options.latency_seconds, options.latency_rate)
        for live in field.live:
            _delay(live, field.rows[live.name], _run_of(plan, f"{live.name}-latency", root), stage)
            table.write(rows, options.results, options.about)
    return rows


def _run_of(plan: Plan, name: str, root: Path) -> Plan:
    """One run, in a folder of its own that is made here."""
    state = root / name / "state"
    state.mkdir(parents=True)
    return plan.of_run(name, state)


def _turn(one: Runner, row: table.Row, run: Plan, states: Mapping[str, job.State], seconds: float) -> None:
    """One run; the first goes to the end and is compared, later ones may be cut off."""
    try:
        result = one.run(run, Path(run.state_dir).parent, seconds if row.runs else PATIENCE)
        found = one.differing(states) if result.whole else []
        forget(run)
    except FAILURES as error:
        row.failure = str(error)
        return
    row.runs.append(result)
    row.compared += result.whole
    row.differences += len(found)
    tell(found)


def tell(differences: Sequence[str]) -> None:
    """The first few, a line each."""
    for line in differences[:5]:
        print(f"  {line}")


def _delay(one: Contestant, row: table.Row, run: Plan, stage: latency.Stage) -> None:
    """The latency of one, at the stage's pace."""
    try:
        row.delays = latency.measured(one, run, Path(run.state_dir).parent, stage)
        forget(run)
    except FAILURES as error:
        row.failure = str(error)
    say(f"latency: {row.name} {row.failure or f'p50 {row.delay(0.5)} ms, p99 {row.delay(0.99)} ms'}")


def _field(options: Options, settings: Settings, customers: list[str], root: Path) -> Field:
    nothing = root / "no-segments.yaml"
    nothing.write_text(NO_SEGMENTS, encoding="utf-8")
    everybody: list[Contestant] = [
        Footfall(OURS, settings, customers, nothing),
        Footfall(f"{OURS}-full", settings, customers),
        Footfall(f"{OURS}-each", settings, customers, nothing, EACH),
        *map(Peer, PEERS),
    ]
    chosen = options.only.split(",") if options.only else NAMES
    contestants = [one for one in everybody if one.name in chosen and fits(one, options.broker)]
    limits = [Limit(name, settings) for name in LIMITS if name in chosen]
    rows = [table.Row(one.name) for one in contestants] + [table.Row(one.name, limit=True) for one in limits]
    return Field(contestants, limits, {row.name: row for row in rows})


def fits(one: Contestant, broker: str) -> bool:
    """Whether it can run on a broker of this kind and be built; who cannot is left out, and said to be."""
    if broker == EMBEDDED and one.name in TRANSACTIONAL:
        say(f"LEFT OUT: {one.name} needs transactions, which the embedded broker has not")
        return False
    return _built(one)


def _built(one: Contestant) -> bool:
    say(f"building {one.name}")
    try:
        one.build()
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"LEFT OUT: {one.name} cannot be built here ({error}); its README names what it needs")
        return False
    return True
