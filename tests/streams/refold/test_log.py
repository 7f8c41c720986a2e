"""A log read again: six topics in the order of their append times, up to exactly where it was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigurationError, RewoundError, UnreachableError
from schemas.events import Chunk
from streams.kafka.reader import LogRecord
from streams.refold import log as log_module
from streams.refold.bounds import Bound, parse_bound
from streams.refold.log import MergedLog, Terms

TOPICS = ("a", "b", "c")


class Topic:
    """Records at these offsets and append times; the log ends at `end`."""

    def __init__(self, records: Sequence[tuple[int, int]], end: int | None = None, pause: int = 0) -> None:
        self.end: int | None = None
        self._records = [LogRecord(offset, b"k", b"v", (), time) for offset, time in records]
        self._last = end if end is not None else (records[-1][0] + 1 if records else 0)
        self._pause = pause
        self._at = 0

    def seek(self, offset: int, partition: int = 0) -> None:  # noqa: ARG002  one partition
        self._at = sum(record.offset < offset for record in self._records)

    def read(self, limit: int, seconds: float) -> list[LogRecord]:  # noqa: ARG002  nothing to wait for
        if self._pause:
            self._pause -= 1
            return []
        found = self._records[self._at : self._at + limit]
        self._at += len(found)
        self.end = self._last if self._at == len(self._records) else None
        return found


def polls(
    topics: Mapping[str, Topic],
    bounds: Mapping[str, Bound] | None = None,
    since: Bound | None = None,
    held_records: int = 8_000,
) -> list[Sequence[Chunk]]:
    ends = bounds or dict.fromkeys(topics, Bound())
    merged = MergedLog(topics, 0, dict.fromkeys(topics, 0), ends, Terms(since or Bound(), held_records))
    return list(iter(merged.next_poll, []))


times = st.lists(st.integers(0, 30), max_size=40).map(sorted)


@given(st.tuples(times, times, times), st.integers(1, 7))
def test_polls_are_contiguous_complete_and_in_order_of_append_time(histories: tuple[list[int], ...], held: int) -> None:
    topics = {name: Topic(list(enumerate(mine))) for name, mine in zip(TOPICS, histories, strict=True)}
    reached, position = -1, dict.fromkeys(TOPICS, 0)
    for poll in polls(topics, held_records=held):
        stamps = []
        for chunk in poll:
            assert chunk.first == position[chunk.topic]
            position[chunk.topic] = chunk.next
            stamps += [record.timestamp for record in chunk.records]
        assert min(stamps) > reached, "an instant is never split over two polls"
        reached = max(stamps)
    assert position == {name: len(mine) for name, mine in zip(TOPICS, histories, strict=True)}


def test_it_ends_at_the_offset_even_where_no_record_lies_there() -> None:
    """Transaction markers and compaction leave holes: the fence may lie in one."""
    topics = {"a": Topic([(0, 1), (1, 2), (5, 3), (9, 4)]), "b": Topic([(0, 1)], end=4)}
    bounds = {"a": Bound(offset=4, known=True), "b": Bound(offset=4, known=True)}
    found = [chunk for poll in polls(topics, bounds) for chunk in poll]
    assert {chunk.topic: chunk.next for chunk in found} == {"a": 4, "b": 4}
    assert sum(len(chunk.records) for chunk in found) == 3


def test_it_ends_before_the_first_record_of_a_time() -> None:
    found = [chunk for poll in polls({"a": Topic([(0, 1), (1, 2), (2, 3)])}, {"a": Bound(time=3)}) for chunk in poll]
    assert [(chunk.first, chunk.next) for chunk in found] == [(0, 2)]


def test_it_begins_at_an_offset_or_a_time() -> None:
    for since in (Bound(offset=2), Bound(time=3)):
        (chunks,) = polls({"a": Topic([(0, 1), (1, 2), (2, 3)])}, since=since)
        assert [record.offset for chunk in chunks for record in chunk.records] == [2]


def test_a_log_that_ends_too_early_is_no_log_to_replay() -> None:
    with pytest.raises(RewoundError, match="topic a ends at offset 2, but the live profiles hold its records up to 4"):
        polls({"a": Topic([(0, 1), (1, 2)])}, {"a": Bound(offset=5, known=True)})
    assert polls({"a": Topic([(0, 1), (1, 2)])}, {"a": Bound(offset=5)})


def test_a_broker_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert polls({"a": Topic([(0, 1)], pause=3)})
    monkeypatch.setattr(log_module, "ANSWER_SECONDS", 0.01)
    with pytest.raises(UnreachableError, match="partition 0"):
        polls({"a": Topic([(0, 1)], pause=1_000_000)})


def test_bounds_are_offsets_or_times() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert parse_bound("1200", "--to", berlin) == Bound(offset=1200)
    assert parse_bound("1970-01-01T01:00", "--to", berlin) == Bound(time=0), "the installation's zone"
    assert parse_bound("1970-01-01T00:00:01Z", "--to", berlin) == Bound(time=1_000)


@pytest.mark.parametrize("text", ["", "yesterday", "-5", "1e3", "9" * 30, "²", "2026-13-01"])
def test_what_is_neither_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--to .* is neither an offset"):
        parse_bound(text, "--to", UTC)
