"""Buckets of time: 5 minutes, hours, and days of the configured time zone."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
FIVE: Final = 5 * MINUTE
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
NEVER: Final = 1 << 52
"""An instant that does not come; below 2^53, so that Lua and JSON readers hold it exactly."""

_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Days of a time zone, numbered from 1970-01-01. Times are ms since the epoch, UTC.

    `starts` holds the first instant of each day from `first_day` on; empty for UTC, where a day is `t // DAY`.
    """

    first_day: int = 0
    starts: tuple[int, ...] = ()
    turns: dict[int, tuple[int, int]] = field(default_factory=dict, compare=False)
    """Day on which the clocks change -> (the instant, how far they are moved in ms)."""

    def day(self, t: int) -> int:
        """The day number an instant falls on."""
        if not self.starts:
            return t // DAY
        return self.first_day + bisect_right(self.starts, t) - 1

    def start(self, day: int) -> int:
        """The first instant of a day."""
        if not self.starts:
            return day * DAY
        return self.starts[day - self.first_day]

    def hour_of_day(self, t: int) -> int:
        """The hour 0 to 23 that clocks show."""
        if not self.starts:
            return t // HOUR % 24
        day = self.day(t)
        turn, moved = self.turns.get(day, (NEVER, 0))
        hour = (t - self.starts[day - self.first_day] + (moved if t >= turn else 0)) // HOUR
        return max(hour, 0)  # Casey once moved its clocks from 02:00 to 23:00, which is still this day


def calendar_of(zone: str) -> Calendar:
    """The calendar of an IANA time zone, 1970 to 2100. Raises `zoneinfo.ZoneInfoNotFoundError` for an unknown one."""
    if zone == "UTC":
        return Calendar()
    tz = ZoneInfo(zone)
    days = (_EPOCH + timedelta(days=n) for n in range(-1, 47_900))
    starts = tuple(int(datetime(d.year, d.month, d.day, tzinfo=tz).astimezone(UTC).timestamp()) * SECOND for d in days)
    odd = (n for n, (start, end) in enumerate(pairwise(starts)) if end - start != DAY)
    return Calendar(-1, starts, {n - 1: _turn(starts[n], (n - 1) * DAY, tz) for n in odd})


def _turn(start: int, midnight: int, tz: ZoneInfo) -> tuple[int, int]:
    """When on a day of 23 or 25 h the clocks change, and by how much; `midnight` as if the zone were UTC."""

    def ahead(t: int) -> int:
        local = datetime.fromtimestamp(t // SECOND, UTC).astimezone(tz).replace(tzinfo=UTC)
        return int(local.timestamp()) * SECOND - midnight - (t - start)

    minutes = range(start, start + 26 * HOUR, MINUTE)
    turn = minutes[bisect_left(minutes, True, key=lambda t: ahead(t) != 0)]  # noqa: FBT003
    return turn, ahead(turn)
