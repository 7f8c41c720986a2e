"""The plan of the variants, and what is said of the rows they came to."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from benchmarks.figures import Figures
from benchmarks.throughput_options import Options
from benchmarks.variant_table import Row, Rows, bars, ceiling, table
from benchmarks.variants import COMMON, VARIANTS, chosen, parsed

BASE = Row(rate=17_000.0, worker=50.0, redis=20.0, everything=80.0, per_profile=3.0, peak=900.0, differences=0)


def options_of(name: str) -> Options:
    [options] = [variant.options(COMMON) for variant in VARIANTS if variant.name == name]
    return options


def unlike(name: str) -> dict[str, object]:
    """The options in which a variant's run is unlike the baseline's."""
    return dict(asdict(options_of(name)).items() - asdict(COMMON).items())


def test_each_variant_changes_what_its_name_says_and_nothing_else() -> None:
    assert unlike("baseline") == {}
    assert unlike("uniform") == {"zipf": 0.0}
    assert unlike("hot") == {"hot": 0.3}
    assert unlike("small") == {"size": "small"}
    assert unlike("cold-memory") == {"profiles_mib": 1}
    assert unlike("cold-redis") == {"prefilled": 0}
    assert unlike("workers-2").keys() == {"workers", "ahead"}


@pytest.mark.parametrize("size", [10, 100, 1_000, 4_000, 40_000])
def test_polls_are_of_the_size_of_their_name_where_each_is_folded_by_itself(size: int) -> None:
    options = options_of(f"poll-{size}")
    assert (options.max_records, options.clock) == (size, "wall")


@pytest.mark.parametrize("name", ["customers-1k", "customers-10k", "customers-1M"])
def test_more_customers_have_histories_as_long_as_fewer(name: str) -> None:
    options = options_of(name)
    assert options.history / (options.sharers or options.customers) == COMMON.history / COMMON.customers


@pytest.mark.parametrize(("name", "events"), [("history-1M", 1_000_000), ("history-100M", 100_000_000)])
def test_shared_histories_stand_for_the_events_of_the_name(name: str, events: int) -> None:
    options = options_of(name)
    assert options.history * options.customers / options.sharers == events


def test_the_producer_is_ahead_by_two_polls_of_each_worker() -> None:
    for variant in VARIANTS:
        options = variant.options(COMMON)
        assert options.ahead >= 2 * options.max_records * options.workers


def test_the_baseline_always_runs_and_an_unknown_name_is_refused() -> None:
    assert [variant.name for variant in chosen("hot", quick=False)] == ["baseline", "hot"]
    assert chosen("", quick=False) == list(VARIANTS)
    assert len(chosen("", quick=True)) < len(VARIANTS)
    with pytest.raises(ValueError, match="no variant is called hit; there are baseline, uniform"):
        chosen("hot,hit", quick=False)


def test_a_quick_look_is_short_unless_told_otherwise() -> None:
    assert parsed([]).common == COMMON
    quick = parsed(["--quick", "--warm-up", "9"]).common
    assert (quick.seconds, quick.warm_up) == (6.0, 9.0)


def test_a_row_is_read_from_the_figures_of_a_run() -> None:
    figures = Figures()
    for name, value in (("worker", 50.0), ("broker", 5.0), ("Redis", 20.0), ("producer", 5.0)):
        figures.note(f"CPU of the {name}", value)
    figures.note("events/s applied, median of 10 s", 17_000.0)
    figures.note("events a changed profile", 3.0)
    figures.note("worker's memory, at most", 900.0)
    assert Row.of(figures) == BASE


def test_the_table_tells_the_cost_of_worker_and_redis_beside_the_baseline() -> None:
    lines = table({"baseline": BASE, "hot": replace(BASE, worker=64.0)}).splitlines()
    assert lines[1].split() == ["baseline", "17,000", "50.0", "20.0", "3.00", "900", "0", "1.00x"]
    assert lines[2].split()[-1] == "1.20x"


def test_two_workers_are_held_to_what_the_cores_carry_or_to_twice_the_rate() -> None:
    assert ceiling(BASE, 2, cores=2) == 25_000
    assert ceiling(BASE, 2, cores=64) == 34_000


ROWS: Rows = {
    "baseline": BASE,
    "customers-10k": replace(BASE, worker=20.0),
    "customers-1M": replace(BASE, worker=41.0),
    "hot": replace(BASE, worker=64.0),
    "history-1M": BASE,
    "history-100M": replace(BASE, redis=20.1),
    "workers-2": replace(BASE, rate=22_000.0),
}


WORKERS = (
    "two workers: 1.29 times the rate of one, where 2 cores carry 1.47 times (25,000 events/s); 0.88 of that, "
    "target >= 0.9: missed"
)


def test_bars_are_met_or_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert bars(ROWS) == [
        "customers: customers-1M costs 1.52x customers-10k, target <= 1.5x: missed",
        "hot key: hot costs 1.20x baseline, target <= 1.2x: met",
        "history: history-100M costs 1.00x history-1M, target <= 1.5x: met",
        WORKERS,
        "differences: 0, target 0: met",
    ]


def test_a_bar_without_its_variants_is_left_out_and_differences_are_counted() -> None:
    assert bars({"baseline": replace(BASE, differences=3)}) == ["differences: 3, target 0: missed"]
