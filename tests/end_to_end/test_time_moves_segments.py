"""What no event announces: somebody has not come for 30 days, to the second."""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import Message

from processors.calendar import DAY
from schemas.results import SegmentChange
from schemas.topics import CLICKSTREAM, SEGMENT_CHANGES
from tests.end_to_end.conftest import Installation
from tests.schemas.records import event

LEFT_MS = 2_500


def test_silence_of_30_days_ends_activity_within_5_s_of_the_instant(installation: Installation) -> None:
    now = time.time_ns() // 1_000_000
    seen = now - 30 * DAY + LEFT_MS
    installation.send(
        CLICKSTREAM,
        event(CLICKSTREAM, customer_id="silent", event_id="last", event_time=seen, received_time=now),
    )

    def moves(found: Sequence[Message]) -> list[SegmentChange]:
        changes = [installation.codec.decode_change(message.value() or b"") for message in found]
        return [c for c in changes if c.customer_id == "silent" and c.group == "activity"]

    found = installation.read(SEGMENT_CHANGES, lambda messages: len(moves(messages)) == 2)
    arrived = time.time_ns() // 1_000_000
    entered, left = moves(found)
    instant = seen + 30 * DAY + 1
    assert (entered.to_segment, entered.cause) == ("active", "event last")
    assert (left.from_segment, left.to_segment, left.cause) == ("active", "dormant", "tick")
    assert (left.effective_time, left.sequence) == (instant, max(c.sequence for c in moves(found)))
    assert instant < arrived < instant + 5_000
