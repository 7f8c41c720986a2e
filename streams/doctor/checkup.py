"""Runs checks beside each other, each within the same bound of time: a dead server holds up none of the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from time import monotonic
from typing import Final

from schemas.errors import FootfallError, RetryableError, UnreachableError
from streams.doctor.finding import Check, Finding, NotCheckedError

PATIENCE_SECONDS: Final = 15.0


def findings_of(checks: Sequence[Check], seconds: float = PATIENCE_SECONDS) -> Iterator[Finding]:
    """What every check found, in the order of the checks; never raises, and ends after about `seconds`."""
    running = [(check, _begun(check)) for check in checks]
    deadline = monotonic() + seconds
    for check, future in running:
        yield from _found(check, future, max(0.0, deadline - monotonic()), seconds)


def _begun(check: Check) -> Future[Sequence[Finding]]:
    """In a thread of its own that ends with the process: what hangs is left hanging."""
    future: Future[Sequence[Finding]] = Future()

    def run() -> None:
        try:
            future.set_result(check.examine())
        except Exception as error:  # noqa: BLE001  every one becomes a finding
            future.set_exception(error)

    threading.Thread(target=run, name=f"doctor {check.name}", daemon=True).start()
    return future


def _found(check: Check, future: Future[Sequence[Finding]], patience: float, seconds: float) -> Sequence[Finding]:
    try:
        return future.result(patience)
    except TimeoutError:
        return [_unanswered(check, f"no answer within {seconds:g} s")]
    except (UnreachableError, RetryableError, NotCheckedError) as error:
        return [_unanswered(check, str(error))]
    except FootfallError as error:
        return [Finding(check.name, "problem", str(error))]
    except Exception as error:  # noqa: BLE001
        reason = " ".join(str(error).split())[:300]
        return [Finding(check.name, "problem", f"the check failed with {type(error).__name__}: {reason}", "report it")]


def _unanswered(check: Check, reason: str) -> Finding:
    if check.relies_on:
        return Finding(check.name, "warning", f"not checked: {reason}", f"first put {check.relies_on} right")
    return Finding(check.name, "problem", reason, "start it, or correct its address in the settings")
