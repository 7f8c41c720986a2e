"""The contest's table, JSON and picture, and what a run is told to cost."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from math import inf
from pathlib import Path

import pytest

from benchmarks.bare_loop import by_column, by_row
from benchmarks.generator import Generator
from benchmarks.listener import Received
from benchmarks.peers import __main__ as program
from benchmarks.peers import table
from benchmarks.peers.__main__ import parsed
from benchmarks.peers.contest import Options, fits
from benchmarks.peers.contestants import Peer
from benchmarks.peers.job import new_state, take
from benchmarks.peers.latency import Delays, delays
from benchmarks.peers.load import START, Course, decoded, truth
from benchmarks.peers.ours import FOOTFALLS_MODEL, _unlike
from benchmarks.peers.runs import Program, Result, watch
from benchmarks.peers.tree import Cost, members
from schemas.codec import schema_of
from schemas.topics import CLICKSTREAM, CLOCK_HEADER, INPUT_TOPICS
from schemas.validation import ContractRules


@dataclass(frozen=True)
class Message:
    """The part of a confluent-kafka message that the bare loops read."""

    said: tuple[str, int, bytes, bytes | None]
    place: int

    def topic(self) -> str:
        return self.said[0]

    def partition(self) -> int:
        return self.said[1]

    def key(self) -> bytes:
        return self.said[2]

    def value(self) -> bytes | None:
        return self.said[3]

    def offset(self) -> int:
        return self.place

    def timestamp(self) -> tuple[int, int]:
        return 1, START

    def headers(self) -> list[tuple[str, bytes]]:
        return [(CLOCK_HEADER, b"1")]


ROWS = [
    table.Row(
        "footfall",
        [Result(1_000, 0.1, 0.05, 100.0), Result(1_000, 0.2, 0.05, 120.0), Result(1_000, 0.1, 0.06, 110.0)],
        delays=Delays([20.0] * 98 + [inf] * 2),
    ),
    table.Row("<slow>", [Result(1_000, 1.0, 0.9, 50.0)], compared=1, differences=2),
    table.Row("consume", [Result(2_000, 0.1, 0.02, 90.0, whole=False)], limit=True),
    table.Row("absent", failure="no JVM\nand a long log"),
]


def test_the_table_tells_medians_and_how_many_times_as_fast_ours_is() -> None:
    first, second, heading, limit, lost, third = table.table(ROWS, "footfall").splitlines()[1:]
    assert third == "  absent: FAILED, no JVM"
    assert first.split() == ["footfall", "10,000", "5,000", "10,000", "20", "-", "50.0", "110", "1.00x", "0"]
    assert second.split() == ["<slow>", "1,000", "1,000", "1,000", "-", "-", "900.0", "50", "10.00x", "2"]
    assert heading == "  no contestants, but what a part of the work costs by itself:"
    assert limit.split() == ["consume", "20,000", "20,000", "20,000", "-", "-", "10.0", "90", "-", "-"]
    assert lost == "  footfall: no message within the patience about 2.0% of the probes"


def test_results_are_written_for_programs_and_as_a_picture(tmp_path: Path) -> None:
    table.write(ROWS, tmp_path / "results" / "peers.json", {"events": 1_000})
    told = json.loads((tmp_path / "results" / "peers.json").read_text(encoding="utf-8"))
    assert told["events"] == 1_000
    assert "cores" in told["machine"]
    assert [row["name"] for row in told["rows"] if row["limit"]] == ["consume"]
    assert told["rows"][1] == {
        "name": "footfall", "limit": False,
        "events_per_second_median": 10_000, "events_per_second_runs": [10_000, 5_000, 10_000],
        "p50_ms": 20.0, "p99_ms": None, "probes_back": 0.98, "failure": None, "runs_compared": 0, "differences": 0,
        "cpu_seconds_per_million": 50.0, "peak_mib": 110,
    }  # fmt: skip
    assert told["rows"][-1]["failure"] == "no JVM\nand a long log"
    picture = (tmp_path / "results" / "peers.svg").read_text(encoding="utf-8")
    assert "&lt;slow&gt;" in picture
    assert "10,000" in picture
    assert "20,000" not in picture


def test_a_delay_lasts_until_the_first_message_about_the_probes_customer() -> None:
    received = [Received(10.5, b"a", b""), Received(11.0, b"a", b""), Received(10.2, b"other", b""),
                Received(10.3, None, b"")]  # fmt: skip
    found = delays({"a": 10.0, "b": 10.0}, received)
    assert found.milliseconds == [500.0, inf]
    assert found.back == 0.5
    assert (found.at(0.5), found.at(0.99)) == (None, None)


def test_a_percentile_among_the_lost_is_none() -> None:
    found = Delays([1.0] * 97 + [inf] * 3)
    assert (found.at(0.5), found.at(0.97), found.at(0.99)) == (1.0, 1.0, None)


def test_rows_and_columns_decode_the_same_events_and_no_marker() -> None:
    ids = dict.fromkeys(INPUT_TOPICS, 7)
    records = Generator(Course(200).load, ids, 2).batch(200)
    messages = [Message(record, offset) for offset, record in enumerate(records)]
    marker = Message((CLICKSTREAM, 0, b"clock", None), 200)
    lookup = {7: schema_of(CLICKSTREAM)}.get
    clicks = [message for message in messages if message.topic() == CLICKSTREAM]
    columns = by_column(lookup, ContractRules())
    assert by_row([*messages, marker]) == 200
    assert columns([*clicks, marker]) == len(clicks) > 100


def test_a_run_is_measured_from_a_tenth_of_its_events_on() -> None:
    counts = iter([0, 50, 150, 300, 400, 500, 600, 700, 800, 1_000])
    result = watch(lambda: next(counts), 1_000, Cost(list), lambda: None)
    assert result.events == 850
    assert 1.0 < result.seconds < 4.0


def test_too_few_events_are_said_to_be_too_few() -> None:
    with pytest.raises(ValueError, match="give more --events"):
        watch(lambda: 1_000, 1_000, Cost(list), lambda: None)
    counts = iter([0, 500, 1_000])
    with pytest.raises(ValueError, match="give more --events"):
        watch(lambda: next(counts), 1_000, Cost(list), lambda: None)


def test_a_program_that_ends_by_itself_is_told_with_its_log(tmp_path: Path) -> None:
    program = Program([sys.executable, "-c", "print('why'); raise SystemExit(3)"], tmp_path / "log")
    program.start()
    assert program.wait(20)
    with pytest.raises(RuntimeError, match="ended with 3:\nwhy"):
        program.check()
    program.stop()


def test_the_cost_of_a_session_counts_its_children(tmp_path: Path) -> None:
    busy = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'while True: pass']); time.sleep(60)"
    program = Program([sys.executable, "-c", busy], tmp_path / "log")
    program.start()
    session = program.pid or 0
    cost = Cost(lambda: members(session))
    deadline = time.monotonic() + 20
    while cost.cpu < 0.3 and time.monotonic() < deadline:
        time.sleep(0.05)
        cost.look()
    assert cost.cpu >= 0.3
    assert cost.peak_mib > 5
    program.stop()
    assert members(session) == []


def test_ours_is_compared_with_the_recount_at_the_instant_its_traits_tell() -> None:
    state = take(new_state(), {"event_time": START, "name": "order_completed", "revenue": 500})
    traits = {"as_of": START, "first_seen": START, "last_seen": START, "last_order": START,
              "churn": {"model_version": FOOTFALLS_MODEL}}  # fmt: skip
    traits |= {f"{name}_{window}": n for window in ("1h", "24h", "7d", "30d", "lifetime")
               for name, n in (("orders", 1), ("revenue", 500))}  # fmt: skip
    assert list(_unlike("a", state, traits)) == []
    assert list(_unlike("a", state, traits | {"orders_7d": 2})) == ["a: orders_7d is 2, recounted 1"]
    later = traits | {"as_of": START + 2 * 3_600_000}
    assert list(_unlike("a", state, later)) == [
        "a: orders_1h is 1, recounted 0", "a: revenue_1h is 500, recounted 0",
    ]  # fmt: skip
    assert list(_unlike("a", state, traits | {"churn": {"model_version": 0}})) == [
        "a: no model made the score {'model_version': 0}"
    ]
    assert list(_unlike("a", state, {})) == [f"a: stands at 0, its last event is of {START}"]


def test_the_truth_holds_every_event_of_the_load() -> None:
    course = Course(500, customers=50)
    states, events = truth(course), list(decoded(course))
    orders = [event for event in events if event["name"] == "order_completed"]
    assert sum(state["orders"] for state in states.values()) == len(orders) > 5
    assert sum(state["revenue"] for state in states.values()) == sum(event["revenue"] for event in orders)
    assert states.keys() == {event["customer_id"] for event in events}


def test_a_run_may_be_cut_off_and_says_so() -> None:
    result = watch(lambda: 200, 1_000, Cost(list), lambda: None, most=1.0)
    assert (result.whole, result.events) == (False, 0)
    assert result.seconds >= 1.0


@pytest.mark.parametrize(("control", "broker"), [("", "embedded"), ("kafka-control", "both")])
def test_a_real_broker_is_taken_too_where_one_can_be_started(
    control: str, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_CONTROL", control)
    assert parsed([]).broker == broker
    assert parsed(["--broker", "kafka"]).broker == "kafka"


def test_each_broker_has_a_contest_and_results_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held: list[tuple[str, str]] = []

    def hold(options: Options) -> int:
        held.append((options.broker, options.results.name))
        return int(options.broker == "kafka")

    monkeypatch.setattr(program, "_held", hold)
    assert program.main(["--broker", "both", "--results", str(tmp_path / "peers.json")]) == 1
    assert program.main(["--broker", "embedded", "--results", str(tmp_path / "peers.json")]) == 0
    assert held == [("kafka", "peers.json"), ("embedded", "peers-embedded.json"), ("embedded", "peers-embedded.json")]


def test_who_needs_transactions_is_left_out_where_there_are_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Peer, "build", lambda _: None)
    streams, quix = Peer("kafka_streams"), Peer("quix")
    assert [fits(streams, "kafka"), fits(streams, "embedded"), fits(quix, "embedded")] == [True, False, True]
    assert "LEFT OUT: kafka_streams needs transactions" in capsys.readouterr().out


def test_unknown_contestants_and_no_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--only", "fuast"], ["--rounds", "0"]):
        with pytest.raises(SystemExit):
            parsed(arguments)
        assert "--only takes footfall, footfall-full, footfall-each, kafka_streams" in capsys.readouterr().err
