"""The laws of the batch transport, on the embedded broker or on a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from time import monotonic, time
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver

from schemas.errors import ClaimLostError, FootfallError, RetryableError, StalledError, UnreachableError
from schemas.events import Chunk
from streams.embedded.ports import HOST, choose_port
from streams.kafka.app import build_app, run_role
from streams.kafka.chunks import tp_of
from streams.kafka.config import KafkaConfig
from streams.kafka.transport import BatchConsumer
from streams.kafka.worker import Handlers, Worker
from tests.streams.kafka.harness import PATIENCE, Log, Recorder, running, small, until

NewLog = Callable[..., Log]


async def test_every_record_comes_once_and_in_order_in_contiguous_chunks(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    log, role = new_log(), Recorder()
    log.append(700)
    async with running(config, fresh_name, log, role.handlers()):
        await until(lambda: role.received >= log.size)
        log.append(300)
        await until(lambda: role.received >= log.size)
    assert role.values() == {tp: list(range(1000)) for tp in log.tps}
    position = dict.fromkeys(log.tps, 0)
    for chunk in role.chunks:
        assert chunk.first == position[tp_of(chunk)]
        assert [record.offset for record in chunk.records] == list(range(chunk.first, chunk.next))
        position[tp_of(chunk)] = chunk.next


async def test_the_chunks_of_a_poll_arrive_together_and_hold_no_more_than_asked_for(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    log, role = new_log(), Recorder()
    log.append(400)
    async with running(config, fresh_name, log, role.handlers()):
        await until(lambda: role.received >= log.size)
    assert all(len({chunk.poll for chunk in poll}) == 1 for poll in role.polls)
    assert all(len(poll) == poll[0].poll_size for poll in role.polls)
    assert all(sum(len(chunk.records) for chunk in poll) <= config.max_poll_records for poll in role.polls)
    numbers = [poll[0].poll for poll in role.polls]
    assert numbers == sorted(set(numbers))


async def test_a_restart_reads_on_where_the_role_says_and_else_at_kafkas_offset(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    log, first = new_log(1), Recorder()
    log.append(100)
    async with running(config, fresh_name, log, first.handlers()) as worker:
        await until(lambda: set(worker.positions().values()) == {100})
    log.append(10)
    fenced, unknown = log.tps[:2], log.tps[2:]
    second = Recorder()

    async def some(_tps: Any) -> dict[Any, int]:
        return dict.fromkeys(fenced, 40)

    async with running(config, fresh_name, log, Handlers(second.handle_poll, some, second.on_revoked)):
        await until(lambda: second.received >= 2 * 70 + 2 * 10)
    assert second.values() == {
        **{tp: list(range(40, 110)) for tp in fenced},
        **{tp: list(range(100, 110)) for tp in unknown},
    }


async def test_a_seek_back_reads_again_and_nothing_stale_comes_between(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    log, role = new_log(2), Recorder()
    victim = log.tps[1]
    sought = False

    async def seek_once(_chunks: list[Chunk]) -> None:
        nonlocal sought
        if not sought and role.applied.get(victim, 0) > 300:
            sought = True
            role.applied[victim] = 100
            await worker.seek({victim: 100})

    role.during = seek_once
    async with running(small(config, max_poll_records=200), fresh_name, log, role.handlers()) as worker:
        log.append(1000)  # not before: the first poll may come sooner than `worker` has its value
        await until(lambda: sought and worker.positions() == dict.fromkeys(log.tps, 1000))
    values = role.values()
    again = values.pop(victim)
    assert values == {tp: list(range(1000)) for tp in log.tps if tp != victim}
    restart = again.index(100, 101)
    assert again == [*range(restart), *range(100, 1000)]


async def test_a_slow_role_keeps_its_membership_and_polls_do_not_pile_up(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    log, role = new_log(1), Recorder()
    log.append(600)

    async def slow(_chunks: list[Chunk]) -> None:
        if not role.polls:
            await asyncio.sleep(3)
            assert worker.handed_out <= 2

    role.during = slow
    patience = small(config, max_poll_records=100, max_poll_interval=1.5)
    async with running(patience, fresh_name, log, role.handlers()) as worker:
        await until(lambda: role.received >= log.size)
    assert len(role.assignments) == 1
    assert role.values() == {tp: list(range(600)) for tp in log.tps}


async def test_ticks_and_polls_never_run_beside_each_other(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    log, role = new_log(1), Recorder()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        assert not role.busy
        role.busy = True
        await asyncio.sleep(0.01)
        role.busy = False
        ticks += 1

    role.during = lambda _chunks: asyncio.sleep(0.01)
    log.append(20)
    async with running(small(config, max_poll_records=5), fresh_name, log, role.handlers(tick, 0.005)):
        await until(lambda: role.received >= log.size)
        before = ticks
        await until(lambda: ticks > before + 3)  # also when nothing arrives
    assert ticks


async def test_the_read_clock_follows_the_log_and_stays_behind_what_is_not_applied(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    log, role = new_log(2, 2), Recorder()
    release = asyncio.Event()

    async def hold(_chunks: list[Chunk]) -> None:
        await release.wait()

    async with running(config, fresh_name, log, role.handlers()) as worker:
        instant = time() * 1000
        await until(lambda: min(worker.read_until(0), worker.read_until(1)) > instant)
        role.during = hold
        appended = time() * 1000
        log.append(10)
        await asyncio.sleep(0.5)
        assert worker.read_until(0) < appended + 100  # the records may have come a moment after `appended`
        release.set()
        await until(lambda: worker.read_until(0) > appended + 400)
        arrived = [chunk.topic for chunk in role.chunks if chunk.partition == 0 for _ in chunk.records]
        assert sorted(arrived) == sorted([*log.topics] * 10), "all of number 0; those of number 1 may come later"
        await until(lambda: role.received == log.size)


async def test_plain_topics_work_on_the_same_app(config: KafkaConfig, new_log: NewLog, fresh_name: str) -> None:
    log, models, role = new_log(1), new_log(3), Recorder()
    plain = models.topics[2]
    log.append(5)
    for _ in range(30):
        models.append_to((plain, 0), 1)
    models.producer.flush()
    seen: list[bytes] = []
    app = build_app(config, fresh_name, log.topics)

    async def models_agent(stream: Any) -> None:
        async for value in stream:
            seen.append(value)  # noqa: PERF401

    app.agent(app.topic(plain, value_serializer="raw"), name="models")(models_agent)
    async with running(config, fresh_name, log, role.handlers(), app):
        await until(lambda: len(seen) >= 30 and role.received >= log.size)
        models.append_to((plain, 0), 1)
        models.producer.flush()
        await until(lambda: len(seen) == 31)
    assert seen == [str(number).encode() for number in range(31)]


async def test_two_workers_share_partition_numbers_and_lose_nothing_when_one_leaves(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    log, one, two = new_log(2), Recorder(), Recorder()
    two.applied = one.applied  # the fences live in a store both reach
    log.append(200)
    async with running(config, fresh_name, log, one.handlers()):
        await until(lambda: one.received >= log.size)
        async with running(config, fresh_name, log, two.handlers()):
            await until(lambda: len(one.assignments) >= 2)
            log.append(200)
            await until(lambda: one.received + two.received >= log.size)
            mine, yours = one.assignments[-1], two.assignments[-1]
            assert {number for _, number in mine}.isdisjoint({number for _, number in yours})
            assert mine | yours == set(log.tps)
        await until(lambda: one.assignments[-1] == set(log.tps))
        log.append(200)
        await until(lambda: one.received + two.received >= log.size)
    for tp in log.tps:
        assert sorted(one.values().get(tp, []) + two.values().get(tp, [])) == list(range(600))


async def test_a_poll_returns_as_soon_as_records_are_there(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    log, role = new_log(2), Recorder()
    delays = []
    async with running(config, fresh_name, log, role.handlers()):
        for _ in range(20):
            begun = monotonic()
            log.append_to(log.tps[0], 1)
            log.producer.flush()
            await until(lambda: role.received >= log.size)
            delays.append(monotonic() - begun)
    assert sorted(delays)[10] < 0.15


async def test_after_a_failed_effect_everything_unconfirmed_is_read_again(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    """An error in a poll, then effects that fail later: nothing handed over meanwhile counts, nothing is skipped."""
    log, role = new_log(), Recorder()
    log.append(400)
    polls = count()
    broken = False

    async def handle(chunks: list[Chunk]) -> asyncio.Future[None] | None:
        nonlocal broken
        number = next(polls)
        if number == 1:
            raise RetryableError("no answer")
        broken = broken or number == 3
        if not broken:
            await role.handle_poll(chunks)
            return None
        failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.05, failing.set_exception, UnreachableError("gone"))
        return failing

    reasons = []

    async def recover(error: FootfallError) -> dict[tuple[str, int], int]:
        nonlocal broken
        broken = False
        reasons.append(str(error))
        return {tp: role.applied.get(tp, 0) for tp in log.tps}

    handlers = Handlers(handle, role.on_assigned, role.on_revoked, recover=recover)
    async with running(small(config, max_poll_records=100), fresh_name, log, handlers) as worker:
        await until(lambda: role.received >= log.size)
        log.append(100)
        await until(lambda: role.received >= log.size)
        await until(lambda: worker.positions() == log.ends)
    assert reasons == ["no answer", "gone"]
    assert role.values() == {tp: list(range(500)) for tp in log.tps}


async def test_a_role_that_cannot_go_back_ends(config: KafkaConfig, new_log: NewLog, fresh_name: str) -> None:
    log = new_log(1)
    log.append(10)

    async def handle(_chunks: list[Chunk]) -> None:
        raise RetryableError("no answer")

    async def recover(_error: FootfallError) -> dict[tuple[str, int], int]:
        raise ClaimLostError("another worker")

    role = Recorder()
    worker = Worker(
        build_app(config, fresh_name, log.topics), Handlers(handle, role.on_assigned, role.on_revoked, recover=recover)
    )
    with pytest.raises(ClaimLostError):
        await asyncio.wait_for(worker.run(), PATIENCE)


async def test_going_back_that_a_rebalance_cuts_off_is_followed_by_nothing_but_a_new_assignment(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    """A poll that waited meanwhile would be applied to whatever half of the state was read again."""
    log, role, other = new_log(1), Recorder(), Recorder()
    log.append(200)
    order: list[str] = []

    async def handle(_chunks: list[Chunk]) -> None:
        order.append("poll")
        if "recover" not in order:
            raise RetryableError("no answer")

    async def recover(_error: FootfallError) -> dict[tuple[str, int], int]:
        order.append("recover")
        await asyncio.sleep(PATIENCE)
        raise AssertionError("it was to be cut off")

    async def assigned(tps: Any) -> dict[Any, int]:
        order.append("assigned")
        return await role.on_assigned(tps)  # type: ignore[return-value]

    handlers = Handlers(handle, assigned, role.on_revoked, recover=recover)
    async with running(small(config, max_poll_records=50), fresh_name, log, handlers):
        await until(lambda: "recover" in order)
        async with running(config, fresh_name, log, other.handlers()):
            await until(lambda: order.count("assigned") == 2 and order[-1] == "poll")
    assert order[:4] == ["assigned", "poll", "recover", "assigned"]


async def test_a_poll_that_a_rebalance_cuts_off_is_followed_by_no_tick_before_all_is_given_up(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    """It would store what the poll had folded, and the next owner would fold it again."""
    log, role, other = new_log(1), Recorder(), Recorder()
    log.append(20)
    order: list[str] = []

    async def handle(_chunks: list[Chunk]) -> None:
        try:
            await asyncio.sleep(PATIENCE if "cut" not in order else 0)
        except asyncio.CancelledError:
            order.append("cut")
            raise

    async def revoked(tps: Any) -> None:
        order.append("revoked")
        await role.on_revoked(tps)

    async def tick() -> None:
        order.append("tick")

    async with running(config, fresh_name, log, Handlers(handle, role.on_assigned, revoked, tick, 0.01)):
        await until(lambda: bool(role.assignments))
        async with running(config, fresh_name, log, other.handlers()):
            await until(lambda: "revoked" in order)
    assert order[order.index("cut") + 1] == "revoked"


@pytest.mark.parametrize("fenced", [True, False], ids=["the role knows where", "Kafka knows where"])
async def test_nothing_is_read_past_when_a_rebalance_overtakes_the_assignment_before(
    config: KafkaConfig, new_log: NewLog, fresh_name: str, monkeypatch: pytest.MonkeyPatch, *, fenced: bool
) -> None:
    """Faust resumes the flow for an assignment that is gone, while the newer one still looks for its place."""
    position = BatchConsumer.position

    async def slowly(self: Any, tp: Any) -> Any:
        found = await position(self, tp)
        await asyncio.sleep(0.1)
        return found

    monkeypatch.setattr(BatchConsumer, "position", slowly)
    log, one, two = new_log(1), Recorder(), Recorder()
    two.applied = one.applied
    log.append(300)
    order: list[str] = []

    async def handle(chunks: list[Chunk]) -> None:
        order.append("poll")
        await one.handle_poll(chunks)

    async def assigned(tps: Any) -> Any:
        positions = await one.on_assigned(tps)
        if not order:
            await asyncio.sleep(2.5)  # the other one joins: this assignment is revoked before it is taken over
        order.append("assigned")
        return positions if fenced else {}

    async def revoked(tps: Any) -> None:
        order.append("revoked")
        await one.on_revoked(tps)

    patient = small(config, rebalance_timeout=8.0, max_poll_records=100)
    worker = Worker(build_app(patient, fresh_name, log.topics), Handlers(handle, assigned, revoked))
    task = asyncio.create_task(worker.run())
    await until(lambda: bool(one.assignments))
    async with running(patient, fresh_name, log, two.handlers()):
        await until(lambda: order.count("assigned") == 2 or task.done())
        log.append(100)
        await until(lambda: one.received + two.received >= log.size or task.done())
    worker.stop()
    await task
    assert order[:3] == ["assigned", "revoked", "assigned"]
    for tp in log.tps:
        assert sorted(one.values().get(tp, []) + two.values().get(tp, [])) == list(range(400)), tp


async def test_a_search_for_a_place_that_is_overtaken_and_then_too_long_does_not_end_the_worker(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    """As when Kafka comes back slowly: Faust would die of the time-out of an assignment that is no more."""
    log, one, two = new_log(2), Recorder(), Recorder()
    two.applied = one.applied
    calls: list[str] = []

    async def assigned(tps: Any) -> Any:
        calls.append("assigned")
        if len(calls) == 1:
            await asyncio.sleep(3600)
        return await one.on_assigned(tps)

    hasty = small(config, request_timeout=4.0, rebalance_timeout=8.0)
    worker = Worker(build_app(hasty, fresh_name, log.topics), Handlers(one.handle_poll, assigned, one.on_revoked))
    task = asyncio.create_task(worker.run())
    await until(lambda: bool(calls))
    async with running(hasty, fresh_name, log, two.handlers()):
        await until(lambda: bool(one.assignments) or task.done(), 2 * PATIENCE)
        log.append(20)
        await until(lambda: one.received + two.received >= log.size or task.done())
    worker.stop()
    await task
    assert calls[:2] == ["assigned", "assigned"]
    for tp in log.tps:
        assert sorted(one.values().get(tp, []) + two.values().get(tp, [])) == list(range(20)), tp


async def test_a_poll_that_gives_way_is_read_again_and_what_comes_after_it_need_not(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    log, one, two = new_log(2), Recorder(), Recorder()
    gave, later = asyncio.Event(), list[bool]()
    log.append(20)

    async def handle(chunks: Any) -> Any:
        if gave.is_set():
            return await one.handle_poll(chunks)
        await until(worker.gives_way)
        gave.set()
        return None

    async def tick() -> None:
        if gave.is_set() and worker.joined.is_set():
            later.append(worker.gives_way())

    handlers = Handlers(handle, one.on_assigned, one.on_revoked, tick, 0.05)
    worker = Worker(build_app(small(config, rebalance_timeout=8.0), fresh_name, log.topics), handlers)
    task = asyncio.create_task(worker.run())
    await until(lambda: bool(one.assignments))
    async with running(small(config), fresh_name, log, two.handlers()):
        await until(lambda: one.received + two.received >= log.size and len(later) > 2)
    worker.stop()
    await task
    assert not later[0], "what was said to the poll before is over"
    for tp in log.tps:
        assert sorted(one.values().get(tp, []) + two.values().get(tp, [])) == list(range(20)), tp


@pytest.mark.parametrize("where", ["the role", "Kafka's offsets", "nobody tells"])
async def test_a_worker_that_finds_no_place_to_read_from_ends(
    config: KafkaConfig, new_log: NewLog, fresh_name: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Faust cancels the search after its request timeout and goes on, with a worker that lives and reads nothing."""
    log, role = new_log(1), Recorder()
    log.append(10)

    async def never(*_: Any) -> Any:
        await asyncio.sleep(3600)

    async def lost(*_: Any) -> Any:
        return {}

    if where == "Kafka's offsets":
        monkeypatch.setattr(driver.Consumer, "seek_to_committed", never)
    elif where == "nobody tells":
        monkeypatch.setattr(BatchConsumer, "seek_to_committed", lost)
    assigned = never if where == "the role" else role.on_assigned
    app = build_app(small(config, request_timeout=3.0), fresh_name, log.topics)
    worker = Worker(app, Handlers(role.handle_poll, assigned, role.on_revoked))
    with pytest.raises(StalledError, match="standstill"):
        await asyncio.wait_for(worker.run(), PATIENCE)


async def test_a_stop_while_a_place_is_looked_for_is_no_standstill(
    config: KafkaConfig, new_log: NewLog, fresh_name: str
) -> None:
    log, role = new_log(1), Recorder()
    looking = asyncio.Event()

    async def slowly(_tps: Any) -> Any:
        looking.set()
        await asyncio.sleep(1)
        return {}

    worker = Worker(build_app(config, fresh_name, log.topics), Handlers(role.handle_poll, slowly, role.on_revoked))
    task = asyncio.create_task(worker.run())
    await asyncio.wait_for(looking.wait(), PATIENCE)
    worker.stop()
    await asyncio.wait_for(task, PATIENCE)


async def test_an_unreachable_broker_is_one_sentence() -> None:
    nowhere = KafkaConfig(f"{HOST}:{choose_port()}", drain_timeout=5)
    begun = monotonic()
    with pytest.raises(UnreachableError, match=r"^Kafka does not answer at 127"):
        await run_role(build_app(nowhere, "nobody", ["nothing"]), Recorder().handlers())
    assert monotonic() - begun < 6
