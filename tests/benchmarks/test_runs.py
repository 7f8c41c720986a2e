"""Both benchmarks run from beginning to end, small: what they print is measured elsewhere, on a quiet machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import latency, throughput
from benchmarks.throughput_options import Options

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(240)]


@pytest.mark.parametrize("workers", [1, 2])
def test_throughput_ends_without_differences(tmp_path: Path, workers: int) -> None:
    options = Options(
        seconds=2, warm_up=1, customers=300, history=3_000, processes=1, ahead=20_000, rate_per_day=500_000, sample=40,
        bare_events=5_000, workers=workers, max_records=4_000, results=tmp_path / "throughput.json",
    )  # fmt: skip
    assert throughput.main(options) == 0
    rows = json.loads(options.results.read_text(encoding="utf-8"))["figures"]
    assert rows["differences"]["value"] == 0
    assert rows["dead letters"]["value"] == 0
    assert (
        rows["events applied in all"]["value"] + rows["repetitions left out"]["value"]
        == (rows["events sent in all"]["value"])
    )
    assert rows["model: examples learnt"]["value"] > 200
    assert rows["bare loop"]["value"] > 0


def test_latency_finds_every_row_and_the_changes(tmp_path: Path) -> None:
    options = latency.Options(seconds=2, warm_up=1, rate=200, customers=500, results=tmp_path / "latency.json")
    assert latency.main(options) == 0
    found = json.loads(options.results.read_text(encoding="utf-8"))["figures"]
    assert found["rows seen"] == found["rows watched"] == 20
    assert found["segment changes measured"] > 100
    assert 0 < found["segment change p50 ms"] <= found["segment change p99 ms"]
