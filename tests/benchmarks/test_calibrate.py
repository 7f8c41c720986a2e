"""What is said of a peer beside the figure it should reach."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.peers.calibrate import FIGURES, Row, parsed, write
from benchmarks.peers.contest import PEERS
from benchmarks.peers.runs import Result

ROWS = [
    Row("quix", [Result(12_000, 1.0, 0.6, 100.0), Result(11_500, 1.0, 0.6, 100.0)], compared=2),
    Row("faust", [Result(7_100, 1.0, 1.0, 80.0)]),
    Row("pyflink", failure="no JVM\nand a long log"),
]


def test_every_peer_has_a_figure() -> None:
    assert FIGURES.keys() == {*PEERS}


def test_a_peer_is_to_reach_four_fifths_of_the_lower_end_of_its_figure() -> None:
    quix, faust, pyflink = (row.line().split() for row in ROWS)
    assert quix == ["quix", "11,750", "14,000", "to", "18,000", "target", ">=", "11,200:", "met;", "0", "differences"]
    assert faust == ["faust", "7,100", "9,000", "target", ">=", "7,200:", "missed;", "not", "compared"]
    assert pyflink == ["pyflink", "FAILED:", "no", "JVM"]


def test_the_calibration_is_written_for_programs(tmp_path: Path) -> None:
    options = parsed(["--broker", "embedded", "--results", str(tmp_path / "results" / "calibration.json")])
    write(ROWS, options)
    told = json.loads(options.results.read_text(encoding="utf-8"))
    assert (told["events"], told["broker"]) == (1_000_000, "embedded")
    assert [row["reached"] for row in told["rows"]] == [True, False, False]
    assert told["rows"][0]["events_per_second_runs"] == [12_000, 11_500]


def test_without_a_real_broker_the_embedded_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_CONTROL", raising=False)
    assert parsed([]).broker == "embedded"
    monkeypatch.setenv("KAFKA_CONTROL", "kafka-control")
    assert parsed([]).broker == "kafka"
