"""The schedule: repeatable, complete, and with enough kills."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.__main__ import LONG_SECONDS, SHORT_SECONDS
from tests.chaos.experiment import LOST_TAIL_SHARE
from tests.chaos.monkey import OUTAGES, Fault, deck, drill, least_seconds, schedule
from tests.chaos.pulse import back_after, longest_stall, rate_between

FROZEN = 8.0


def faults(seed: int, seconds: float, *, real_broker: bool = False, lost_tail: bool = False) -> list[Fault]:
    share = LOST_TAIL_SHARE if lost_tail else 1 - LOST_TAIL_SHARE
    cards = deck(real_broker=real_broker, lost_tail=lost_tail)
    return schedule(f"{seed} {lost_tail}", seconds * share, cards, FROZEN)


def test_a_seed_repeats_its_faults_and_another_draws_others() -> None:
    assert faults(1, 100) == faults(1, 100) != faults(2, 100)


@pytest.mark.parametrize("real_broker", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_a_short_run_meets_every_kind_of_death(seed: int, *, real_broker: bool) -> None:
    met = {fault.kind for fault in faults(seed, SHORT_SECONDS, real_broker=real_broker)}
    wanted = {"kill worker", "kill sink", "kill redis", "zombie"} | ({"kill broker"} if real_broker else set())
    assert wanted <= met
    assert "cut redis" not in met, "what Redis confirmed is lost in the second stretch only"
    assert "cut redis" in {fault.kind for fault in faults(seed, SHORT_SECONDS, lost_tail=True)}


@pytest.mark.parametrize("seed", range(5))
def test_a_long_run_meets_all_kinds_and_a_hundred_kills(seed: int) -> None:
    first, second = faults(seed, LONG_SECONDS), faults(seed, LONG_SECONDS, lost_tail=True)
    kinds = Counter(fault.kind for fault in [*first, *second])
    assert kinds.keys() == {*deck(real_broker=False, lost_tail=False), *deck(real_broker=False, lost_tail=True)}
    assert sum(n for kind, n in kinds.items() if kind.startswith("kill") or kind == "cut redis") >= 105


@pytest.mark.parametrize("seed", range(5))
def test_the_heir_of_a_zombie_lives_to_contradict_it(seed: int) -> None:
    asleep_until = 0.0
    for fault in faults(seed, LONG_SECONDS):
        if fault.at < asleep_until:
            assert fault.kind not in ("kill worker", "zombie")
        if fault.kind == "zombie":
            assert fault.seconds >= FROZEN
            asleep_until = fault.at + fault.seconds


def test_in_a_storm_a_worker_leaves_every_five_seconds_each_in_turn_and_then_it_is_calm() -> None:
    found = drill("storm", 60)
    assert [fault.at for fault in found] == [float(at) for at in range(5, 45, 5)]
    assert {fault.kind for fault in found} == {"leave worker"}
    assert {int(fault.where * 2) for fault in found} == {0, 1}, "both workers"


def test_an_outage_is_one_server_once() -> None:
    for name, seconds in OUTAGES.items():
        (fault,) = drill(name, least_seconds(name))
        assert (fault.kind, fault.seconds) == (f"kill {name}", seconds)
        assert fault.at + seconds < least_seconds(name), "and it is seen what comes afterwards"


def test_the_longest_stall_is_the_longest_time_without_growth() -> None:
    assert longest_stall([(0.0, 0), (1.0, 5), (2.0, 5), (4.5, 6), (5.0, 6)]) == 3.5
    assert longest_stall([(0.0, 0), (1.0, 5), (9.0, 5)]) == 8.0, "the end counts as well"
    assert longest_stall([(1.0, 0)]) == 0.0


def test_a_rate_is_back_when_it_holds_for_three_seconds() -> None:
    looks = [(float(at), 100 * max(0, at - 4)) for at in range(12)]
    assert back_after(looks, 1.0, 90) == 3.0
    assert back_after(looks, 1.0, 110) is None
    assert back_after(looks, 10.0, 90) is None, "too near the end to tell"


def test_a_rate_is_that_of_the_time_between_and_begins_with_the_first_growth() -> None:
    looks = [(0.0, 0), (1.0, 0), (2.0, 100), (3.0, 200), (4.0, 300), (5.0, 320)]
    assert rate_between(looks, 0.0, 4.0) == 100
    assert rate_between(looks, 4.0, 9.0) == 20
    assert rate_between(looks, 0.0, 1.5) is None, "nothing was stored yet"
    assert rate_between(looks, 6.0, 9.0) is None, "the looks have ended"
