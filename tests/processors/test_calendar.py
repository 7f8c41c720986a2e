"""Days and hours are what clocks in the zone show, on days of 23, 24 and 25 hours."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from processors.calendar import DAY, MINUTE, Calendar, calendar_of

ZONES = ("Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia", "Asia/Gaza")


@pytest.mark.parametrize("zone", ZONES)
def test_days_and_hours_equal_the_zones_own(zone: str) -> None:
    calendar, tz = calendar_of(zone), ZoneInfo(zone)
    days = [*[*calendar.turns][::4], *range(0, 40_000, 1_997)]
    for t in (calendar.start(day) + quarter * 15 * MINUTE for day in days for quarter in range(104)):
        local = datetime.fromtimestamp(t // 1000, tz)
        assert (calendar.day(t), calendar.hour_of_day(t)) == ((local.date() - date(1970, 1, 1)).days, local.hour)


def test_a_day_begins_where_the_one_before_ends() -> None:
    calendar = calendar_of("Europe/Berlin")
    assert {calendar.start(day + 1) - calendar.start(day) for day in range(19_000, 20_000)} == {
        DAY, DAY - 60 * MINUTE, DAY + 60 * MINUTE
    }  # fmt: skip
    assert all(calendar.day(calendar.start(day)) == day == calendar.day(calendar.start(day + 1) - 1)
               for day in range(19_000, 20_000))  # fmt: skip


def test_utc_needs_no_table() -> None:
    assert calendar_of("UTC") == Calendar()
    assert (Calendar().day(DAY - 1), Calendar().start(7), Calendar().hour_of_day(DAY - 1)) == (0, 7 * DAY, 23)
