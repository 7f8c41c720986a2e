"""One run: a history goes in while processes die; then the judge looks. Twice: the second time Redis loses writes.

A drill has one stretch: nothing durable is lost in it.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from confluent_kafka import Producer

from benchmarks.measure import memory_mib
from schemas.codec import parse, schema_of
from schemas.topics import INPUT_TOPICS
from streams.replay.encoding import BlockEncoder, Outgoing, encoded
from streams.replay.envelope import TopicEvent
from streams.replay.replayer import Replayer
from streams.roles.replay import producer_config
from tests.chaos import monkey, verdict
from tests.chaos.bars import Seen, missed
from tests.chaos.evidence import gathered, input_log, received, settled
from tests.chaos.monkey import OUTAGES, Drill, Fault, Monkey
from tests.chaos.pulse import Pulse, back_after, grown, longest_stall, rate_between
from tests.chaos.stack import PARTITIONS, SINK, WORKERS, Stack
from tests.chaos.truth import JUNK_EVERY, Part, Undisturbed, history_of, parts_of, whole_of
from tests.chaos.verdict import Difference, Truth
from tests.streams.worker import Site

EVENTS_PER_SECOND: Final = 280
LOST_TAIL_SHARE: Final = 0.27
"""Of the time, and of the events."""
_SETTLE_SECONDS: Final = 90.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The arguments of a run."""

    seed: int = 1
    seconds: float = 110.0
    """Of chaos, in all."""
    nodes: int = 0
    """Real brokers; 0: the embedded one."""
    rate: int = EVENTS_PER_SECOND
    drill: Drill | None = None
    """One kind of trouble, in one stretch."""


@dataclass
class Experiment:
    """The stretches of a run, on a stack that runs."""

    plan: Plan
    stack: Stack
    say: Callable[[str], None]
    found: list[Difference] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        """Everything; `found` holds the differences then."""
        events = history_of(self.plan.seed, int(self.plan.seconds * self.plan.rate))
        replayer = self._replayer()
        undisturbed = Undisturbed(self._site())
        sent = []
        for part, lost_tail in self._stretches(events):
            self.say(f"{len(part.events)} events, {'Redis loses writes' if lost_tail else 'nothing durable is lost'}")
            sent += part.events
            seconds = self.plan.seconds * len(part.events) / len(events)
            self._disturb(part, replayer, seconds, lost_tail=lost_tail)
            self._judge(Truth(sent, part.end, undisturbed.world), undisturbed, lost_tail=lost_tail)
        undisturbed.close()

    def _stretches(self, events: Sequence[TopicEvent]) -> list[tuple[Part, bool]]:
        """What is sent, and whether Redis loses writes meanwhile."""
        if self.plan.drill is not None:
            return [(whole_of(events), False)]
        return list(zip(parts_of(events, 1 - LOST_TAIL_SHARE), (False, True), strict=True))

    def _disturb(self, part: Part, replayer: Replayer, seconds: float, *, lost_tail: bool) -> None:
        rate = len(part.events) / seconds
        generator = Generator(replayer, part, self.stack.schema_ids, rate)
        ape, pulse = Monkey(self.stack, self.say), Pulse(lambda: received(self.stack.settings), self._weights)
        pulse.start()
        ape.unleash(self._faults(seconds, lost_tail=lost_tail), generator.start())
        pulse.stop()
        generator.check()
        self._tell_rates(pulse, ape, rate)
        self.faults += ape.done

    def _weights(self) -> dict[str, float]:
        kept = self.stack.kept
        return {name: memory_mib(kept[name].child.pid or 0) for name in (*WORKERS, SINK)}

    def _tell_rates(self, pulse: Pulse, ape: Monkey, rate: float) -> None:
        stall, back = longest_stall(pulse.looks), back_after(pulse.looks, ape.calm_since, rate)
        again = "was not seen again before the stretch ended" if back is None else f"was back in {back:.1f} s"
        self.say(
            f"{rate:.0f} events/s; the longest time in which nothing was stored: {stall:.1f} s; "
            f"after the last fault that rate {again}"
        )
        seen = Seen(stall, back)
        if self.plan.drill in OUTAGES:
            seen = self._tell_outage(pulse, ape, seen)
        if self.plan.drill is not None:
            self._note(missed(self.plan.drill, seen))

    def _tell_outage(self, pulse: Pulse, ape: Monkey, seen: Seen) -> Seen:
        looks = pulse.looks
        away = ape.struck_at, ape.calm_since
        spans = (looks[0][0], ape.struck_at), away, (ape.calm_since, looks[-1][0])
        before, meanwhile, after = (rate_between(looks, *span) for span in spans)
        self.say(
            f"events stored per second: before it went {_told(before)}, while away {_told(meanwhile)}, "
            f"afterwards {_told(after)}"
        )
        heavier = grown(pulse.weights, *away)
        self.say(f"memory grown while away, MiB: {', '.join(f'{name} {mib:.0f}' for name, mib in heavier.items())}")
        return replace(seen, before=before, meanwhile=meanwhile, grown=heavier)

    def _note(self, found: Sequence[Difference]) -> None:
        verdict.told(found, self.say)
        self.found += found

    def _faults(self, seconds: float, *, lost_tail: bool) -> list[Fault]:
        if self.plan.drill is not None:
            return monkey.drill(self.plan.drill, seconds)
        cards = monkey.deck(real_broker=self.stack.kafka is not None, lost_tail=lost_tail)
        frozen = self.stack.settings.kafka.session_timeout + 2.0
        return monkey.schedule(f"{self.plan.seed} {lost_tail}", seconds, cards, frozen)

    def _judge(self, truth: Truth, undisturbed: Undisturbed, *, lost_tail: bool) -> None:
        stack = self.stack
        stack.calm()
        log = input_log(stack.settings)
        records = sum(map(len, log.values()))
        self.say(f"calm; {received(stack.settings)} of {records} records are through, waiting for the rest")
        late = settled(stack.settings, records, stack.watch, _SETTLE_SECONDS)
        evidence = gathered(stack.settings, stack.schema_ids, log)
        undisturbed.read(log)
        found = [Difference("installation", "settled", late, None)] if late else []
        found += verdict.differences(truth, evidence, lost_tail=lost_tail)
        changes = len(verdict.distinct(evidence.changes))
        self.say(
            f"compared {len(evidence.profiles)} profiles, {changes} changes ({len(evidence.changes) - changes} sent "
            f"again), {len(evidence.event_rows)} rows of events: {len(found)} differences"
        )
        if lost_tail:
            forgotten = len(list(verdict.profile_rows(evidence)))
            self.say(f"{forgotten} rows of profiles are of a version that Redis forgot: not counted")
        self._note(found)

    def _replayer(self) -> Replayer:
        # Order must survive a reset connection on a broker that does not count what idempotent producers send.
        # It waits for a broker as long as it takes: what it gave up would be missing from the truth.
        patient = {"max.in.flight.requests.per.connection": 1, "message.timeout.ms": 0}
        config = producer_config(self.stack.settings.kafka) | patient
        return Replayer(Producer(config), dict.fromkeys(INPUT_TOPICS, PARTITIONS))

    def _site(self) -> Site:
        schemas = {self.stack.schema_ids[topic]: parse(schema_of(topic).definition) for topic in INPUT_TOPICS}
        return Site(PARTITIONS, self.stack.topic_ids, schemas.get)


def _told(rate: float | None) -> str:
    return "unknown" if rate is None else f"{rate:,.0f}"


class Generator:
    """Sends a part of the history, paced, in a thread."""

    def __init__(self, replayer: Replayer, part: Part, schema_ids: Mapping[str, int], rate: float) -> None:
        encoders = {topic: BlockEncoder(topic, schema_ids[topic]) for topic in INPUT_TOPICS}
        self._records = list(_with_junk(encoded(part.events, encoders)))
        self._end = part.end
        self._replayer = replayer
        self._pace = rate
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._send, name="generator", daemon=True)

    def start(self) -> Callable[[], bool]:
        """Begin; tells whether it is still sending."""
        self._thread.start()
        return self._thread.is_alive

    def check(self) -> None:
        """Raise what made it fail."""
        if self._failure is not None:
            raise self._failure

    def _send(self) -> None:
        try:
            self._replayer.rate, self._replayer.events = self._pace, 0
            self._replayer.replay(self._records, self._end)
        except Exception as error:  # noqa: BLE001  raised again by `check`, in the thread that waits
            self._failure = error


def _with_junk(records: Iterable[Outgoing]) -> Iterator[Outgoing]:
    for number, record in enumerate(records):
        yield record
        if number % JUNK_EVERY == 0:
            yield record._replace(value=b"junk")


def summary(stack: Stack, faults: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """What was done to the stack, how its processes ended by themselves, and what the roles warned of."""
    ends = {f"{name} {how}": n for name, kept in stack.kept.items() for how, n in kept.ends.items()}
    return {
        "faults": dict(sorted(faults.items())),
        "ends of their own": ends,
        "warnings": dict(_warnings(stack).most_common(10)),
    }


def _warnings(stack: Stack) -> Counter[str]:
    """Whether the roles were really hurt: a run without warnings has proved little."""
    counts: Counter[str] = Counter()
    for name in (*WORKERS, SINK):
        for line in stack.kept[name].child.launch.log.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict) and said.get("level") in ("warning", "error"):
                    counts[str(said.get("event"))[:70]] += 1
    return counts
