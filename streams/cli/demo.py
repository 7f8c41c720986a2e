"""`footfall demo`: everything on this machine, customer histories through it, and a look at what came out."""

from __future__ import annotations

import asyncio
import gc
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.live import Live

from schemas.errors import ConfigurationError, FootfallError
from sinks.profiles import ProfileStore
from streams.cli.console import out
from streams.cli.demo_next import show_next
from streams.cli.demo_questions import QUESTIONS
from streams.cli.demo_source import Source
from streams.cli.demo_verdict import Verdict, judge, received, show
from streams.cli.demo_view import History, Moment, Picture
from streams.cli.demo_view_feed import ChangeFeed, Reading, read_metrics
from streams.cli.up import report, run_until_signal
from streams.clients import redis_client, warehouse_client
from streams.embedded.broker_log import LogReaders
from streams.embedded.supervisor import EmbeddedStack, StackPlan
from streams.replay import completejourney
from streams.replay.datasets import dataset
from streams.roles.replay import ReplayOptions, replay
from streams.segments_file import rule_set
from streams.settings import load_settings

EVENTS: Final[Mapping[str, int]] = {"demo": 100_765, "completejourney": completejourney.EVENTS}
"""What can be shown, and how many events it has. demo: 69 659 orders and 31 106 clicks."""
WATCH_SECONDS: Final = 75.0
_FRAME_SECONDS: Final = 0.5
_BUSY_FRAME_SECONDS: Final = 2.0
"""At full speed the cores are the pipeline's: a frame costs 50 ms of one."""
_LINE_SECONDS: Final = 2.0
_HANGING_SECONDS: Final = 90.0
_INTERRUPTED: Final = 130
_GC_THRESHOLD: Final = 100_000


def run(speed: str, data: str = "demo", *, exit_when_done: bool, data_dir: Path | None) -> int:
    """The demo, to its end or to Ctrl-C. Returns 0 when the conservation law holds, 1 when not, 130 interrupted.

    Raises:
        ConfigurationError: an unknown speed, data that there is not or that is not installed, a data directory that
            holds something already, or a wrong segments file.
        ChildFailedError: a child ended by itself; the others were stopped.

    """
    if speed not in {"watch", "max"}:
        raise ConfigurationError(f"--speed is `watch` or `max`, not {speed!r}.")
    programme = _programme(data, None if speed == "max" else WATCH_SECONDS, stay=not exit_when_done)
    settings = load_settings().model_copy(update={"clock": "event"})
    rule_set(settings)  # before anything is made or started
    folder = _empty(data_dir) if data_dir else Path(tempfile.mkdtemp(prefix="footfall-demo-"))
    stack = EmbeddedStack(folder, StackPlan(report=report, drain=data_dir is not None), settings)
    demo = Demo(stack, programme)
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)  # a history is a million objects in no cycle: looking for some took a third of it
    asyncio.run(run_until_signal(stack, demo.run))
    if data_dir is None and demo.code != 1:
        shutil.rmtree(folder, ignore_errors=True)
    return demo.code


def _programme(data: str, seconds: float | None, *, stay: bool) -> Programme:
    if data not in EVENTS:
        raise ConfigurationError(
            f"--data is {' or '.join(f'`{name}`' for name in EVENTS)}, not {data!r}; "
            "for any other start `footfall up`, then `footfall replay` it."
        )
    dataset(data)  # says what is not installed before anything is started
    return Programme(data, EVENTS[data], seconds, stay)


def _empty(folder: Path) -> Path:
    if (folder / "redis").exists():
        raise ConfigurationError(
            f"{folder} holds an installation, and the demo's history would be counted on top of it: "
            f"name another folder, or look at this one with `footfall up --data-dir {folder}`."
        )
    return folder


@dataclass(frozen=True, slots=True)
class Programme:
    """What is replayed: a history of so many events, in so many seconds (None: at once); `stay` afterwards or not."""

    history: str = "demo"
    events: int = EVENTS["demo"]
    seconds: float | None = None
    stay: bool = False

    @property
    def speed(self) -> str:
        """Events/s, which unlike a duration needs nobody to count and hold all events before the first is sent."""
        return "max" if self.seconds is None else str(self.events / self.seconds)

    @property
    def questions(self) -> Mapping[str, str]:
        """What ClickHouse is asked at the end."""
        return QUESTIONS.get(self.history, QUESTIONS["demo"])  # any history fits these, answered or empty


class Demo:
    """One run on a stack that is up. `code` is the exit code so far."""

    def __init__(self, stack: EmbeddedStack, programme: Programme) -> None:
        self.code = _INTERRUPTED
        self._stack = stack
        self._programme = programme

    async def run(self) -> None:
        """Replay, watch, judge, and stay until somebody stops it. Raises ChildFailedError when a child ends."""
        watching = asyncio.create_task(self._stack.watch())
        playing = asyncio.create_task(self._play())
        try:
            await asyncio.wait({watching, playing}, return_when=asyncio.FIRST_COMPLETED)
            if playing.done() and playing.exception():
                await asyncio.wait({watching}, timeout=1.0)  # a dead child explains what failed in its wake
            if watching.done():
                await watching
            await playing
            if self._programme.stay:
                out.print("\nEverything stays up: Ctrl-C stops it.")
                await watching
        finally:
            watching.cancel()
            playing.cancel()
            await asyncio.gather(watching, playing, return_exceptions=True)

    async def _play(self) -> None:
        settings, began = self._stack.settings, time.monotonic()
        programme = self._programme
        options = ReplayOptions(history=programme.history, speed=programme.speed)
        source = Source(lambda told: replay(settings, told), options)
        feed = ChangeFeed(settings)
        ends = await asyncio.to_thread(Ends, self._stack)
        try:
            feed.start()
            source.start()
            await Watch(source, feed, Picture(rule_set(settings), programme.events), self._stack.urls).until(
                ends.reached
            )
            took = time.monotonic() - began
        finally:
            source.stop()
            await asyncio.to_thread(feed.close)
        verdict = await asyncio.to_thread(ends.verdict, source)
        _tell(verdict, feed.progress[0], took)
        somebody = await asyncio.to_thread(ends.somebody)
        show_next(settings, ends.warehouse, self._stack.urls, somebody, programme.questions, stays=programme.stay)
        self.code = 1 if verdict.broken else 0


class Ends:
    """Where events end up: Redis and ClickHouse of the stack. Blocking."""

    def __init__(self, stack: EmbeddedStack) -> None:
        settings = stack.settings
        self.store = ProfileStore(redis_client(settings), settings.redis.prefix)
        self.warehouse: Any = warehouse_client(settings, database=settings.warehouse.database)
        self._stack = stack
        self._readers: LogReaders | None = None
        self._applied = False

    def reached(self, source: Source, reading: Reading) -> bool:
        """Whether everything is in Redis and in ClickHouse; asks the servers only when the metrics say it may be."""
        produced = source.progress.events + source.progress.markers
        if not source.done or reading.received < produced or reading.rows < reading.applied:
            return False
        applied_before, self._applied = self._applied, received(self.store.tallies()) >= produced
        # twice: the ends of the output topics are true only if they were read after the last event was applied
        return applied_before and self._unread() == 0

    def _unread(self) -> int | None:
        if self._readers is None:  # not before: once it exists, all topics are sent to it as they grow
            self._readers = LogReaders(self._stack.settings, self._stack.roles)
        return self._readers.unread()

    def verdict(self, source: Source) -> Verdict:
        """What the tallies and the tables say."""
        rows = self.warehouse.query("SELECT count() FROM events").result_rows[0][0]
        return judge(self.store.tallies(), source.progress.events + source.progress.markers, rows)

    def somebody(self) -> str:
        """The id of a customer worth looking at."""
        query = "SELECT customer_id FROM profiles ORDER BY orders_lifetime DESC, customer_id LIMIT 1"
        return str(self.warehouse.query(query).result_rows[0][0])


class Watch:
    """Draws what happens until it is through."""

    def __init__(self, source: Source, feed: ChangeFeed, picture: Picture, urls: Mapping[str, str]) -> None:
        self._source = source
        self._feed = feed
        self._urls = urls
        self._picture = picture
        self._history = History()
        self._frame = _FRAME_SECONDS if source.paced else _BUSY_FRAME_SECONDS
        self._moved = time.monotonic()

    async def until(self, through: Callable[[Source, Reading], bool]) -> None:
        """Return when `through` says so.

        Raises:
            FootfallError: the replay failed, or nothing has moved for 90 s with records left.

        """
        if not out.is_terminal:
            await self._follow(through, self._print, _LINE_SECONDS)
            return
        with Live(console=out, auto_refresh=False, screen=False, vertical_overflow="crop") as live:
            await self._follow(through, lambda: live.update(self._drawn(), refresh=True), self._frame)

    async def _follow(
        self, through: Callable[[Source, Reading], bool], show_it: Callable[[], None], seconds: float
    ) -> None:
        shown = 0.0
        while True:
            reading = await asyncio.to_thread(self._read)
            if time.monotonic() - shown >= seconds:
                shown = time.monotonic()
                show_it()
            if self._source.error is not None:
                raise self._source.error
            if await asyncio.to_thread(through, self._source, reading):
                show_it()
                return
            self._check_movement()
            await asyncio.sleep(self._frame if self._history.now.lag else _FRAME_SECONDS)

    def _read(self) -> Reading:
        reading = read_metrics(self._urls["process metrics"], self._urls["sink metrics"])
        progress = self._source.progress
        changes, instant = self._feed.progress
        self._history.add(Moment(reading, progress.events, progress.markers, self._feed.sizes, changes, instant))
        return reading

    def _check_movement(self) -> None:
        now, before = self._history.now, self._history.before
        if (
            now.sent > before.sent
            or now.reading.received > before.reading.received
            or now.reading.rows > before.reading.rows
        ):
            self._moved = time.monotonic()
        if time.monotonic() - self._moved > _HANGING_SECONDS:
            raise FootfallError(
                f"Nothing has moved for {_HANGING_SECONDS:.0f} s: {now.sent + now.markers:,} records were sent, "
                f"{now.reading.received:,} received, {now.reading.rows:,} events are in ClickHouse. "
                "The roles' logs say more."
            )

    def _print(self) -> None:
        out.print(self._picture.line(self._history), markup=False)

    def _drawn(self) -> Any:
        return self._picture.draw(self._history, self._feed.latest(), out.height - 1, out.width)


def _tell(verdict: Verdict, changes: int, took: float) -> None:
    out.print(
        f"\n[bold]{verdict.applied:,} events, {changes:,} segment changes in {took:.1f} s[/] "
        f"({verdict.applied / took:,.0f} events/s, from the first record to the last row in ClickHouse)"
    )
    show(verdict)
