"""The seeded schedule of faults, and whoever carries it out."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from tests.chaos.keeper import Kept
from tests.chaos.stack import SINK, WORKERS, Stack

Kind = Literal[
    "leave worker", "kill worker", "kill sink", "kill redis", "cut redis", "kill clickhouse", "kill broker",
    "zombie", "cut", "stall", "slow", "lose_answers", "half_close",
]  # fmt: skip
Drill = Literal["storm", "redis", "broker", "clickhouse"]
"""One kind of trouble instead of many: workers that come and go, or one server that stays away for long."""
OUTAGES: Final[dict[Drill, float]] = {"redis": 20.0, "broker": 20.0, "clickhouse": 60.0}
"""How long a server stays away in its drill, s."""
_DRILL_BEGINS: Final = 30.0
"""Time to see the rate without trouble, s."""
_STORM_GAP: Final = 5.0
_CALM_SECONDS: Final = 20.0
"""After the last fault of a drill: time to see that it is over, s."""
GAP_SECONDS: Final = 3.6
"""Mean time between two faults: long enough that something happens in between."""
_LINES: Final[tuple[Kind, ...]] = ("cut", "stall", "slow", "lose_answers", "half_close")
_ZOMBIE_SECONDS: Final = 3.0
"""How long a zombie that wakes may act before anything happens to it or to its heir."""
_BREATH: Final = 6.0
"""A broker is left alone for so long when it is back: on a slow machine it would be away nearly all the time."""
_PATIENCE: Final = 20.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens `at` seconds after the beginning, for how long, and a number in [0, 1) that chooses where."""

    at: float
    kind: Kind
    seconds: float
    where: float


def deck(*, real_broker: bool, lost_tail: bool) -> list[Kind]:
    """One of each turn: drawn without putting back, so that a short run meets every kind."""
    counts: dict[Kind, int] = {"cut redis": 4, "kill worker": 2, "kill sink": 1, "stall": 1}
    if not lost_tail:
        counts = {"kill worker": 6, "kill sink": 3, "kill redis": 3, "kill clickhouse": 1, "zombie": 2}
        counts |= dict.fromkeys(_LINES, 1) | ({"kill broker": 5} if real_broker else {})
    return [kind for kind, count in counts.items() for _ in range(count)]


def schedule(seed: str, seconds: float, cards: Sequence[Kind], frozen: float) -> list[Fault]:
    """The faults of a stretch; the same for the same seed. A zombie sleeps for `frozen` seconds, or a bit longer."""
    rng = random.Random(seed)
    return list(_drawn(rng, seconds, cards, frozen))


def drill(name: Drill, seconds: float) -> list[Fault]:
    """The faults of a drill of at least `least_seconds`: a worker leaves every 5 s, in turns, and joins again soon, or
    one server goes once.
    """
    if name == "storm":
        turns = int((seconds - _CALM_SECONDS) // _STORM_GAP)
        return [Fault(_STORM_GAP * turn, "leave worker", 1.0, turn % 2 / 2) for turn in range(1, turns + 1)]
    servers: dict[Drill, Kind] = {"redis": "kill redis", "broker": "kill broker", "clickhouse": "kill clickhouse"}
    return [Fault(_DRILL_BEGINS, servers[name], OUTAGES[name], 0.0)]


def least_seconds(name: Drill) -> float:
    """How long a drill must be, s: what happens, and time before and after it to compare."""
    return _STORM_GAP + _CALM_SECONDS if name == "storm" else _DRILL_BEGINS + OUTAGES[name] + _CALM_SECONDS


def _drawn(rng: random.Random, seconds: float, cards: Sequence[Kind], frozen: float) -> Iterator[Fault]:
    at, heir_until, left = 0.0, 0.0, list[Kind]()
    while True:
        at += rng.uniform(0.4, 1.6) * GAP_SECONDS
        if at > seconds:
            return
        spared: tuple[Kind, ...] = ("kill worker", "zombie") if at < heir_until else ()
        if not set(left).difference(spared):
            left = rng.sample(cards, len(cards)) + left
        kind = left.pop(max(place for place, card in enumerate(left) if card not in spared))
        lasting = frozen + rng.uniform(0, 2) if kind == "zombie" else rng.uniform(0.2, 2.5)
        if kind == "zombie":  # while it sleeps and wakes its heir must live, or nobody would contradict it
            heir_until = at + lasting + _ZOMBIE_SECONDS
        yield Fault(at, kind, lasting, rng.random())


@dataclass
class Monkey:
    """Carries faults out on a stack, and counts them."""

    stack: Stack
    say: Callable[[str], None]
    done: Counter[str] = field(default_factory=Counter)
    struck_at: float = 0.0
    """When the last fault began, on the monotonic clock."""
    calm_since: float = 0.0
    """When it is over."""

    def unleash(self, faults: Sequence[Fault], busy: Callable[[], bool]) -> None:
        """All faults in turn, and then nothing as long as the generator is `busy`."""
        began = time.monotonic()
        for fault in faults:
            self.stack.wait(max(0.0, began + fault.at - time.monotonic()))
            self.struck_at = time.monotonic()
            self._do(fault)
            self.calm_since = time.monotonic() + fault.seconds
        while busy():
            self.stack.wait(0.2)

    def _do(self, fault: Fault) -> None:
        where = self._commit(fault)
        if where:
            self.done[fault.kind] += 1
            self.say(f"{fault.kind} {where}")

    def _commit(self, fault: Fault) -> str:
        """Where it happened; empty when nobody was there to hurt."""
        if fault.kind == "kill broker":
            return self._kill_broker(fault)
        if fault.kind in _LINES:
            name = _chosen(sorted(self.stack.proxies), fault.where)
            getattr(self.stack.proxies[name], fault.kind)(fault.seconds)
            return f"{name}, {fault.seconds:.1f} s"
        target = self._awake(_targets(fault), fault.where)
        if target is None:
            return ""
        return self._hurt(target, fault)

    def _hurt(self, target: Kept, fault: Fault) -> str:
        if fault.kind == "zombie":
            target.freeze(fault.seconds)
            return f"{target.name}, {fault.seconds:.1f} s"
        if fault.kind == "leave worker":
            target.leave(fault.seconds)
            return target.name
        server = target.name not in (*WORKERS, SINK)
        target.kill(fault.seconds if server else 0.3)
        lost = self._cut_tail(fault.where) if fault.kind == "cut redis" else 0
        return f"{target.name}{f', {lost} bytes of its file lost' if lost else ''}"

    def _cut_tail(self, share: float) -> int:
        """Lose up to 5 % of what Redis wrote, or 200 kB, as if it had not come to the disk."""
        file = self.stack.append_only_file
        size = file.stat().st_size
        lost = max(1, int(share * min(200_000, size // 20)))
        os.truncate(file, size - lost)
        return lost

    def _kill_broker(self, fault: Fault) -> str:
        kafka = self.stack.kafka
        assert kafka is not None
        deadline = time.monotonic() + _PATIENCE
        while not kafka.whole and time.monotonic() < deadline:
            self.stack.wait(0.1)
        self.stack.wait(max(0.0, kafka.whole_since + _BREATH - time.monotonic()))
        if not kafka.whole:
            return ""
        node = 1 + int(fault.where * kafka.nodes)
        kafka.kill(node, fault.seconds)
        return f"node {node}, {fault.seconds:.1f} s"

    def _awake(self, names: Sequence[str], where: float) -> Kept | None:
        """The process chosen, or another of its kind that can be hurt; waits a while for one."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            awake = [name for name in names if self.stack.kept[name].awake]
            if awake:
                return self.stack.kept[_chosen(awake, where)]
            self.stack.wait(0.1)
        return None


def _targets(fault: Fault) -> Sequence[str]:
    if fault.kind in ("leave worker", "kill worker", "zombie"):
        return WORKERS
    return (fault.kind.split(" ")[1],)


def _chosen(names: Sequence[str], where: float) -> str:
    return names[int(where * len(names))]
