"""Letters are found once, sent as they were, marked after that, and not sent again."""

from __future__ import annotations

import pytest

from schemas.codec import OutputCodec
from schemas.errors import RetryableError, UnreachableError
from schemas.reasons import MEANINGS
from schemas.topics import DEAD_LETTERS, REDRIVE_HEADER, REDRIVEN_HEADER, REFUSED_HEADER
from streams.letters import redrive as redriving
from streams.letters.redrive import obstacle_of, plan_of, redrive
from streams.letters.shelf import Entry, Shelf, read_shelf
from tests.streams.letters.shelves import CODEC, NOW, PARTITIONS, Topic, entry, letter


def everything(_entry: Entry) -> bool:
    return True


def shelf_of(topic: Topic) -> Shelf:
    return read_shelf(topic, PARTITIONS, CODEC, everything)


def redriven(topic: Topic) -> int:
    return redrive(topic, plan_of(shelf_of(topic)), CODEC, topic)


def records_of(topic: Topic) -> list[str]:
    """Where the records sent came from, by their letter."""
    return [dict(m.headers)[REDRIVE_HEADER].decode() for m in topic.sent if m.topic != DEAD_LETTERS]  # type: ignore[union-attr]


def test_a_record_goes_out_as_it_came_with_its_letter_s_id_and_reason() -> None:
    headers = [("trace", b"1"), ("trace", b"2"), ("none", None)]
    topic = Topic([letter(3, key=b"an\xffna", value=None, headers=headers)])
    assert redriven(topic) == 1
    record, mark = topic.sent
    assert (record.topic, record.key, record.value, record.partition) == ("purchase", b"an\xffna", None, None)
    assert record.headers == [*headers, (REDRIVE_HEADER, b"letter-3"), (REFUSED_HEADER, b"unknown_currency")]
    assert (mark.topic, mark.key, mark.value) == (DEAD_LETTERS, b"letter-3", None)
    assert mark.headers == [(REDRIVEN_HEADER, b"purchase")]


def test_a_record_that_was_refused_again_names_its_last_letter_only() -> None:
    topic = Topic(
        [letter(3, headers=[(REDRIVE_HEADER, b"letter-1"), ("trace", b"t"), (REFUSED_HEADER, b"undecodable")])]
    )
    redriven(topic)
    headers = topic.sent[0].headers
    assert headers == [("trace", b"t"), (REDRIVE_HEADER, b"letter-3"), (REFUSED_HEADER, b"unknown_currency")]


def test_the_second_redrive_sends_nothing() -> None:
    topic = Topic([letter(n) for n in range(20)])
    assert redriven(topic) == 20
    sent = len(topic.sent)
    assert redriven(topic) == 0
    assert len(topic.sent) == sent
    assert plan_of(shelf_of(topic)).sent_before == 20


def test_a_letter_written_twice_is_sent_once() -> None:
    topic = Topic([letter(1), letter(2), letter(1)])
    assert redriven(topic) == 2
    assert sorted(records_of(topic)) == ["letter-1", "letter-2"]


def test_nothing_is_marked_before_it_was_confirmed() -> None:
    topic = Topic([letter(n) for n in range(4)])
    topic.failures = [RetryableError("no answer")]
    with pytest.raises(RetryableError):
        redriven(topic)
    assert shelf_of(topic).redriven == {}


def test_cut_off_before_the_marks_it_sends_again_under_the_same_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redriving, "WINDOW_LETTERS", 3)
    topic = Topic([letter(n) for n in range(6)])
    topic.failures = [None, None, None, RetryableError("no answer")]
    with pytest.raises(RetryableError):
        redriven(topic)
    assert len(shelf_of(topic).redriven) == 3
    assert redriven(topic) == 3
    assert len(records_of(topic)) == 9
    assert set(records_of(topic)) == {f"letter-{n}" for n in range(6)}


def test_within_a_window_records_keep_the_order_of_their_log() -> None:
    topic = Topic([letter(n, offset=n, partition=n % 2) for n in range(30)])
    redriven(topic)
    order = [int(name.removeprefix("letter-")) for name in records_of(topic)]
    assert order == [*range(0, 30, 2), *range(1, 30, 2)]


def test_large_letters_are_held_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redriving, "WINDOW_BYTES", 10_000)
    heard: list[int] = []
    topic = Topic([letter(n, value=b"v" * 6_000) for n in range(5)])
    assert redrive(topic, plan_of(shelf_of(topic)), CODEC, topic, heard.append) == 5
    assert heard == [2, 4, 5]


def test_letters_that_retention_took_meanwhile_are_not_sent() -> None:
    topic = Topic([letter(n) for n in range(8)])
    plan = plan_of(shelf_of(topic))
    topic.records[0].clear()
    left = len(topic.records[1])
    assert redrive(topic, plan, CODEC, topic) == left > 0


def test_only_letters_that_are_wanted_are_planned() -> None:
    topic = Topic([letter(n) for n in range(8)])
    shelf = read_shelf(topic, PARTITIONS, CODEC, lambda one: one.offset >= 6)
    assert sorted(one.offset for one in plan_of(shelf).chosen) == [6, 7]


@pytest.mark.parametrize("reason", MEANINGS)
def test_what_cannot_help_stays_and_says_what_to_do(reason: str) -> None:
    meaning = MEANINGS[reason]  # type: ignore[index]
    assert obstacle_of(entry(reason=reason)) == (None if meaning.redrive else f"{reason}: {meaning.remedy}")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"topic": "profiles", "reason": "sink_rejected"}, "old version"),
        ({"topic": "models", "reason": "undecodable"}, "does not know"),
        ({"reason": "moonshine"}, "a reason this release does not know"),
        ({"cut": ["headers"]}, "beginning only"),
    ],
)
def test_what_would_do_harm_stays(fields: dict[str, object], why: str) -> None:
    topic = Topic([letter(1, **fields)])
    plan = plan_of(shelf_of(topic))
    assert plan.chosen == []
    ((said, count),) = plan.obstacles.items()
    assert why in said
    assert count == 1


def test_a_change_the_warehouse_refused_may_be_sent_again() -> None:
    assert obstacle_of(entry(topic="segment-changes", reason="sink_rejected")) is None


def test_records_that_are_no_letters_are_counted_and_named() -> None:
    topic = Topic([letter(1)])
    topic.append(b"x", b"not a letter")
    topic.append(b"y", None)
    shelf = shelf_of(topic)
    assert (len(shelf.entries), shelf.unread, shelf.read) == (1, 1, 3)
    assert shelf.unreadable == [(record.partition, record.offset) for record in topic.records[0] + topic.records[1]
                                if record.value == b"not a letter"]  # fmt: skip


def test_a_registry_that_is_away_makes_no_letter_unreadable() -> None:
    def away(_schema_id: int) -> None:
        raise UnreachableError("the registry does not answer")

    with pytest.raises(UnreachableError):
        read_shelf(Topic([letter(1)]), PARTITIONS, OutputCodec({}, away), everything)


def test_an_entry_knows_all_but_the_bytes() -> None:
    found = entry(5, refused=NOW + 1, key=b"\xff\x00", value=b"cut", cut=["value"], value_bytes=9_000_000)
    assert (found.customer, found.size, found.whole, found.refused) == ("\\xff\x00", 9_000_000, False, NOW + 1)
