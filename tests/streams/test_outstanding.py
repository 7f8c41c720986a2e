"""Effects of decisions on their way: what may run beside what, in which order, and what a failure takes with it."""

from __future__ import annotations

import asyncio
import copy
import gc
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from processors.dedup import Seen
from processors.profile import Profile
from schemas.errors import RetryableError
from schemas.results import BucketClaim, DeadLetter, OutgoingMessage
from schemas.topics import CLICKSTREAM, INPUT_TOPICS, SEGMENT_CHANGES
from sinks.kafka import Publisher
from sinks.profiles import ProfileStore
from streams.decision import Decision
from streams.effects import Effects
from streams.meter import Meter
from streams.metrics import REGISTRY
from streams.outstanding import ON_THEIR_WAY, Outstanding
from streams.ownership import OwnedPartition, owned_partition
from streams.poison import NoMemory
from streams.slices import Aligner
from tests.fakes import FakeProfileStore
from tests.streams.worker import CODEC

SECONDS = 5.0


class Slow:
    """Effects that take until they are let through, and tell what happened."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.failing: set[str] = set()

    async def bury(self, decision: Decision) -> None:
        if decision.letters:
            await self._pass("bury", decision)

    async def commit(
        self, decision: Decision, _owned: Collection[OwnedPartition], _hook: Callable[[str], None]
    ) -> None:
        await self._pass("commit", decision)

    async def publish_decision(self, decision: Decision) -> None:
        await self._pass("publish", decision)

    def open(self, *names: str) -> None:
        for name in names:
            self._gate(name).set()

    async def _pass(self, what: str, decision: Decision) -> None:
        name = f"{what} {next(iter(decision.changed))}"
        self.told.append(f"{name} begins")
        await self._gate(name).wait()
        if name in self.failing:
            raise RetryableError(name)
        self.told.append(name)

    def _gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())


def decision_of(customer: str, letters: int = 0) -> Decision:
    decision = Decision(changed={customer: Profile(customer)})
    decision.letters = [DeadLetter("id", CLICKSTREAM, 0, 7, 0, "undecodable", "", None, None, [])] * letters
    return decision


async def underway(slow: Slow, *decisions: Decision) -> Outstanding:
    outstanding = Outstanding(cast("Effects", slow), NoMemory(), Meter(), lambda _step: None)
    for decision in decisions:
        await outstanding.add(decision, [])
    return outstanding


async def quiet() -> None:
    """Everything that can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_decision_is_stored_while_the_one_before_is_published() -> None:
    slow = Slow()
    outstanding = await underway(slow, decision_of("a"), decision_of("b"))
    slow.open("commit a", "commit b")
    await quiet()
    assert "commit b" in slow.told
    assert "publish a begins" in slow.told
    assert "publish a" not in slow.told
    slow.open("publish a", "publish b")
    await outstanding.settle()
    assert len(outstanding) == 0


async def test_commits_keep_their_order_and_publications_theirs() -> None:
    slow = Slow()
    outstanding = await underway(slow, decision_of("a"), decision_of("b"), decision_of("c"))
    slow.open("publish c", "publish b", "commit c", "commit b", "commit a")
    await quiet()
    assert "commit c" in slow.told
    slow.open("publish a")
    await outstanding.settle()
    for what in ("commit", "publish"):
        assert [told for told in slow.told if told.startswith(what)] == [
            f"{what} {customer}{state}" for customer in "abc" for state in (" begins", "")
        ]
    assert all(
        slow.told.index(f"commit {customer}") < slow.told.index(f"publish {customer} begins") for customer in "abc"
    )


async def test_letters_wait_until_all_before_is_published() -> None:
    slow = Slow()
    outstanding = await underway(slow, decision_of("a"), decision_of("b", letters=1))
    slow.open("commit a")
    await quiet()
    assert "publish a begins" in slow.told
    assert "bury b begins" not in slow.told
    slow.open("publish a", "bury b", "commit b", "publish b")
    await outstanding.settle()
    assert slow.told.index("publish a") < slow.told.index("bury b begins") < slow.told.index("commit b begins")


@pytest.mark.parametrize("step", ["commit", "publish"])
async def test_a_failure_takes_all_that_follow_with_it_once_none_is_at_work(step: str) -> None:
    slow = Slow()
    outstanding = await underway(slow, decision_of("a"), decision_of("b"), decision_of("c"))
    slow.failing.add(f"{step} b")
    slow.open("commit a", "commit b", "commit c", "publish b", "publish c")
    await quiet()
    assert outstanding.last is not None
    assert not outstanding.last.done(), "the publication of a is at work"
    slow.open("publish a")
    with pytest.raises(RetryableError, match=f"{step} b"):
        await outstanding.settle()
    assert "publish a" in slow.told
    assert "publish c begins" not in slow.told
    assert ("commit c begins" in slow.told) is (step == "publish")
    await outstanding.drop()
    assert (len(outstanding), outstanding.customers) == (0, [])


async def test_one_more_than_may_be_on_their_way_waits_and_customers_are_known_meanwhile() -> None:
    slow = Slow()
    names = [f"c{number}" for number in range(ON_THEIR_WAY)]
    outstanding = await underway(slow, *map(decision_of, names))
    slow.open(*(f"commit {name}" for name in names))
    await quiet()
    assert f"commit {names[-1]}" in slow.told, "to be stored is not enough"
    adding = asyncio.create_task(outstanding.add(decision_of("late"), []))
    await quiet()
    assert not adding.done()
    assert outstanding.customers == [frozenset({name}) for name in names]
    slow.open(*(f"{what} {name}" for name in [*names, "late"] for what in ("commit", "publish")))
    await asyncio.wait_for(adding, SECONDS)
    await outstanding.settle()


async def test_a_failure_nobody_waits_for_is_not_logged_as_forgotten() -> None:
    slow, forgotten = Slow(), []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        forgotten.append(context["message"])

    loop.set_exception_handler(note)
    try:
        outstanding = await underway(slow, decision_of("a"), decision_of("b"))
        slow.failing |= {"publish a", "commit b"}
        slow.open("commit a", "commit b", "publish a")
        with pytest.raises(RetryableError, match="publish a"):
            await outstanding.settle()
        await outstanding.drop()
        await quiet()
        del outstanding
        gc.collect()  # a task is told of when it goes, and a failure's traceback keeps it
    finally:
        loop.set_exception_handler(before)
    assert forgotten == []


@dataclass
class Held:
    """A publisher that confirms nothing before it is let go."""

    go: threading.Event = field(default_factory=threading.Event)
    sent: list[bytes | None] = field(default_factory=list)

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        assert self.go.wait(SECONDS)
        self.sent += [message.value for message in messages]


TOKEN = "one"
BUCKET = 5


def claimed(store: FakeProfileStore) -> tuple[list[BucketClaim], OwnedPartition]:
    claims = store.claim([BUCKET], TOKEN)
    return claims, owned_partition(BUCKET, claims, TOKEN, Aligner(INPUT_TOPICS, event_clock=False), Seen(24))


def telling(owner: OwnedPartition, text: bytes) -> Decision:
    decision = Decision(owners=[owner])
    decision.messages[BUCKET].append(OutgoingMessage(SEGMENT_CHANGES, b"anna", text))
    return decision


def waiting_messages() -> float:
    return REGISTRY.get_sample_value("footfall_outbox_messages") or 0.0


async def test_what_is_confirmed_is_what_was_published_although_more_was_stored_meanwhile() -> None:
    store, held, before = FakeProfileStore(), Held(), waiting_messages()
    _, owner = claimed(store)
    effects = Effects(cast("ProfileStore", store), cast("Publisher", held), CODEC)
    outstanding = Outstanding(effects, NoMemory(), Meter(), lambda _step: None)
    await outstanding.add(telling(owner, b"first"), [])
    await outstanding.add(telling(owner, b"second"), [])
    for _ in range(5_000):
        if len(store.buckets[BUCKET].outbox) == 2:
            break
        await asyncio.sleep(0.001)
    assert (held.sent, owner.buckets[BUCKET].confirmed) == ([], [])
    assert waiting_messages() - before == 2

    heir = Held()
    heir.go.set()
    claims, theirs = claimed(copy.deepcopy(store))  # as if the worker died here
    await Effects(cast("ProfileStore", store), cast("Publisher", heir), CODEC).resend(claims, theirs)
    assert (heir.sent, theirs.buckets[BUCKET].confirmed) == ([b"first", b"second"], [0, 1])

    held.go.set()
    await outstanding.settle()
    assert (held.sent, owner.buckets[BUCKET].confirmed) == ([b"first", b"second"], [0, 1])
    assert waiting_messages() == before
    await outstanding.add(telling(owner, b"third"), [])
    await outstanding.settle()
    assert list(store.buckets[BUCKET].outbox) == [2], "the next commit trims what was confirmed, and nothing else"
