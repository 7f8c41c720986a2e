"""What a role shows of itself once a second: that it lives, whether it lags, how full its queues are."""

from __future__ import annotations

import asyncio

from schemas.errors import UnreachableError
from streams import metrics
from streams.probing import Prober
from streams.settings import HealthSettings
from streams.vitals import Backlog, Vitals
from tests.streams.test_ledger import shown


class FakeWorker:
    def __init__(self) -> None:
        self.handed_out = 2
        self.unread = {("app", 0): 4, ("app", 1): 3}
        self.failures: list[BaseException] = []

    def lag(self) -> dict[tuple[str, int], int]:
        return self.unread

    def fail(self, error: BaseException) -> None:
        self.failures.append(error)


def test_a_backlog_is_told_beyond_its_limit_and_over_at_half_of_it() -> None:
    health = metrics.Health()
    backlog = Backlog(health, 100)
    told = []
    for records in (100, 101, 99, 51, 50, 99, 100, 101):
        backlog.look(records)
        told.append("lag" in health.reasons)
    assert told == [False, True, True, True, False, False, False, True]
    assert health.reasons == {"lag": "101 records are unread, the limit is 100; ready at 50"}


def test_one_look_shows_lag_and_polls_and_that_the_loop_turns() -> None:
    seconds = [0.0]
    health, worker = metrics.Health(stalled_seconds=5, now=lambda: seconds[0]), FakeWorker()
    vitals = Vitals(worker, health, HealthSettings(max_lag_records=6))
    vitals.look()
    assert health.reasons == {"lag": "7 records are unread, the limit is 6; ready at 3"}
    assert shown(metrics.LAG_RECORDS) == {("app", "0"): 4, ("app", "1"): 3}
    assert shown(metrics.HANDED_OUT_POLLS) == {(): 2}
    worker.unread = {("app", 1): 0}
    seconds[0] = 5.5
    assert health.stalled == "has not turned for 6 s"
    vitals.look()
    assert [health.stalled] == [None]
    assert health.reasons == {}
    assert shown(metrics.LAG_RECORDS) == {("app", "1"): 0}, "a revoked partition is shown no more"


async def test_an_error_while_looking_ends_the_worker() -> None:
    worker, error = FakeWorker(), RuntimeError("a gauge that does not exist")

    def broken() -> None:
        raise error

    with Vitals(worker, metrics.Health(), HealthSettings(), broken).watched():
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert worker.failures == [error]


def test_a_server_is_missing_after_two_silent_probes_and_back_after_one_answer() -> None:
    health = metrics.Health()
    answers: list[Exception | None] = [UnreachableError("Redis at h:1 does not answer"), None]
    answers += [UnreachableError("Redis at h:1 does not answer")] * 2 + [ValueError("odd"), None]

    def probe() -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    prober = Prober({"Redis": probe}, health, 60)
    told = []
    while answers:
        prober.ask()
        told.append(health.reasons.get("Redis connection"))
    missing = "Redis at h:1 does not answer"
    assert told == [None, None, None, missing, "ValueError: odd", None]
