"""How long a worker waits before it tries again, and when it stops trying."""

from __future__ import annotations

import pytest

from schemas.errors import RetryableError, StaleCommitError, StalledError
from streams.setbacks import LONGEST_SECONDS, REFUSED_SECONDS, Setbacks

FULL = RetryableError("Redis refuses for now: OOM")
REFUSED = StaleCommitError("Redis refused the commit of bucket 7 (stale_version)")


def test_a_server_that_is_full_is_waited_for_however_long_it_takes() -> None:
    setbacks, now, pauses = Setbacks(), 0.0, []
    for _ in range(100):
        pauses.append(setbacks.note(FULL, moved=False, now=now))
        now += pauses[-1] + 0.01
    assert pauses[:4] == [0.0, 0.1, 0.2, 0.4]
    assert max(pauses) == pauses[-1] == LONGEST_SECONDS
    assert now > 10 * REFUSED_SECONDS


def test_what_is_refused_again_and_again_ends_the_worker_within_30_s() -> None:
    setbacks, now = Setbacks(), 0.0
    while now <= REFUSED_SECONDS:
        now += setbacks.note(REFUSED, moved=False, now=now) + 0.01
    assert now < 30
    with pytest.raises(StalledError, match=r"for 2\d s Redis has refused .* bucket 7") as raised:
        setbacks.note(REFUSED, moved=False, now=now)
    assert raised.value.kind == "standstill"


def test_a_slow_worker_is_not_ended_for_few_refusals() -> None:
    setbacks = Setbacks()
    for n in range(4):
        setbacks.note(REFUSED, moved=False, now=n * REFUSED_SECONDS)
    with pytest.raises(StalledError):
        setbacks.note(REFUSED, moved=False, now=4 * REFUSED_SECONDS)


@pytest.mark.parametrize(("error", "moved"), [(REFUSED, True), (FULL, False)])
def test_whatever_is_stored_or_fails_otherwise_in_between_begins_the_count_anew(
    error: RetryableError, *, moved: bool
) -> None:
    setbacks = Setbacks()
    for n in range(100):
        setbacks.note(REFUSED, moved=False, now=10.0 * n)
        setbacks.note(error, moved=moved, now=10.0 * n + 1)
