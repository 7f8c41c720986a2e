"""What the demo shows: rates and quantiles of a window, sizes added up from changes, sentences, hostile text."""

from __future__ import annotations

from collections import Counter

import pytest
from rich.console import Console

from processors.rules import parse_rules
from schemas.codec import OutputCodec, schema_of
from schemas.results import SegmentChange
from schemas.topics import SEGMENT_CHANGES
from streams.cli.demo_verdict import judge, received
from streams.cli.demo_view import History, Moment, Picture, varied
from streams.cli.demo_view_feed import Reading, SegmentSizes, quantile
from streams.cli.plain import plain
from streams.resources import resource

RULES = parse_rules(resource("segments.yaml").read_text(encoding="utf-8"), "segments.yaml")
CODEC = OutputCodec(dict.fromkeys(("segment-changes", "profiles", "training-examples", "models", "dead-letters"), 1))


def change(left: str | None = "active", entered: str = "dormant", **changes: object) -> SegmentChange:
    fields: dict[str, object] = {
        "change_id": "1", "customer_id": "01234", "sequence": 1, "driver": "rule", "segment": entered,
        "group": "activity", "from_segment": left, "to_segment": entered, "direction": "entered",
        "effective_time": 5, "cause": "tick", "evidence": {"activity": entered}, "churn_probability": None,
        "suggested_action": "Re-activation campaign", "rule_version": "v",
    }  # fmt: skip
    return SegmentChange(**(fields | changes))  # type: ignore[arg-type]


def test_a_change_reads_as_a_sentence() -> None:
    picture = Picture(RULES, 1)
    assert picture.in_words(change()) == (
        "customer 01234 went from Active to Dormant: by time alone -> Re-activation campaign"
    )
    lone = change(
        None, "cart_abandoner", group=None, from_segment=None, cause="event x", evidence={"frequency": "1"},
        suggested_action=None,
    )  # fmt: skip
    assert picture.in_words(lone) == "customer 01234 entered Cart abandoner: by an event (frequency 1)"


def test_a_model_s_change_says_the_risk() -> None:
    by_model = change("low", "high", group="churn", driver="model", evidence={"churn_probability": "0.824914"})
    assert "from Low churn risk to High churn risk: churn risk 82%" in Picture(RULES, 1).in_words(by_model)


def test_of_moves_that_read_alike_two_are_told() -> None:
    alike = [change(customer_id=str(n)) for n in range(9)]
    told = varied([*alike, change("lost", "active"), *alike])
    assert [(item.customer_id, item.segment) for item in told] == [
        ("0", "dormant"), ("1", "dormant"), ("01234", "active")
    ]  # fmt: skip


def test_sizes_are_what_the_changes_add_up_to() -> None:
    sizes = SegmentSizes()
    lone = change(None, "one_time_buyer", group=None, from_segment=None, to_segment=None, effective_time=9)
    sizes.add([CODEC.encode_change(item) for item in (change(None, "active"), change(None, "active"), change(), lone)])
    assert +sizes.sizes == {
        ("activity", "active"): 1, ("activity", "dormant"): 1, ("one_time_buyer", "one_time_buyer"): 1
    }  # fmt: skip
    assert (sizes.changes, sizes.instant) == (4, 9)
    assert schema_of(SEGMENT_CHANGES).text


@pytest.mark.parametrize(("q", "seconds"), [(0.5, 0.75), (0.99, 1.99), (0.25, 0.5)])
def test_a_quantile_is_linear_within_its_bucket(q: float, seconds: float) -> None:
    earlier = Reading(latency={0.5: 7.0, 1.0: 7.0, 2.0: 7.0, float("inf"): 7.0})
    later = Reading(latency={0.5: 32.0, 1.0: 82.0, 2.0: 107.0, float("inf"): 107.0})
    found = quantile(q, earlier, later)
    assert found is not None
    assert found == pytest.approx(seconds, abs=0.05)


def test_without_observations_there_is_no_quantile() -> None:
    assert quantile(0.5, Reading(), Reading(latency={1.0: 0.0})) is None


def moment(at: float, applied: int, sizes: Counter[tuple[str, str]] | None = None) -> Moment:
    return Moment(Reading(at=at, applied=applied, received=applied), applied + 10, 5, sizes or Counter(), 3, 86_400_000)


def test_rates_are_those_of_the_last_seconds() -> None:
    history = History()
    for second in range(20):
        history.add(moment(float(second), 0 if second < 10 else 100 * (second - 9)))
    numbers = history.numbers()
    assert numbers["applied/s"] == "100"
    assert numbers["lag"] == "15 records"


def test_the_picture_fits_the_terminal_and_obeys_no_customer() -> None:
    history = History()
    history.add(moment(0.0, 0, Counter({("activity", "active"): 5})))
    history.add(moment(1.0, 9, Counter({("activity", "active"): 3, ("activity", "dormant"): 2})))
    console = Console(width=130, height=30, record=True, force_terminal=True)
    hostile = change(customer_id="\x1b[2J[bold red]x\u202e")
    with console.capture() as capture:
        console.print(Picture(RULES, 100).draw(history, [hostile], 29, 130))
    text = capture.get()
    assert len(text.splitlines()) <= 29
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert "[bold red]x" in text
    assert "▼ 2" in text
    assert "▲ 2" in text


@pytest.mark.parametrize(
    ("text", "shown"), [("a\nb", "a\ufffdb"), ("\x1b[31m", "\ufffd[31m"), ("käufer-客户", "käufer-客户")]
)
def test_text_of_customers_is_shown_on_one_line(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert len(plain("x" * 1_000)) == 120


TALLIES = {
    "received:purchase:0": 10, "applied:purchase:0": 6, "duplicate:purchase:0": 1, "dead_lettered:purchase:0": 1,
    "control:purchase:0": 2, "late:purchase:0": 3,
}  # fmt: skip


def test_the_law_holds_when_every_record_is_somewhere() -> None:
    verdict = judge(TALLIES, produced=10, in_clickhouse=6)
    assert verdict.broken == ()
    assert verdict.applied == 6
    assert received(TALLIES) == 10


@pytest.mark.parametrize(
    ("produced", "rows", "changes", "sentence"),
    [
        (11, 6, {}, "11 records were produced, 10 received"),
        (10, 5, {}, "6 events were applied, ClickHouse holds 5"),
        (10, 6, {"duplicate:purchase:0": 0}, "purchase partition 0: received 10, but 6 applied, 0 duplicate"),
    ],
)
def test_what_is_missing_is_said(produced: int, rows: int, changes: dict[str, int], sentence: str) -> None:
    [broken] = judge(TALLIES | changes, produced, rows).broken
    assert broken.startswith(sentence)


def test_a_loss_in_one_partition_is_not_hidden_by_another() -> None:
    other = {name.replace(":0", ":1"): count for name, count in TALLIES.items()}
    verdict = judge(TALLIES | other | {"applied:purchase:0": 5, "applied:purchase:1": 7}, produced=20, in_clickhouse=12)
    assert len(verdict.broken) == 2
