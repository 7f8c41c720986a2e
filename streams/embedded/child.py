"""One supervised child process: started, watched, stopped, and never left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from schemas.errors import FootfallError

_PR_SET_PDEATHSIG = 1
_TAIL_BYTES = 8_192
_POLL_SECONDS = 0.02
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ChildFailedError(FootfallError):
    """A child could not start, was not ready in time, or ended; with its log's path and last lines."""


@dataclass(frozen=True)
class Launch:
    """What to run: its name in messages, command line, added environment and log file."""

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    port: int = 0


class Child:
    """A child process that writes to a log file and dies with its parent (Linux).

    Start it from a thread that lives as long as the parent: the kernel ties it to the thread that forked.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None before the start."""
        return self._process.pid if self._process else None

    @property
    def returncode(self) -> int | None:
        """The exit status (negative: the signal that killed it), None while it runs or before the start."""
        return self._process.poll() if self._process else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process.

        Raises:
            ChildFailedError: the program cannot be started at all.

        """
        self.launch.log.parent.mkdir(parents=True, exist_ok=True)
        with self.launch.log.open("ab") as log:
            try:
                self._process = subprocess.Popen(  # noqa: S603  our own command lines only
                    self.launch.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self.launch.env},
                    start_new_session=True,  # a terminal's Ctrl-C reaches the supervisor only, which stops in order
                    preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509  the one way to set PDEATHSIG on a foreign binary
                )
            except OSError as error:
                raise ChildFailedError(f"{self.launch.name} cannot be started: {error}") from error

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing where the process has already ended."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self, timeout: float) -> bool:
        """Whether the process ended within the timeout, in seconds."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, grace: float = 10.0) -> None:
        """SIGTERM, and SIGKILL where it has not ended after `grace` seconds."""
        self.signal(signal.SIGTERM)
        if not self.wait(grace):
            self.signal(signal.SIGKILL)
            self.wait(5.0)

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of the log file."""
        return tail(self.launch.log, lines)

    def describe_death(self) -> str:
        """One message: name, exit status, log path and the log's last lines."""
        return (
            f"{self.launch.name} {describe_status(self.returncode)}; "
            f"its log is {self.launch.log} and ends with:\n{self.log_tail()}"
        )


class Service(Child):
    """A child that serves on a loopback port and can tell whether it is ready."""

    startup_seconds = 15.0
    grace_seconds = 10.0
    """What it gets between SIGTERM and SIGKILL."""

    def ready(self) -> bool:
        """One quick probe, at most a second."""
        raise NotImplementedError

    def wait_ready(self) -> None:
        """Block until ready.

        Raises:
            ChildFailedError: it ended or was not ready in `startup_seconds`; with the log's last lines.

        """
        deadline = time.monotonic() + self.startup_seconds
        while not self.check_started(deadline):
            time.sleep(_POLL_SECONDS)

    def check_started(self, deadline: float) -> bool:
        """One step of waiting: True when ready, an error when dead or past the deadline (monotonic seconds)."""
        if not self.running:
            raise ChildFailedError(self.describe_death())
        if self.ready():
            return True
        if time.monotonic() > deadline:
            raise ChildFailedError(
                f"{self.launch.name} was not ready on port {self.launch.port} in {self.startup_seconds:.0f} s; "
                f"its log is {self.launch.log} and ends with:\n{self.log_tail()}"
            )
        return False

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop(1.0)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(self.grace_seconds)


def describe_status(returncode: int | None) -> str:
    """An exit status as people say it."""
    if returncode is None:
        return "has not ended"
    if returncode < 0:
        return f"was killed by {signal.Signals(-returncode).name}"
    return f"ended with exit status {returncode}"


def tail(path: Path, lines: int) -> str:
    """The last lines of a text file; a note where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(empty log)"


def _die_with(parent: int) -> Callable[[], None]:
    def prepare() -> None:
        if _LIBC is None:
            return
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    return prepare
