"""One `process` worker under other loads than the usual one, in one table: python -m benchmarks.variants --help.

Each variant is a run of benchmarks.throughput with a few options unlike the baseline's. Exit code 1 when a stored
profile differs from the recount; a missed bar leaves it at 0: this measures.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.sizes import LARGE, SMALL
from benchmarks.throughput import listed, run, say
from benchmarks.throughput_options import Options
from benchmarks.variant_table import BASELINE, Row, bars, table

RESULTS: Final = Path(__file__).parent / "results" / "variants.json"
COMMON: Final = Options(seconds=15.0, warm_up=10.0, history=200_000, ahead=160_000, sample=30, bare_events=0)
"""The baseline: two events of history a customer, and 160 000 records ahead, so that two full polls are there."""
QUICK: Final = {"seconds": 6.0, "warm_up": 4.0}
WALL: Final = {"clock": "wall", "rate_per_day": 10_000 * 86_400}
"""On the wall clock event time goes about as fast as events are sent: 10 000 a second."""
_SHARERS: Final = 500


@dataclass(frozen=True, slots=True)
class Variant:
    """A load, by the options in which it is unlike the baseline."""

    name: str
    meaning: str
    unlike: Mapping[str, Any] = field(default_factory=dict)
    quick: bool = False
    """Whether a quick look has it, too."""

    def options(self, common: Options) -> Options:
        """The run's options."""
        return replace(common, **self.unlike)


VARIANTS: Final = (
    Variant(BASELINE, "100 000 customers by Zipf's law, two events of history each, polls of up to 40 000", quick=True),
    Variant("uniform", "all customers equally active", {"zipf": 0.0}),
    Variant("customers-1k", "1 000 customers, as many events/s and as long a history each",
            {"customers": 1_000, "history": 2_000}),
    Variant("customers-10k", "10 000 customers", {"customers": 10_000, "history": 20_000}, quick=True),
    Variant("customers-1M", "1 000 000 customers, whose histories are those of 10 000 of them, in turn",
            {"customers": 1_000_000, "history": 20_000, "sharers": 10_000}),
    Variant("hot", "30 % of the events are one customer's", {"hot": 0.3}, quick=True),
    # A slow worker's producer may not be far ahead: what is ahead is read before the recount.
    Variant("poll-10", "a worker that takes 10 records at once, on the wall clock: it folds poll by poll",
            WALL | {"max_records": 10, "ahead": 20_000}),
    Variant("poll-100", "100 records, likewise", WALL | {"max_records": 100, "ahead": 20_000}),
    Variant("poll-1000", "1 000 records", WALL | {"max_records": 1_000, "ahead": 60_000}),
    Variant("poll-4000", "4 000 records", WALL | {"max_records": 4_000, "ahead": 80_000}),
    Variant("poll-40000", "40 000 records, which the other polls are to be compared with", WALL),
    Variant("small", "events of 200 bytes instead of 260: nothing optional in them", {"size": SMALL}),
    Variant("large", "events of 4 000 bytes: long addresses and texts, 24 properties",
            {"size": LARGE, "ahead": 100_000}, quick=True),
    Variant("cold-memory", "the worker keeps no profile longer than the batches in flight need it "
            "(batch.profiles_mib 1): the others are read from Redis, which holds all", {"profiles_mib": 1}),
    Variant("cold-redis", "Redis holds no profile at the beginning: every customer is new; the model is the baseline's",
            {"prefilled": 0}),
    Variant("history-1M", f"as after 1 000 000 events of 100 000 customers: 10 each; the histories of {_SHARERS} "
            "customers, in turn", {"history": 10 * _SHARERS, "sharers": _SHARERS}, quick=True),
    Variant("history-100M", "as after 100 000 000 events: 1 000 each, likewise",
            {"history": 1_000 * _SHARERS, "sharers": _SHARERS}, quick=True),
    Variant("workers-2", "two workers share the baseline's load", {"workers": 2, "ahead": 240_000}, quick=True),
)  # fmt: skip
_BY_NAME: Final = {variant.name: variant for variant in VARIANTS}


@dataclass(frozen=True, slots=True)
class Given:
    """The command line."""

    variants: Sequence[Variant]
    common: Options
    results: Path


def main(given: Given) -> int:
    """Run one after the other, print table and bars; the exit code. The results are written after each."""
    rows: dict[str, Row] = {}
    for place, variant in enumerate(given.variants, 1):
        say(f"{place} of {len(given.variants)}: {variant.name}: {variant.meaning}")
        rows[variant.name] = measured(variant.options(given.common))
        _write(given, rows)
    print("\nThe worker under other loads, everything on this machine\n" + table(rows))
    print("\n".join(f"  {sentence}" for sentence in bars(rows)))
    return 1 if any(row.differences for row in rows.values()) else 0


def measured(options: Options) -> Row:
    """One run."""
    with tempfile.TemporaryDirectory(prefix="footfall-variant-") as root:
        figures = run(options, Path(root))
    print(listed(figures), end="")
    return Row.of(figures)


def _write(given: Given, rows: Mapping[str, Row]) -> None:
    told = {
        name: {"unlike the baseline": dict(_BY_NAME[name].unlike), **asdict(row), "cost": row.cost}
        for name, row in rows.items()
    }
    common = {name: value for name, value in asdict(given.common).items() if name != "results"}
    given.results.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"options": common, "variants": told, "bars": bars(rows)}, indent=2)
    given.results.write_text(text + "\n", encoding="utf-8")


def chosen(names: str, *, quick: bool) -> list[Variant]:
    """The variants named, with the baseline, which the others are compared with; all, or the quick ones, of no names.

    Raises ValueError for a name that there is not.
    """
    if not names:
        return [variant for variant in VARIANTS if variant.quick or not quick]
    asked = {BASELINE, *filter(None, names.split(","))}
    if unknown := asked - _BY_NAME.keys():
        raise ValueError(f"no variant is called {', '.join(sorted(unknown))}; there are {', '.join(_BY_NAME)}")
    return [variant for variant in VARIANTS if variant.name in asked]


def parsed(arguments: Sequence[str]) -> Given:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.variants",
        description=_HELP,
        epilog="variants:\n" + "\n".join(_lines(VARIANTS)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", metavar="NAME,...", help="these alone, and the baseline")
    parser.add_argument("--quick", action="store_true", help="those marked *, for 6 s each (8 min): a look, no figures")
    parser.add_argument(
        "--seconds", type=float, help=f"measured in each run, or longer: three full polls ({COMMON.seconds:g})"
    )
    parser.add_argument("--warm-up", type=float, help=f"seconds before measuring ({COMMON.warm_up:g})")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go (%(default)s)")
    told = parser.parse_args(arguments)
    times = {name: getattr(told, name) for name in QUICK if getattr(told, name) is not None}
    try:
        variants = chosen(told.only, quick=told.quick)
    except ValueError as error:
        parser.error(str(error))
    return Given(variants, replace(COMMON, **((QUICK if told.quick else {}) | times)), told.results)


def _lines(variants: Iterable[Variant]) -> list[str]:
    return [f"  {variant.name:14}{'*' if variant.quick else ' '} {variant.meaning}" for variant in variants]


_HELP: Final = """\
What one `process` worker costs under other loads than the usual one: each variant is a run of benchmarks.throughput
with new broker, Redis and prefilled profiles, the producer as fast as the worker takes it, and a recount at the end.

columns:
  events/s     applied, every effect confirmed; median of windows of 10 s, or of a third of a shorter run
  worker us    processor time of the worker (or both) an event
  Redis us     processor time of its store an event
  ev/profile   events a changed profile in one batch: they share one encoding, commit and message
  peak MiB     most resident memory of the worker (or both) in any look
  differences  of 30 recounted customers, every measure in every window; must be 0
  cost         worker and Redis together, beside the baseline

All processes share the cores: close other programs first. The runs are short, so that a difference of less than a tenth
says nothing; --seconds 60 --warm-up 60 says more.
"""


if __name__ == "__main__":
    sys.exit(main(parsed(sys.argv[1:])))
