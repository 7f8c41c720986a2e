"""An orderly end that signals ask for, of a role whose main thread may be inside a C library when they come."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final

from sinks.kafka import Producer
from streams.kafka.watchdog import STOP, STOP_TWICE, Watchdog

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_WORKING_SHARE: Final = 0.7
"""Of the drain time; the rest is for closing connections."""
_SLICE_SECONDS: Final = 0.25


class Ending:
    """Asked once, the role ends in order or the watchdog ends it after the drain time; asked twice, at once."""

    def __init__(
        self,
        asked: threading.Event,
        watchdog: Watchdog,
        drain_seconds: float,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self.asked = asked
        self.begun = False
        """Whether there is anything to bring to an end: before, a signal ends the process."""
        self.watchdog = watchdog
        self._drain_seconds = drain_seconds
        self._end = end
        self._deadline = inf

    def ask(self) -> None:
        """Ask for an orderly end."""
        if not self.begun:
            self._end(0)
        elif self.asked.is_set():
            self.watchdog.expect(STOP_TWICE, 0)
        else:
            self.watchdog.expect(STOP, self._drain_seconds)
            self._deadline = monotonic() + self._drain_seconds * _WORKING_SHARE
            self.asked.set()

    def on_signals(self) -> None:
        """Let SIGTERM and SIGINT ask for it. To be called from the main thread.

        A Python handler would wait for that thread to come back from librdkafka; the byte that the interpreter writes
        for a signal comes at once.
        """
        heard, told = socket.socketpair()
        told.settimeout(0)
        signal.set_wakeup_fd(told.detach())
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)
        threading.Thread(target=self._listen, args=(heard,), name="signals", daemon=True).start()

    def _listen(self, heard: socket.socket) -> None:
        while number := heard.recv(1):
            if number[0] in _SIGNALS:
                self.ask()

    def seconds_left(self) -> float:
        """How long work may still take; without limit as long as nobody asks for an end."""
        return max(0.0, self._deadline - monotonic())


class Hurried:
    """A producer that waits for confirmations no longer than `seconds_left` tells."""

    def __init__(self, producer: Producer, seconds_left: Callable[[], float]) -> None:
        self._producer = producer
        self._seconds_left = seconds_left
        self.produce = producer.produce
        self.produce_batch = producer.produce_batch

    def flush(self, timeout: float) -> int:
        """How many messages are not confirmed when the time is up."""
        until = monotonic() + timeout
        while True:
            seconds = min(until - monotonic(), self._seconds_left())
            left = self._producer.flush(max(0.0, min(seconds, _SLICE_SECONDS)))
            if not left or seconds <= _SLICE_SECONDS:
                return left
