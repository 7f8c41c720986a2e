"""How long a worker waits before it tries again, and when it stops trying."""

from __future__ import annotations

import pytest

from schemas.errors import RetryableError, StaleCommitError, StalledError
from streams.setbacks import CALM_SECONDS, LONGEST_SECONDS, REFUSED_SECONDS, Setbacks

FULL = RetryableError("Redis refuses for now: OOM")
REFUSED = StaleCommitError("Redis refused the commit of bucket 7 (stale_version)")


def test_a_server_that_is_full_is_waited_for_however_long_it_takes() -> None:
    setbacks, now, pauses = Setbacks(), 0.0, []
    for _ in range(100):
        pauses.append(setbacks.note(FULL, now))
        now += pauses[-1] + 0.01
    assert pauses[:4] == [0.0, 0.1, 0.2, 0.4]
    assert max(pauses) == pauses[-1] == LONGEST_SECONDS
    assert now > 5 * REFUSED_SECONDS


def test_what_is_refused_again_and_again_ends_the_worker_within_30_s() -> None:
    setbacks, now = Setbacks(), 0.0
    while now <= REFUSED_SECONDS:
        now += setbacks.note(REFUSED, now) + 0.01
    assert now < 30
    with pytest.raises(StalledError, match=r"for 2\d s Redis has refused .* bucket 7") as raised:
        setbacks.note(REFUSED, now)
    assert raised.value.kind == "standstill"


def test_refusals_that_lie_apart_end_nothing() -> None:
    setbacks = Setbacks()
    assert {setbacks.note(REFUSED, n * (CALM_SECONDS + 1)) for n in range(100)} == {0.0}


def test_few_refusals_end_nothing_however_slow_the_worker_is() -> None:
    setbacks = Setbacks()
    for n in range(4):
        setbacks.note(REFUSED, n * CALM_SECONDS)
    with pytest.raises(StalledError):
        setbacks.note(REFUSED, 4 * CALM_SECONDS)


def test_another_failure_in_between_begins_the_count_of_refusals_anew() -> None:
    setbacks = Setbacks()
    for n in range(100):
        setbacks.note(REFUSED, 2.0 * n)
        setbacks.note(FULL, 2.0 * n + 1)
