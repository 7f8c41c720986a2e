"""The judge finds nothing where nothing is wrong, and every single thing that is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache

import msgspec
import orjson
import pytest

from tests.chaos.evidence import Evidence, events_in
from tests.chaos.truth import ONE_TOPIC, Undisturbed, first_of_each_id, history_of, parts_of
from tests.chaos.verdict import Truth, differences
from tests.oracle.diary import effective_time
from tests.streams.worker import Site, World, history_log

Hurt = Callable[[Evidence], None]


@cache
def outcome() -> tuple[Truth, Evidence]:
    """A history folded in memory, as an installation without a fault would hold it."""
    events = history_of(3, 900)
    log = history_log(events)
    undisturbed = Undisturbed(Site())
    world = undisturbed.read(log.records)
    undisturbed.close()
    return Truth(events, max(effective_time(event) for _, event in events), world), evidence_of(world)


def evidence_of(world: World) -> Evidence:
    buckets = world.store.buckets.values()
    log = dict(world.log.records)
    stored = {c: (p.version, p.state, b.traits[c]) for b in buckets for c, p in b.profiles.items()}
    return Evidence(
        log=log,
        changes=world.changes(),
        examples=world.examples(),
        letters=world.letters(),
        profiles=stored,
        tallies=world.store.tallies(),
        event_rows={
            event_id: (
                topic, partition, offset, event["customer_id"], event["name"],
                effective_time(event), event["received_time"], event.get("revenue") or 0,
            )
            for event_id, (topic, partition, offset, event) in first_of_each_id(events_in(log)).items()
        },
        change_rows={
            c.change_id: (
                c.customer_id, c.sequence, c.segment,
                c.from_segment or "", c.to_segment or "", c.effective_time, c.cause,
            )
            for c in world.changes()
        },
        profile_rows={customer: (version, traits) for customer, (version, _, traits) in stored.items()},
    )  # fmt: skip


@pytest.fixture
def evidence() -> Evidence:
    found = outcome()[1]
    return Evidence(**{name: copy.copy(getattr(found, name)) for name in Evidence.__dataclass_fields__})


def buyers(evidence: Evidence) -> list[int]:
    """Places of the rule-driven changes of customers of one topic."""
    return [i for i, c in enumerate(evidence.changes) if c.driver == "rule" and c.customer_id.startswith(ONE_TOPIC)]


def test_nothing_differs_where_nothing_is_wrong(evidence: Evidence) -> None:
    assert len(buyers(evidence)) > 500
    assert len(evidence.profiles) > 200
    assert evidence.letters, "a history without bad records proves nothing of dead letters"
    assert differences(outcome()[0], evidence) == []


def test_a_message_sent_again_is_no_difference(evidence: Evidence) -> None:
    evidence.changes += evidence.changes[-50:]
    assert differences(outcome()[0], evidence) == []


def lost_change(evidence: Evidence) -> None:
    del evidence.changes[buyers(evidence)[7]]


def lost_last_change(evidence: Evidence) -> None:
    """No gap shows it."""
    del evidence.changes[buyers(evidence)[-1]]


def swapped_changes(evidence: Evidence) -> None:
    customer = evidence.changes[buyers(evidence)[0]].customer_id
    a, b = [i for i in buyers(evidence) if evidence.changes[i].customer_id == customer][:2]
    evidence.changes[a], evidence.changes[b] = evidence.changes[b], evidence.changes[a]


def change_under_another_id(evidence: Evidence) -> None:
    place = buyers(evidence)[3]
    evidence.changes[place] = msgspec.structs.replace(evidence.changes[place], change_id="another")


def contradicted_change(evidence: Evidence) -> None:
    evidence.changes.append(msgspec.structs.replace(evidence.changes[5], cause="another"))


def gap_of_a_six_topic_customer(evidence: Evidence) -> None:
    place = next(i for i, c in enumerate(evidence.changes) if c.customer_id.startswith("c0") and c.sequence == 1)
    del evidence.changes[place]


def lost_profile(evidence: Evidence) -> None:
    del evidence.profiles[next(iter(evidence.profiles))]


def stranger(evidence: Evidence) -> None:
    evidence.profiles["nobody"] = next(iter(evidence.profiles.values()))


def event_counted_twice(evidence: Evidence) -> None:
    customer, other = [name for name in evidence.profiles if name.startswith("c0")][:2]
    evidence.profiles[customer] = evidence.profiles[other]


def traits_unlike_the_state(evidence: Evidence) -> None:
    customer = next(name for name in evidence.profiles if name.startswith(ONE_TOPIC))
    version, state, traits = evidence.profiles[customer]
    evidence.profiles[customer] = (version, state, orjson.dumps(orjson.loads(traits) | {"frequency": 99}))


def miscounted(evidence: Evidence) -> None:
    name = next(name for name in evidence.tallies if name.startswith("applied"))
    evidence.tallies[name] += 1


def lost_event_row(evidence: Evidence) -> None:
    del evidence.event_rows[next(iter(evidence.event_rows))]


def lost_change_row(evidence: Evidence) -> None:
    del evidence.change_rows[next(iter(evidence.change_rows))]


def stale_profile_row(evidence: Evidence) -> None:
    customer, (version, traits) = next(iter(evidence.profile_rows.items()))
    evidence.profile_rows[customer] = (version - 1, traits)


def doubled_row(evidence: Evidence) -> None:
    evidence.repeated_rows = 1


def lost_letter(evidence: Evidence) -> None:
    evidence.letters.pop()


def lost_example(evidence: Evidence) -> None:
    place = next(i for i, e in enumerate(evidence.examples) if e.customer_id.startswith(ONE_TOPIC))
    del evidence.examples[place]


def record_lost_by_the_broker(evidence: Evidence) -> None:
    place = next(place for place, records in evidence.log.items() if records[-2].value is not None)
    evidence.log[place] = evidence.log[place][:-2]


ALWAYS = [
    lost_change, lost_last_change, swapped_changes, change_under_another_id, lost_profile, stranger,
    event_counted_twice, traits_unlike_the_state, miscounted, lost_event_row, lost_change_row, doubled_row,
    lost_letter, lost_example, record_lost_by_the_broker,
]  # fmt: skip
WITH_REDIS_WHOLE = [contradicted_change, gap_of_a_six_topic_customer, stale_profile_row]


@pytest.mark.parametrize("hurt", [*ALWAYS, *WITH_REDIS_WHOLE])
def test_one_thing_that_is_wrong_is_found(hurt: Hurt, evidence: Evidence) -> None:
    hurt(evidence)
    assert differences(outcome()[0], evidence)


@pytest.mark.parametrize("hurt", ALWAYS[::4])
def test_it_is_found_after_a_lost_tail_too(hurt: Hurt, evidence: Evidence) -> None:
    hurt(evidence)
    assert differences(outcome()[0], evidence, lost_tail=True)


def test_a_wrong_truth_is_found(evidence: Evidence) -> None:
    truth = outcome()[0]
    assert differences(Truth(truth.events[1:], truth.end, truth.world), evidence)


def test_the_history_is_cut_at_the_end_of_a_day_and_loses_nothing() -> None:
    events = history_of(3, 900)
    first, second = parts_of(events, 0.7)
    assert first.events + second.events == events
    assert max(effective_time(event) for _, event in first.events) <= first.end
    assert effective_time(second.events[0][1]) > first.end
    assert 0.5 < len(first.events) / len(events) < 0.75
