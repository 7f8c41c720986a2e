"""Every check is run whatever the others do, and none holds up the report."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic

import pytest

from schemas.errors import ConfigurationError, RetryableError, UnreachableError
from streams.doctor.checkup import findings_of
from streams.doctor.finding import Check, Finding, NotCheckedError, listed


def failing(error: BaseException) -> Callable[[], Sequence[Finding]]:
    def examine() -> Sequence[Finding]:
        raise error

    return examine


def good() -> Sequence[Finding]:
    return [Finding("one", "ok", "well"), Finding("two", "ok", "well")]


@pytest.mark.parametrize(
    ("error", "relies_on", "status", "text"),
    [
        (UnreachableError("Redis does not answer"), "", "problem", "Redis does not answer"),
        (UnreachableError("Redis does not answer"), "redis", "warning", "not checked: Redis does not answer"),
        (RetryableError("Redis refuses for now"), "", "problem", "Redis refuses for now"),
        (NotCheckedError("a topic is missing"), "kafka", "warning", "not checked: a topic is missing"),
        (ConfigurationError("the policy is wrong"), "redis", "problem", "the policy is wrong"),
        (ValueError("odd\nthing"), "", "problem", "the check failed with ValueError: odd thing"),
    ],
)
def test_what_a_check_raises_is_its_finding(error: BaseException, relies_on: str, status: str, text: str) -> None:
    checks = [Check("bad", failing(error), relies_on), Check("good", good)]
    found = list(findings_of(checks))
    assert [(f.check, f.status, f.text) for f in found] == [
        ("bad", status, text), ("one", "ok", "well"), ("two", "ok", "well"),
    ]  # fmt: skip
    assert (found[0].remedy != "") == (not isinstance(error, ConfigurationError)), "its text says what to do"


def test_checks_that_hang_are_left_behind_together_after_their_time() -> None:
    forever = threading.Event()

    def hang() -> Sequence[Finding]:
        forever.wait(30)
        return []

    begun = monotonic()
    found = list(findings_of([Check("a", hang), Check("b", hang, "a"), Check("c", good)], 0.3))
    assert monotonic() - begun < 2
    forever.set()
    assert [(f.check, f.status) for f in found] == [("a", "problem"), ("b", "warning"), ("one", "ok"), ("two", "ok")]
    assert found[0].text == "no answer within 0.3 s"


def test_findings_come_as_soon_as_they_are_found() -> None:
    go = threading.Event()

    def late() -> Sequence[Finding]:
        assert go.wait(10)
        return [Finding("late", "ok", "well")]

    findings = findings_of([Check("good", good), Check("late", late)])
    assert next(findings).check == "one"
    go.set()
    assert [finding.check for finding in findings] == ["two", "late"]


def test_a_long_list_is_cut_and_says_so() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(range(7)) == "0, 1, 2, 3 and 3 more"
