"""The barrier of one partition number: nothing is lost or doubled, and no topic runs ahead of another's markers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.event import Event
from schemas.errors import ProtocolError
from schemas.events import Marker, Rejected
from schemas.topics import APP, CLICKSTREAM, PURCHASE
from streams import slices
from streams.slices import Aligner, Slice, merged
from tests.builders import event
from tests.schemas.records import Record

TOPICS = (CLICKSTREAM, PURCHASE, APP)
Row = tuple[str, int]
"""What a record is (`event`, `bad` or `marker`), and its instant."""


def slice_of_rows(topic: str, rows: Sequence[Row], first: int = 0) -> Slice:
    placed = list(enumerate(rows, first))
    return Slice(
        topic, 0, f"{topic}:0", first, first + len(rows),
        events=[event(time=at, number=n, origin=f"{topic}:0") for n, (kind, at) in placed if kind == "event"],
        rejected=[Rejected(n, "undecodable", "", Record(n)) for n, (kind, _) in placed if kind == "bad"],
        markers=[Marker(n, at) for n, (kind, at) in placed if kind == "marker"],
        records=[Record(n) for n, _ in placed],
    )  # fmt: skip


def aligner(*offered: Slice, event_clock: bool = True) -> Aligner:
    made = Aligner(TOPICS, event_clock=event_clock)
    for part in offered:
        made.offer(part)
    return made


def everything(barrier: Aligner, limit: int = slices.BATCH) -> list[Slice]:
    found = []
    while parts := barrier.take(limit):
        found += parts
    return found


def offsets(parts: Sequence[Slice], topic: str) -> list[int]:
    """Offsets of every record handed out, after checking that its lists and its range say the same."""
    mine = [part for part in parts if part.topic == topic]
    assert all(before.next == after.first for before, after in pairwise(mine))
    for part in mine:
        listed = [e.offset for e in part.events] + [r.offset for r in part.rejected] + [m.offset for m in part.markers]
        assert sorted(listed) == [record.offset for record in part.records] == list(range(part.first, part.next))
    return [record.offset for part in mine for record in part.records]


def test_events_wait_until_every_topic_has_reached_the_marker() -> None:
    barrier = aligner(
        slice_of_rows(CLICKSTREAM, [("event", 1), ("marker", 10)]),
        slice_of_rows(PURCHASE, [("event", 2), ("marker", 10)]),
    )
    assert barrier.take() == []
    barrier.offer(slice_of_rows(APP, [("marker", 10)]))
    assert [part.topic for part in barrier.take()] == list(TOPICS)
    assert barrier.clock == 10
    assert barrier.take() == []


def test_what_lies_behind_the_common_marker_stays() -> None:
    barrier = aligner(
        slice_of_rows(CLICKSTREAM, [("event", 1), ("marker", 10), ("event", 11), ("bad", 0), ("marker", 20)]),
        *(slice_of_rows(topic, [("marker", 10), ("event", 12)]) for topic in (PURCHASE, APP)),
    )
    assert offsets(barrier.take(), CLICKSTREAM) == [0, 1]
    for topic in (PURCHASE, APP):
        barrier.offer(slice_of_rows(topic, [("marker", 20)], first=2))
    rest = barrier.take()
    assert offsets(rest, CLICKSTREAM) == [2, 3, 4]
    assert offsets(rest, APP) == [1, 2]


def test_a_long_history_is_handed_out_in_batches_that_end_at_markers() -> None:
    days = [row for day in range(1, 41) for row in (*[("event", day)] * 5, ("marker", day))]
    parts = (slice_of_rows(CLICKSTREAM, days), *(slice_of_rows(t, [("marker", 40)]) for t in (PURCHASE, APP)))
    barrier, sizes = aligner(*parts), []
    while taken := barrier.take(limit=20):
        sizes.append(sum(len(part.events) for part in taken))
    assert sum(sizes) == 200
    assert max(sizes) <= 20


def test_a_day_larger_than_a_batch_comes_whole() -> None:
    day = [("event", 1)] * 30 + [("marker", 2)]
    parts = (slice_of_rows(CLICKSTREAM, day), *(slice_of_rows(t, [("marker", 2)]) for t in (PURCHASE, APP)))
    assert len(merged(aligner(*parts).take(limit=20))) == 30


@pytest.mark.parametrize("event_clock", [True, False])
def test_without_markers_everything_passes_at_once(*, event_clock: bool) -> None:
    barrier = aligner(slice_of_rows(PURCHASE, [("event", 3), ("bad", 0)]), event_clock=event_clock)
    assert offsets(barrier.take(), PURCHASE) == [0, 1]
    assert barrier.take() == []


def test_on_the_wall_clock_markers_hold_nothing_back() -> None:
    rows = [("event", 1), ("marker", 10), ("event", 11)]
    barrier = aligner(slice_of_rows(CLICKSTREAM, rows), event_clock=False)
    assert offsets(barrier.take(), CLICKSTREAM) == [0, 1, 2]


histories = st.lists(
    st.tuples(st.integers(1, 12), st.lists(st.sampled_from(["event", "bad"]), max_size=4)), min_size=1, max_size=8
)


@given(
    days=st.fixed_dictionaries(dict.fromkeys(TOPICS, histories)),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    limit=st.integers(1, 10),
)
def test_every_record_comes_out_once_however_the_topics_were_cut(
    days: dict[str, list[tuple[int, list[str]]]], cuts: list[int], limit: int
) -> None:
    rows = {topic: rows_of(made) for topic, made in days.items()}
    barrier, parts = Aligner(TOPICS, event_clock=True), list[Slice]()
    begun = dict.fromkeys(TOPICS, 0)
    turn = 0
    while any(begun[topic] < len(rows[topic]) for topic in TOPICS):
        topic = TOPICS[turn % 3]
        size = cuts[turn % len(cuts)]
        some = rows[topic][begun[topic] : begun[topic] + size]
        if some:
            barrier.offer(slice_of_rows(topic, some, begun[topic]))
        begun[topic] += size
        parts += everything(barrier, limit)
        turn += 1
    parts += everything(barrier, limit)
    for topic in TOPICS:
        assert offsets(parts, topic) == list(range(len(rows[topic])))
    times = [one.time for one in merged_each(parts)]
    assert times == sorted(times)


def rows_of(days: list[tuple[int, list[str]]]) -> list[Row]:
    """Days in order, each closed by its marker; all topics begin and end at the same one."""
    rows: list[Row] = [("marker", 0)]
    for day, kinds in sorted(days, key=lambda row: row[0]):
        rows += [(kind, day * 10) for kind in kinds]
        rows.append(("marker", day * 10))
    return [*rows, ("marker", 200)]


def merged_each(parts: list[Slice]) -> list[Event]:
    """The events as the fold gets them: merged over the topics of one release."""
    releases: list[list[Slice]] = []
    for part in parts:
        place = TOPICS.index(part.topic)
        if not releases or place <= TOPICS.index(releases[-1][-1].topic):
            releases.append([])
        releases[-1].append(part)
    return [one for release in releases for one in merged(release)]


def test_what_is_held_keeps_the_records_of_its_own_range_only() -> None:
    rows = [("event", 1), ("event", 2), ("marker", 10), ("event", 11)]
    barrier = aligner(slice_of_rows(CLICKSTREAM, rows), *(slice_of_rows(t, [("marker", 10)]) for t in (PURCHASE, APP)))
    (head, *_), held = barrier.take(), barrier._held[CLICKSTREAM]
    assert [record.offset for record in head.records] == [0, 1, 2]
    assert [record.offset for part in held for record in part.records] == [3]


def test_too_much_held_names_the_topics_without_markers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "MAX_HELD", 3)
    barrier = aligner(slice_of_rows(CLICKSTREAM, [("event", 1)] * 4 + [("marker", 10)]))
    with pytest.raises(ProtocolError, match=r"4 events wait for a clock marker of purchase, app: .* clock = wall"):
        barrier.take()


def test_a_record_is_found_by_its_offset_in_a_split_slice() -> None:
    _, tail = slice_of_rows(APP, [("event", n) for n in range(5)], first=100).split(103)
    assert tail.record_at(104).offset == 104
    assert (tail.first, tail.next, tail.received) == (103, 105, 2)


def test_topics_merge_by_the_latest_instant_reached_and_keep_their_log_order() -> None:
    clicks = slice_of_rows(CLICKSTREAM, [("event", 5), ("event", 2), ("event", 9)])
    orders = slice_of_rows(PURCHASE, [("event", 4), ("event", 6)])
    assert [(one.origin, one.time) for one in merged([clicks, orders])] == [
        ("purchase:0", 4), ("clickstream:0", 5), ("clickstream:0", 2), ("purchase:0", 6), ("clickstream:0", 9),
    ]  # fmt: skip
