"""A TCP proxy before one server: it cuts, stalls, slows and half-closes what passes through it, when it is told to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from streams.embedded.ports import HOST

_BYTES: Final = 1 << 16
_LOOK_SECONDS: Final = 0.02
_SLOW_SECONDS: Final = 0.05
"""What each piece of up to 64 KiB waits while the line is slow."""
_FORGOTTEN_SECONDS: Final = 3.0
"""When a half-closed connection is cut, should its server not have noticed."""


@dataclass(slots=True)
class Lane:
    """One direction. Times are those of `monotonic`."""

    held_until: float = 0.0
    slow_until: float = 0.0

    async def wait(self) -> None:
        """Return when the next piece may pass."""
        if monotonic() < self.slow_until:
            await asyncio.sleep(_SLOW_SECONDS)
        while monotonic() < self.held_until:  # noqa: ASYNC110  a time that may change, not an event
            await asyncio.sleep(_LOOK_SECONDS)


@dataclass(eq=False, slots=True)
class _Pair:
    """Both ends of one connection."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    deaf: bool = False
    """Half-closed: what the client still says reaches nobody."""

    def cut(self) -> None:
        for end in (self.client, self.server):
            end.transport.abort()


@dataclass(eq=False)
class Proxy:
    """Listens on `port`, connects to `target`. The faults may be called from any thread."""

    port: int
    target: int
    requests: Lane = field(default_factory=Lane)
    answers: Lane = field(default_factory=Lane)
    _pairs: set[_Pair] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> asyncio.Server:
        """Listen."""
        self._loop = asyncio.get_running_loop()
        return await asyncio.start_server(self._connected, HOST, self.port)

    # -- faults ------------------------------------------------------------------------------------------------

    def cut(self, _seconds: float = 0.0) -> None:
        """Reset every connection."""
        self._call(self._cut)

    def stall(self, seconds: float) -> None:
        """Let nothing pass for so long; connections stay."""
        for lane in (self.requests, self.answers):
            lane.held_until = monotonic() + seconds

    def slow(self, seconds: float) -> None:
        """Let every piece wait, for so long."""
        for lane in (self.requests, self.answers):
            lane.slow_until = monotonic() + seconds

    def lose_answers(self, seconds: float) -> None:
        """Deliver requests and hold back the answers for so long, then reset: the worst a caller can meet."""
        self.answers.held_until = monotonic() + seconds + 1.0
        self._call(self._cut_later, seconds)

    def half_close(self, _seconds: float = 0.0) -> None:
        """Tell every server that its client is through, and the client nothing."""
        self._call(self._half_close)

    def clear(self) -> None:
        """No fault any more."""
        for lane in (self.requests, self.answers):
            lane.held_until = lane.slow_until = 0.0

    def _call(self, action: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(action, *arguments)

    def _cut(self) -> None:
        for pair in list(self._pairs):
            pair.cut()

    def _cut_later(self, seconds: float) -> None:
        def end() -> None:
            self._cut()
            self.answers.held_until = 0.0

        asyncio.get_running_loop().call_later(seconds, end)

    def _half_close(self) -> None:
        for pair in list(self._pairs):
            pair.deaf = True
            with suppress(OSError, RuntimeError):
                pair.server.write_eof()
            asyncio.get_running_loop().call_later(_FORGOTTEN_SECONDS, pair.cut)

    # -- connections -------------------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(HOST, self.target)
        except OSError:  # the server is down: so are we
            writer.transport.abort()
            return
        pair = _Pair(writer, to_server)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests_of(pair, reader))
                both.create_task(self._answers_to(pair, from_server))
        except* OSError:
            pass
        finally:
            pair.cut()
            self._pairs.discard(pair)

    async def _requests_of(self, pair: _Pair, source: asyncio.StreamReader) -> None:
        while data := await source.read(_BYTES):
            await self.requests.wait()
            if not pair.deaf:
                pair.server.write(data)
                await pair.server.drain()
        if not pair.deaf:
            pair.server.write_eof()

    async def _answers_to(self, pair: _Pair, source: asyncio.StreamReader) -> None:
        while data := await source.read(_BYTES):
            await self.answers.wait()
            pair.client.write(data)
            await pair.client.drain()
        pair.client.write_eof()


class Proxies:
    """Runs proxies in a thread of their own, from `with` to its end."""

    def __init__(self, *proxies: Proxy) -> None:
        self._proxies = proxies
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()
        for proxy in self._proxies:
            asyncio.run_coroutine_threadsafe(proxy.open(), self._loop).result(5)

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
