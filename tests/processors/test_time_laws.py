"""No change is missed and none is early: waking at due instants decides what looking at every instant decides."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.calendar import DAY, FIVE, HOUR, MINUTE, NEVER, Calendar, calendar_of
from processors.event import Event
from processors.fold import Outcome, Policy, advance, fold, tick
from processors.portrait import portrait
from processors.profile import Profile
from processors.rules import parse_rules
from processors.state import decode_state, encode_state
from schemas.results import SegmentChange
from tests.builders import event, order, policy, run, shipped_rules
from tests.strategies import continued, histories

LONE = parse_rules(
    """
segments:
  - {id: gone, name: {en: G, zh: 走}, when: days_since_last_seen >= 7}
  - {id: left, name: {en: L, zh: 弃}, when: cart_adds_24h >= 1 and orders_24h == 0 and cart_adds_1h == 0}
  - {id: stays, name: {en: S, zh: 留}, when: page_views_1h >= 1, min_dwell: 3h}
  - {id: visits, name: {en: V, zh: 访}, when: sessions_closed_24h >= 1 and bounce_share_24h > 0.4}
  - {id: years, name: {en: Y, zh: 年}, when: frequency >= 1 and active_days_24h < 2}
""",
    "lone.yaml",
)
"""Rules without any group: a customer may hold no label at all."""


RULES = {"lone": LONE, "shipped": shipped_rules()}


def dense(p: Profile, upto: int, calendar: Calendar) -> list[int]:
    """Every later instant at which anything a profile holds can leave, close or come of age; and 1 ms before each."""
    found = {calendar.start(day) for day in range(calendar.day(p.as_of), calendar.day(upto) + 1)}
    found |= {p.session_due, p.due, p.activity_until + 1, p.rfm_until + 1, p.orders_due, upto}
    found |= {((key >> 6) + 12) * FIVE for key in p.fives.keys} | {((key >> 6) + 24) * HOUR for key in p.hours.keys}
    for since in {p.first_seen, p.last_seen, p.last_order, *p.entered.values()}:
        found |= {since + n * DAY for n in (7, 30, 31, 90, 91, 181, 271)} | {since + 3 * HOUR}
    return sorted({t + d for t in found for d in (-1, 0) if p.as_of < t + d <= upto})


def pass_time(p: Profile, upto: int, under: Policy, out: Outcome) -> None:
    """Look at every instant; after a change there are new ones."""
    instants = dense(p, upto, under.calendar)
    while instants:
        known = len(out.changes)
        look(p, instants.pop(0), under, out)
        if len(out.changes) > known:
            instants = dense(p, upto, under.calendar)


def look(p: Profile, instant: int, under: Policy, out: Outcome) -> None:
    """Ask every rule at an instant, due or not."""
    for position in range(len(p.turns) - 2):
        p.turns[position] = instant
    tick(p, instant, under, out)


def by_brute_force(events: Sequence[Event], until: int, under: Policy) -> Outcome:
    """The same history, every rule asked after every event and at every instant that may matter."""
    p, out = Profile("c"), Outcome()
    for one in [*events, None]:
        upto = until if one is None else one.at
        if p.first_seen:
            pass_time(p, upto, under, out)
        if one is not None:
            fold(p, one, under, out)
            look(p, p.as_of, under, out)
    return out


def agrees(events: list[Event], until: int, under: Policy) -> None:
    done, brute = run(events, under, until).outcome, by_brute_force(events, until, under)
    assert done.changes == brute.changes
    assert done.answers == brute.answers
    assert done.snapshots == brute.snapshots


@settings(max_examples=150, deadline=None)
@given(continued(most=8))
def test_the_shipped_rules_miss_no_instant(history: tuple[list[Event], int]) -> None:
    agrees(*history, policy(rules=shipped_rules()))


@settings(max_examples=150, deadline=None)
@given(continued(most=8))
def test_lone_rules_miss_no_instant(history: tuple[list[Event], int]) -> None:
    agrees(*history, policy(rules=LONE))


@settings(max_examples=40, deadline=None)
@given(continued(most=8, wall=True))
def test_no_instant_is_missed_on_the_wall_clock_in_a_zone(history: tuple[list[Event], int]) -> None:
    agrees(*history, policy(rules=LONE, calendar=BERLIN))


BERLIN = calendar_of("Europe/Berlin")


@pytest.mark.parametrize("rules", ["shipped", "lone"])
@settings(max_examples=150, deadline=None)
@given(history=continued(most=25, wall=False), wall=st.booleans(), data=st.data())
def test_neither_reloading_nor_early_waking_changes_anything(
    rules: str, history: tuple[list[Event], int], *, wall: bool, data: st.DataObject
) -> None:
    """Stored and loaded between any two records, as by another owner, a profile goes on as if it never was."""
    events, until = history
    under = policy(rules=RULES[rules], refresh=wall)
    expected = run(events, under, until)
    p, out = Profile("c"), Outcome()
    for one in events:
        if p.first_seen and data.draw(st.booleans()):
            p = decode_state("c", 1, encode_state(p), under.calendar, under.limits)
        if p.first_seen and p.due <= one.at and data.draw(st.booleans()):
            tick(p, p.due, under, out)
        fold(p, one, under, out)
    p = decode_state("c", 1, encode_state(p), under.calendar, under.limits)
    advance(p, until, under, out)
    assert out == expected.outcome
    assert traits_of(p) == traits_of(expected.profile)


def traits_of(p: Profile) -> tuple[dict[str, Any], dict[str, str]]:
    """All traits; the churn bands are asked when a batch is scored, and here none is."""
    return portrait(p) | {"segments": None}, {unit: label for unit, label in p.labels.items() if unit != "churn"}


def test_a_loaded_profile_without_any_label_still_wakes() -> None:
    under, out = policy(rules=LONE), Outcome()
    p = run([event("product_added")], under).profile
    p = decode_state("c", 1, encode_state(p), under.calendar, under.limits)
    fold(p, event("liked", p.as_of + MINUTE), under, out)
    advance(p, p.as_of + 2 * HOUR, under, out)
    assert "left" in [change.segment for change in out.changes]


@settings(max_examples=80, deadline=None)
@given(events=histories(most=25), by_order=st.booleans())
def test_time_never_retreats_and_the_due_instant_lies_ahead(events: list[Event], *, by_order: bool) -> None:
    under = policy(rules=shipped_rules(), churn_by_order=by_order)
    p, out, before = Profile("c"), Outcome(), 0
    for one in events:
        fold(p, one, under, out)
        assert before <= p.as_of < p.due
        before = p.as_of


@pytest.mark.parametrize("late", [20 * HOUR, 31 * DAY, 100 * DAY])
def test_the_first_record_of_a_customer_may_be_an_old_one(late: int) -> None:
    """On the wall clock an imported history arrives long after it happened."""
    p, out, under = Profile("c"), Outcome(), policy(rules=shipped_rules())
    now = event().time
    fold(p, event(time=now - late, at=now), under, out)
    assert p.due > p.as_of == now
    assert out.snapshots == []
    advance(p, now + DAY, under, out)
    assert out.answers == []


def chained(changes: Sequence[SegmentChange]) -> None:
    """One driver's changes of one customer are gapless from 1, and every unit's are a chain."""
    assert [change.sequence for change in changes] == list(range(1, len(changes) + 1))
    holds: dict[str, str | None] = {}
    for change in changes:
        unit = change.group or change.segment
        before = holds.get(unit)
        assert change.from_segment in ((before,) if before else (None, *shipped_quiet(unit)))
        assert change.from_segment != change.to_segment
        assert change.direction == ("entered" if change.to_segment else "exited")
        holds[unit] = change.to_segment
    times = [change.effective_time for change in changes]
    assert times == sorted(times)


def shipped_quiet(unit: str) -> frozenset[str]:
    """First labels that no message told of."""
    return next(one.quiet for one in shipped_rules().units if one.id == unit)


@settings(max_examples=80, deadline=None)
@given(continued(most=25))
def test_changes_are_a_gapless_chain_with_an_id_each(history: tuple[list[Event], int]) -> None:
    events, until = history
    changes = run(events, policy(rules=shipped_rules()), until).outcome.changes
    chained(changes)
    assert len({change.change_id for change in changes}) == len(changes)


@settings(max_examples=30, deadline=None)
@given(continued(most=15))
def test_the_same_log_gives_the_same_ids(history: tuple[list[Event], int]) -> None:
    events, until = history
    first, second = (run(events, policy(rules=shipped_rules()), until).outcome for _ in range(2))
    assert first == second


def test_the_same_event_elsewhere_in_the_log_has_other_ids() -> None:
    under = policy(rules=shipped_rules())
    first, second = (run([order(number=n, order_id="o")], under).outcome.changes for n in (0, 1))
    assert [change.segment for change in first] == [change.segment for change in second]
    assert not {change.change_id for change in first} & {change.change_id for change in second}


@settings(max_examples=40, deadline=None)
@given(continued(most=15, late=False), st.data())
def test_what_is_decided_by_an_instant_depends_on_nothing_after_it(
    history: tuple[list[Event], int], data: st.DataObject
) -> None:
    events, until = history
    t = data.draw(st.integers(events[0].time, until))
    known, others = [one for one in events if one.at <= t], data.draw(histories(most=6, late=False))
    after = [moved(one, t + 1 + one.time - others[0].time, len(events) + n) for n, one in enumerate(others)]
    under = policy(rules=shipped_rules())
    expected = run(known, under, t).outcome
    for future in (events, known + after, known):
        out = run(future, under, until + 500 * DAY).outcome
        assert [change for change in out.changes if change.effective_time <= t] == expected.changes
        assert [answer for answer in out.answers if answer.label_time <= t] == expected.answers
        assert [taken for taken in out.snapshots if taken.instant <= t] == expected.snapshots


def moved(one: Event, time: int, number: int) -> Event:
    copy = event(one.name, time, number)
    copy.detail, copy.visit = one.detail, one.visit
    return copy


@settings(max_examples=40, deadline=None)
@given(histories(most=20), st.randoms(use_true_random=False))
def test_any_order_within_the_lateness_gives_the_same_totals(events: list[Event], rng: object) -> None:
    """Events that lie within 24 h of each other may come in any order."""
    by_time = sorted(events, key=lambda one: one.time)
    shuffled: list[Event] = []
    for _, days in groupby(by_time, key=lambda one: one.time // DAY):
        together = list(days)
        rng.shuffle(together)  # type: ignore[attr-defined]
        shuffled += together
    until = max(one.time for one in events)
    first, second = run(by_time, policy(), until).profile, run(shuffled, policy(), until).profile
    assert first.totals == second.totals
    assert (first.frequency, first.monetary, first.last_order, first.gap_sum) == (
        second.frequency,
        second.monetary,
        second.last_order,
        second.gap_sum,
    )


def test_nothing_is_ever_due_for_a_customer_who_is_lost_and_has_no_history_left() -> None:
    p = run([event()], policy(rules=shipped_rules()), event().time + 500 * DAY).profile
    assert p.due == NEVER
