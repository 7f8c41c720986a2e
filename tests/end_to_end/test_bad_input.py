"""Bad input against a running installation: every record is a dead letter or is kept, and the good ones go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import pytest

from benchmarks.measure import scraped, total
from processors.calendar import DAY
from schemas.codec import framed
from schemas.results import DeadLetter
from schemas.topics import CLICKSTREAM, DEAD_LETTERS, PURCHASE
from tests.end_to_end.conftest import Installation, Place, wait_until
from tests.schemas.records import event

Send = Callable[[Installation], Place]


def now() -> int:
    return time.time_ns() // 1_000_000


def made(topic: str, **fields: Any) -> dict[str, Any]:
    return event(topic, **({"event_time": now(), "received_time": now(), "customer_id": "anna"} | fields))


def bad_event(topic: str, **fields: Any) -> Send:
    return lambda installation: installation.send(topic, made(topic, **fields))


def bad_bytes(value: bytes | None, key: bytes | None = b"anna") -> Send:
    return lambda installation: installation.send_raw(CLICKSTREAM, value, key)


def of_another_subject(installation: Installation) -> Place:
    return installation.send_raw(CLICKSTREAM, installation.encode(PURCHASE, made(PURCHASE)), b"anna")


def without_key(installation: Installation) -> Place:
    return installation.send_raw(CLICKSTREAM, installation.encode(CLICKSTREAM, made(CLICKSTREAM)), None)


def under_another_key(installation: Installation) -> Place:
    return installation.send_raw(CLICKSTREAM, installation.encode(CLICKSTREAM, made(CLICKSTREAM)), b"bert")


BAD: Final[dict[str, tuple[Send, str, str]]] = {
    "text": (bad_bytes(b"hello"), "undecodable", "Confluent header"),
    "empty value": (bad_bytes(b""), "undecodable", "Confluent header"),
    "no value and no clock": (bad_bytes(None), "undecodable", "footfall-clock"),
    "cut off": (lambda i: i.send_raw(CLICKSTREAM, i.encode(CLICKSTREAM, made(CLICKSTREAM))[:20], b"anna"),
                "undecodable", "bytes wanted"),
    "unknown schema id": (bad_bytes(framed(99_999, b"x")), "unknown_schema", "99999"),
    "another topic's schema": (of_another_subject, "unknown_schema", "PurchaseEvent"),
    "negative money": (bad_event(PURCHASE, revenue=-1), "invalid_field", "revenue"),
    "absurd money": (bad_event(PURCHASE, revenue=10**15), "invalid_field", "revenue"),
    "before 1970": (bad_event(CLICKSTREAM, event_time=-5), "invalid_field", "event_time"),
    "no customer": (lambda i: i.send_raw(CLICKSTREAM, i.encode(CLICKSTREAM, made(CLICKSTREAM, customer_id="")), b"x"),
                    "invalid_field", "customer_id"),
    "oversize": (bad_event(CLICKSTREAM, properties={"x": "y" * 1_100_000}), "oversize", "1000000"),
    "null key": (without_key, "null_key", "key"),
    "another key": (under_another_key, "wrong_partition", "bert"),
    "unknown name": (bad_event(CLICKSTREAM, name="rocket_launched"), "unknown_name", "rocket_launched"),
    "unknown currency": (bad_event(PURCHASE, currency="XAU"), "unknown_currency", "XAU"),
}  # fmt: skip


@pytest.fixture(scope="module")
def letters(installation: Installation) -> dict[str, DeadLetter]:
    """Every kind of bad record sent once, and the letter of each."""
    places = {name: send(installation) for name, (send, _, _) in BAD.items()}
    messages = installation.read(DEAD_LETTERS, lambda found: len(found) >= len(places))
    decoded = [installation.codec.decode_dead_letter(message.value() or b"") for message in messages]
    by_place = {(letter.topic, letter.partition, letter.offset): letter for letter in decoded}
    assert len(by_place) == len(places)
    return {name: by_place[place] for name, place in places.items()}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_is_a_dead_letter_with_its_reason(letters: dict[str, DeadLetter], name: str) -> None:
    _, reason, detail = BAD[name]
    assert letters[name].reason == reason
    assert detail in letters[name].detail


def test_a_dead_letter_keeps_the_original_bytes(letters: dict[str, DeadLetter], installation: Installation) -> None:
    assert (letters["text"].key, letters["text"].value) == (b"anna", b"hello")
    assert letters["no value and no clock"].value is None
    assert letters["null key"].key is None
    body = letters["negative money"].value or b""
    assert body[:5] == framed(installation.ids[PURCHASE], b"")


def test_a_record_that_is_too_large_is_known_by_its_beginning_length_and_hash(
    letters: dict[str, DeadLetter], installation: Installation
) -> None:
    letter = letters["oversize"]
    assert letter.cut == ["value"]
    assert len(letter.value or b"") < 100_000
    assert (letter.value_bytes or 0) > 1_100_000
    assert (letter.value or b"")[:5] == framed(installation.ids[CLICKSTREAM], b"")
    assert len(letter.value_sha256 or "") == 64


def test_good_events_after_bad_ones_are_applied(letters: dict[str, DeadLetter], installation: Installation) -> None:
    assert letters
    for topic in (CLICKSTREAM, PURCHASE):
        installation.send(topic, made(topic, customer_id="carl", event_id=f"{topic}-after"))
    wait_until(lambda: (found := installation.profile("carl")) is not None and found.frequency == 1)
    assert installation.profile("anna") is None


def counter(installation: Installation, name: str) -> float:
    """A metric of the running role, summed over its labels."""
    return total(scraped(f"http://127.0.0.1:{installation.settings.metrics.process}/metrics"), name)


def test_an_event_from_the_future_counts_at_its_receipt(installation: Installation) -> None:
    received, before = now(), counter(installation, "footfall_events_clamped_total")
    installation.send(
        CLICKSTREAM, made(CLICKSTREAM, customer_id="dora", event_time=received + 900 * DAY, received_time=received)
    )
    wait_until(lambda: installation.profile("dora") is not None)
    found = installation.profile("dora")
    assert found is not None
    assert found.last_seen == received
    wait_until(lambda: counter(installation, "footfall_events_clamped_total") == before + 1)


def test_an_ancient_event_counts_for_life_and_in_no_window(installation: Installation) -> None:
    before = counter(installation, "footfall_events_too_late_total")
    installation.send(CLICKSTREAM, made(CLICKSTREAM, customer_id="emil", event_time=86_400_000))
    wait_until(lambda: installation.profile("emil") is not None)
    found = installation.profile("emil")
    assert found is not None
    assert (found.first_seen, found.last_seen, found.activity) == (86_400_000, 86_400_000, "lost")
    wait_until(lambda: counter(installation, "footfall_events_too_late_total") == before + 1)
