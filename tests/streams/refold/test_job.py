"""A replay of the log into a shadow: equal when nothing is wrong, by name what differs, and exact after a switch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import pytest

from processors.calendar import DAY
from schemas.errors import ConfigurationError, ProtocolError, RewoundError
from schemas.partitioning import BUCKETS, bucket_of, buckets_of_partition
from schemas.results import OutgoingMessage, SegmentChange, StoredProfile
from schemas.topics import INPUT_TOPICS, PROFILES, PURCHASE, SEGMENT_CHANGES
from streams.refold.bounds import Bound
from streams.refold.parts import Watch
from tests.streams.killing import KilledError, distinct, killer
from tests.streams.refold.bench import Bench, spoil, without
from tests.streams.test_journey import HISTORIES, essence, orders
from tests.streams.worker import PARTITIONS, Log, Worker, World, history_log, worked


def wall_log(first: int = 0, last: int = 150) -> Log:
    log = Log()
    extend(log, first, last)
    return log


def extend(log: Log, first: int, last: int) -> None:
    for topic, one in orders()[first:last]:
        log.append_time = one["received_time"]
        log.append(topic, one)


async def on_the_wall_clock(log: Log, silence: int = 15 * DAY) -> World:
    """Ticks after every poll, and some silence at the end."""
    world = World(log, clock="wall")
    worker = Worker(world)
    await worker.assign()
    while chunks := worker.next_poll(20):
        await worker.journey.run(chunks)
        await worker.journey.tick({chunk.partition: chunk.records[-1].timestamp - 1 for chunk in chunks})
    await worker.journey.tick(dict.fromkeys(range(2), log.append_time + silence))
    await worker.journey.advance_fences()
    return world


async def live_world(clock: Literal["event", "wall"], last: int = 150) -> World:
    if clock == "wall":
        return await on_the_wall_clock(wall_log(0, last))
    return await worked(history_log(orders()[:last]), 20)


@pytest.mark.parametrize("name", HISTORIES)
async def test_a_replay_of_what_a_worker_folded_is_equal_and_sends_nothing(name: str) -> None:
    world = await worked(history_log(HISTORIES[name]()), 200)
    bench = Bench(world)
    sent = len(world.effects)
    report = await bench.replay()
    assert report.equal_throughout, report.listed
    assert report.customers == report.equal == len(world.portraits()) > 15
    assert report.records_live == report.records_shadow == world.log.size
    assert report.suppressed[SEGMENT_CHANGES] >= sum(map(len, essence(world.changes()).values()))
    assert not [effect for effect in world.effects[sent:] if effect[0] != "claim"], "nothing is written or sent"
    assert list(bench.keyspaces.stores) == [1], "the shadow is removed"


async def test_on_the_wall_clock_ticks_that_the_shadow_never_saw_are_no_difference() -> None:
    world = await live_world("wall")
    report = await Bench(world).replay()
    assert report.equal_throughout, report.listed
    assert report.customers > 20
    assert any(change.cause == "tick" for change in world.changes())


@pytest.mark.parametrize("clock", ["event", "wall"])
async def test_a_damaged_profile_is_reported_by_name(clock: Literal["event", "wall"]) -> None:
    world = await live_world(clock)
    customer = world.changes()[0].customer_id
    first = world.profile(customer).first_seen
    spoil(world, customer, first_seen=first - 1)
    report = await Bench(world).replay()
    found = [(d.customer, d.name, d.live, d.shadow, d.kind) for d in report.listed]
    assert found == [(customer, "first_seen", str(first - 1), str(first), "aggregate")]
    assert (report.different, report.equal) == (1, report.customers - 1)
    assert report.rules_agree


async def test_what_no_trait_shows_is_compared_too() -> None:
    world = await live_world("event")
    customer = world.changes()[0].customer_id
    spoil(world, customer, left_order=12)
    assert [(d.customer, d.name) for d in (await Bench(world).replay()).listed] == [(customer, "state.left_order")]


async def test_a_lost_and_an_unreadable_profile_are_found() -> None:
    world = await live_world("event")
    lost, broken = sorted(world.portraits())[:2]
    del world.store.buckets[bucket_of(lost)].profiles[lost]
    held = world.store.buckets[bucket_of(broken)]
    held.profiles[broken] = StoredProfile(held.profiles[broken].version, b"\x93\x01")
    report = await Bench(world).replay()
    assert {(d.customer, d.live.split(" ")[0], d.shadow) for d in report.listed} == {
        (lost, "absent", "stored"),
        (broken, "unreadable", "stored"),
    }
    assert not report.rules_agree


async def test_a_live_generation_that_moves_on_is_followed() -> None:
    """What came since the start of the replay is no difference; what is wrong still is."""
    log = history_log(orders()[:300])
    world = World(log)
    worker = Worker(world)
    await worker.assign()
    await worker.read(7, polls=12)
    await worker.journey.advance_fences()
    early, positions = world.store.snapshot(), dict(worker.positions)
    await worker.read(7)
    await worker.journey.advance_fences()
    customer = world.changes()[0].customer_id
    spoil(world, customer, first_seen=1)
    late = world.store.snapshot()
    world.store.rewind(early)
    assert positions != worker.positions

    def stage(name: str, _total: int | None) -> None:
        if name == "comparing customers":
            world.store.rewind(late)

    report = await Bench(world).replay(Watch(stage))
    assert {d.customer for d in report.listed} == {customer}
    assert report.customers == len(world.portraits())


# -- switch ------------------------------------------------------------------------------------------------------------


def numbers(changes: list[SegmentChange]) -> dict[str, list[SegmentChange]]:
    found: dict[str, list[SegmentChange]] = defaultdict(list)
    for change in distinct(changes):
        if change.driver == "rule":
            found[change.customer_id].append(change)
    return found


def assert_chained(changes: list[SegmentChange]) -> None:
    """Numbers without a gap or repetition; in every unit each change begins where the last one ended."""
    for customer, mine in numbers(changes).items():
        assert [change.sequence for change in mine] == list(range(1, len(mine) + 1)), customer
        labels: dict[str, str | None] = {}
        for change in mine:
            unit = change.group or change.segment
            assert change.from_segment == labels.get(unit, change.from_segment), (customer, unit)
            labels[unit] = change.to_segment


@pytest.mark.parametrize("clock", ["event", "wall"])
async def test_after_a_switch_everything_goes_on_as_if_there_had_been_none(clock: Literal["event", "wall"]) -> None:
    log = wall_log(0, 100) if clock == "wall" else history_log(orders()[:100])
    world = await on_the_wall_clock(log, 0) if clock == "wall" else await worked(log, 20)
    bench = Bench(world)
    report = await bench.replay(switch=True)
    assert report.switched
    assert report.corrections == 0
    assert list(bench.keyspaces.stores) == [2], "the old generation is removed"
    whole = append_the_rest(world.log)
    silence = whole.append_time + 20 * DAY if clock == "wall" else None
    after = await bench.goes_on(until=silence)
    undisturbed = await read_once(whole, clock, silence)
    assert essence(distinct(after.changes())) == essence(undisturbed.changes())
    assert after.portraits() == undisturbed.portraits()
    assert after.tallies() == undisturbed.tallies()
    assert_chained(after.changes())
    versions = [(u.customer_id, u.version) for u in after.updates()]
    assert len(versions) == len(set(versions)), "no version is published twice"


async def read_once(log: Log, clock: Literal["event", "wall"], until: int | None) -> World:
    world = World(log, clock=clock)
    worker = Worker(world)
    await worker.assign()
    await worker.read()
    if until is not None:
        await worker.journey.tick(dict.fromkeys(range(2), until))
    await worker.journey.advance_fences()
    return world


def append_the_rest(log: Log) -> Log:
    if any(record.value is None for records in log.records.values() for record in records):
        later = history_log(orders()[:300])
        for tp, records in later.records.items():
            log.records[tp] += records[len(log.records[tp]) :]
    else:
        extend(log, 100, 200)
    return log


async def test_a_repaired_profile_is_published_under_the_next_version() -> None:
    world = await live_world("event")
    customer = world.changes()[0].customer_id
    good = world.portraits()[customer]
    version = world.profile(customer).version
    spoil(world, customer, first_seen=1)
    bench = Bench(world)
    assert (await bench.replay(switch=True)).switched, "aggregates alone need no force: they are what a switch repairs"
    after = await bench.goes_on()
    assert after.portraits()[customer] == good
    assert [u.version for u in after.updates() if u.customer_id == customer][-1] == version + 1
    assert {u.version for u in after.updates() if u.customer_id != customer} <= {u.version for u in world.updates()}


async def test_changed_rules_need_force_and_lead_over_with_one_change_a_label() -> None:
    """`activity` is gone from the rules: whoever had the label leaves it, numbered on; what comes is numbered on."""
    world = await live_world("event", 100)
    rules = without(world.policy, "activity")
    bench = Bench(world)
    refused = await bench.replay(policy=rules, switch=True)
    assert refused.refusal
    assert not refused.switched
    assert bench.keyspaces.live() == 1
    told = len(world.changes())
    report = await bench.replay(policy=rules, switch=True, force=True)
    assert report.switched
    held = sum("activity" in portrait["segments"] for portrait in world.portraits().values())
    assert report.corrections == held > 10
    append_the_rest(world.log)
    after = await bench.goes_on(rules)
    news = after.changes()[told:]
    leading = [change for change in news if change.cause == "replay 2"]
    assert {(c.group, c.to_segment, c.direction) for c in leading} == {("activity", None, "exited")}
    assert len(leading) == held
    assert len(news) > held
    assert_chained(after.changes())


async def test_a_damaged_label_is_corrected_with_the_next_number() -> None:
    world = await live_world("event", 100)
    customer = next(c.customer_id for c in world.changes() if c.group == "activity")
    profile = world.profile(customer)
    spoil(world, customer, labels={**profile.labels, "activity": "lost"})
    bench = Bench(world)
    assert (await bench.replay(switch=True)).refusal
    assert (await bench.replay(switch=True, force=True)).corrections == 1
    after = await bench.goes_on()
    (change,) = [c for c in after.changes() if c.cause == "replay 2"]
    assert (change.sequence, change.from_segment) == (profile.sequence + 1, "lost")
    assert change.to_segment == profile.labels["activity"]


async def test_what_a_worker_left_unpublished_goes_out_before_the_switch() -> None:
    world = World(history_log(orders()[:100]))
    killed = Worker(world, "first", killer("commit", 3))
    await killed.assign()
    with pytest.raises(KilledError):
        await killed.read(7)
    told = len(world.changes())
    bench = Bench(world)
    assert (await bench.replay(switch=True)).switched
    assert len(world.changes()) > told
    after = await bench.goes_on()
    undisturbed = await worked(history_log(orders()[:100]), 7)
    assert essence(distinct(after.changes())) == essence(undisturbed.changes())
    assert_chained(after.changes())


class ClaimingWorker:
    """Behind the publisher: a waiting worker claims partition number 0 whenever the switch publishes, so many times."""

    def __init__(self, bench: Bench, times: int) -> None:
        self.claims = 0
        self._bench, self._times, self._publish = bench, times, bench.world.publisher.publish

    def publish(self, messages: Sequence[OutgoingMessage]) -> None:
        self._publish(messages)
        if self.claims < self._times:
            self.claims += 1
            self._bench.world.store.claim(buckets_of_partition(0, PARTITIONS), "waiting")


async def left_unpublished() -> Bench:
    world = World(history_log(orders()[:100]))
    killed = Worker(world, "first", killer("commit", 3))
    await killed.assign()
    with pytest.raises(KilledError):
        await killed.read(7)
    return Bench(world)


async def test_a_worker_that_claims_during_the_switch_does_not_stop_it() -> None:
    bench = await left_unpublished()
    waiting = ClaimingWorker(bench, 3)
    setattr(bench.world.publisher, "publish", waiting.publish)  # noqa: B010  mypy sees a method
    assert (await bench.replay(switch=True)).switched
    assert waiting.claims == 3
    after = await bench.goes_on()
    undisturbed = await worked(history_log(orders()[:100]), 7)
    assert essence(distinct(after.changes())) == essence(undisturbed.changes())
    assert_chained(after.changes())


async def test_a_switch_that_workers_never_let_through_says_so() -> None:
    bench = await left_unpublished()
    waiting = ClaimingWorker(bench, 100)
    setattr(bench.world.publisher, "publish", waiting.publish)  # noqa: B010  mypy sees a method
    with pytest.raises(ProtocolError, match="workers claimed partition number 0 10 times"):
        await bench.replay(switch=True)
    assert (bench.keyspaces.live(), waiting.claims) == (1, 10)


async def test_a_switch_whose_lease_ran_out_moves_nothing() -> None:
    bench = Bench(await live_world("event"))
    bench.keyspaces.switching.lost = True
    with pytest.raises(ProtocolError, match="nothing was changed"):
        await bench.replay(switch=True)
    assert bench.keyspaces.live() == 1


async def test_a_shadow_that_another_replay_took_over_is_written_no_more() -> None:
    bench = Bench(await live_world("wall"))

    def stage(name: str, _total: int | None) -> None:
        if name == "workers wait: catching up":
            spoil(bench.world, bench.world.changes()[0].customer_id, first_seen=1)
            bench.keyspaces.store(2).claim(range(BUCKETS), "another")

    with pytest.raises(ProtocolError, match="the live profiles are as they were"):
        await bench.replay(Watch(stage), switch=True)
    assert bench.keyspaces.live() == 1


# -- refused -----------------------------------------------------------------------------------------------------------


async def test_one_replay_at_a_time() -> None:
    bench = Bench(await live_world("event"))
    bench.keyspaces.replaying.holder = True
    with pytest.raises(ConfigurationError, match="Another replay"):
        await bench.replay()


async def test_a_log_that_lacks_what_was_counted_is_only_compared_and_only_on_request() -> None:
    world = await live_world("event")
    bench = Bench(world)
    bench.readers[PURCHASE].begins = 30
    with pytest.raises(ConfigurationError, match=r"60 records that the log no longer has \(30 of purchase"):
        await bench.replay()
    report = await bench.replay(partial=True)
    assert not report.equal_throughout
    assert not report.same_records
    assert report.records_shadow == report.records_live - 60


@pytest.mark.parametrize("options", [{}, {"since": Bound(offset=40)}])
async def test_force_does_not_make_half_a_history_live(options: dict[str, Any]) -> None:
    """The command for new rules: it leads over labels, and lifts neither the guard of the log nor that of --from."""
    bench = Bench(await live_world("event"))
    if not options:
        bench.readers[PURCHASE].begins = 30
    with pytest.raises(ConfigurationError, match="--partial instead of --switch"):
        await bench.replay(switch=True, force=True, **options)
    with pytest.raises(ConfigurationError, match="leave one of them out"):
        await bench.replay(switch=True, force=True, partial=True, **options)
    assert bench.keyspaces.live() == 1


@pytest.mark.parametrize("options", [{"switch": True, "force": True}, {"partial": True}])
async def test_no_option_lifts_the_guard_of_the_clock(options: dict[str, Any]) -> None:
    bench = Bench(await live_world("event"))
    bench.world.clock = "wall"
    with pytest.raises(ConfigurationError, match="FOOTFALL_CLOCK=event"):
        await bench.replay(**options)
    assert bench.keyspaces.live() == 1


async def test_live_profiles_that_began_where_the_log_begins_are_no_part() -> None:
    """Retention had taken the first records before the first worker came: its base was empty there as well."""
    world = World(wall_log(0, 100), clock="wall")
    worker = Worker(world)
    await worker.assign()
    worker.positions = {tp: 20 if tp[0] == PURCHASE else 0 for tp in worker.positions}
    await worker.read(20)
    await worker.journey.advance_fences()
    bench = Bench(world)
    bench.readers[PURCHASE].begins = 20
    report = await bench.replay()
    assert report.equal_throughout, report.listed


async def test_a_later_begin_is_only_compared_and_only_on_request() -> None:
    bench = Bench(await live_world("event"))
    for since in (Bound(offset=5), Bound(time=1)):
        with pytest.raises(ConfigurationError, match="--from is later"):
            await bench.replay(since=since)
    assert (await bench.replay(since=Bound(offset=0))).customers
    assert not (await bench.replay(since=Bound(offset=40), partial=True)).equal_throughout


async def test_an_earlier_end_says_that_the_records_are_not_the_same() -> None:
    world = await live_world("wall")
    bench = Bench(world)
    report = await bench.replay(until=Bound(offset=10))
    assert not report.same_records
    assert report.records_shadow == 10 * 2
    half = sorted(r.timestamp for rs in world.log.records.values() for r in rs)[75]
    report = await bench.replay(until=Bound(time=half))
    assert report.records_shadow == sum(r.timestamp < half for rs in world.log.records.values() for r in rs)
    with pytest.raises(ConfigurationError, match="leave --to out"):
        await bench.replay(until=Bound(offset=10), switch=True)


async def test_a_log_that_ends_before_the_fences_stops_it() -> None:
    bench = Bench(await live_world("event"))
    bench.readers[PURCHASE].hidden = 3
    with pytest.raises(RewoundError, match="topic purchase ends at offset"):
        await bench.replay()


async def test_an_empty_installation_has_nothing_to_compare() -> None:
    with pytest.raises(ConfigurationError, match="no record yet"):
        await Bench(World(Log())).replay()


async def test_another_clock_than_that_of_the_live_profiles_is_refused() -> None:
    bench = Bench(await live_world("event"))
    bench.world.clock = "wall"
    with pytest.raises(ConfigurationError, match="FOOTFALL_CLOCK=event"):
        await bench.replay()


async def test_an_unknown_model_is_named() -> None:
    with pytest.raises(ConfigurationError, match="--model 7"):
        await Bench(await live_world("event")).replay(model=7)


async def test_scores_of_other_instants_are_compared_only_by_one_model() -> None:
    """Live profiles were scored again by ticks; the shadow at its last event. 0 pins the recency rule."""
    bench = Bench(await live_world("wall"))
    report = await bench.replay()
    assert report.not_comparable > 20
    assert report.scores == 0
    pinned = await bench.replay(model=0)
    assert (pinned.not_comparable, pinned.scores) == (0, 0)
    assert pinned.equal_throughout


async def test_a_shadow_left_by_an_earlier_run_is_emptied_first() -> None:
    world = await live_world("event")
    bench = Bench(world)
    assert (await bench.replay(keep=True)).equal_throughout
    assert sorted(bench.keyspaces.stores) == [1, 2]
    assert (await bench.replay()).equal_throughout
    assert bench.keyspaces.emptied == [2, 2]


async def test_a_replay_that_slept_until_another_one_switched_removes_nothing() -> None:
    bench = Bench(await live_world("event"))

    def stage(name: str, _total: int | None) -> None:
        if name == "removing what is not live":
            bench.keyspaces.replaying.lost = True

    with pytest.raises(ProtocolError, match="Another replay took the shadow over"):
        await bench.replay(Watch(stage))
    assert bench.keyspaces.emptied == []


async def test_a_lease_that_is_lost_after_the_switch_leaves_the_old_generation_to_the_next_replay() -> None:
    bench = Bench(await live_world("event"))

    def stage(name: str, _total: int | None) -> None:
        if name == "workers wait: catching up":
            bench.keyspaces.replaying.lost = True

    assert (await bench.replay(Watch(stage), switch=True)).switched
    assert sorted(bench.keyspaces.stores) == [1, 2]


def test_every_topic_of_the_bench_is_an_input_topic() -> None:
    assert set(Bench(World(Log())).readers) == set(INPUT_TOPICS)
    assert PROFILES not in INPUT_TOPICS
