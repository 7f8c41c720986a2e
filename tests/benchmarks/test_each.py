"""A message for every event: more is said, and the same is stored."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.peers.each import fold_each
from streams.journey import Journey
from tests.oracle.diary import effective_time
from tests.oracle.history import history
from tests.streams.worker import history_log, worked


async def test_every_event_is_told_about_and_the_same_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = sorted(
        ((row.topic, dict(row.event)) for row in history(7, customers=15).records if row.event["customer_id"]),
        key=lambda row: effective_time(row[1]),
    )
    log = history_log(rows)
    plain = await worked(log)
    monkeypatch.setattr(Journey, "_fold", fold_each)
    each = await worked(log)
    assert each.portraits() == plain.portraits()
    rule_driven, before = ({c.change_id for c in world.changes() if c.driver == "rule"} for world in (each, plain))
    assert rule_driven == before  # those by the model follow the instants it is asked at
    told, told_plainly = (Counter(update.customer_id for update in world.updates()) for world in (each, plain))
    assert told.total() >= each.tallies()["applied"] > told_plainly.total() / 2
    last, last_plain = ({update.customer_id: update for update in world.updates()} for world in (each, plain))
    assert {name: update.version for name, update in last.items()} == {
        name: update.version for name, update in last_plain.items()
    }
