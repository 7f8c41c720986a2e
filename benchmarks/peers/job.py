"""The shared job: what every peer computes for one customer, in plain Python, imported by no Footfall code.

Every Python peer calls `take` for each event, as its users would call their own function; only what surrounds the
call differs. The Java peer is the same arithmetic written again. Integers only, so that all must agree exactly; the
score is the one float.

Windows are those of Footfall (docs/definitions.md): at instant t a window of n buckets of width w holds exactly the
buckets with floor(t/w) - n < floor(event_time/w) <= floor(t/w). A state is a JSON object, so that any store keeps it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import exp, log1p
from pathlib import Path
from typing import Any, Final

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

MEASURES: Final = ("events", "page_views", "product_views", "cart_adds", "orders", "revenue")
"""What is counted, and summed, in every window. Revenue in minor units."""
WINDOWS: Final[Mapping[str, tuple[str, int, int]]] = {
    "1h": ("fives", 5 * MINUTE, 12),
    "24h": ("hours", HOUR, 24),
    "7d": ("days", DAY, 7),
    "30d": ("days", DAY, 30),
}
"""Window -> the buckets it is made of, their width in ms, how many."""
_KEPT: Final = {"fives": (5 * MINUTE, 12), "hours": (HOUR, 24), "days": (DAY, 30)}
_COUNTED: Final = {"page_viewed": 1, "product_viewed": 2, "product_added": 3, "order_completed": 4}
"""Event name -> position of the measure it adds 1 to, besides `events`."""

FEATURES: Final = (
    *(f"{measure}_{window}" for window in WINDOWS for measure in MEASURES),
    "orders_lifetime",
    "revenue_lifetime",
    "days_since_last_order",
    "days_since_first_seen",
)
"""Inputs of the churn score: log(1 + x) of counts, money and days."""

State = dict[str, Any]


def new_state() -> State:
    """A customer nobody has seen. Buckets: number as text -> six sums in the order of `MEASURES`."""
    return {
        "as_of": 0, "first_seen": 0, "last_seen": 0, "last_order": 0, "orders": 0, "revenue": 0,
        "fives": {}, "hours": {}, "days": {},
    }  # fmt: skip


def take(state: State, event: Mapping[str, Any]) -> State:
    """Take one decoded event into a state, and return it. Events come in any order within 30 days."""
    time, name = event["event_time"], event["name"]
    revenue = event["revenue"] if name == "order_completed" else 0
    state["first_seen"] = min(state["first_seen"] or time, time)
    state["last_seen"] = max(state["last_seen"], time)
    if name == "order_completed":
        state["orders"] += 1
        state["revenue"] += revenue
        state["last_order"] = max(state["last_order"], time)
    _move(state, max(state["as_of"], time))
    for buckets, (width, count) in _KEPT.items():
        number = time // width
        if number > state["as_of"] // width - count:
            sums = state[buckets].setdefault(str(number), [0] * len(MEASURES))
            sums[0] += 1
            if name in _COUNTED:
                sums[_COUNTED[name]] += 1
            sums[5] += revenue
    return state


def _move(state: State, instant: int) -> None:
    """Forget the buckets that no window holds any more."""
    before, state["as_of"] = state["as_of"], instant
    for buckets, (width, count) in _KEPT.items():
        if before // width != instant // width:
            first = instant // width - count
            state[buckets] = {key: sums for key, sums in state[buckets].items() if int(key) > first}


def totals(state: State, instant: int) -> dict[str, list[int]]:
    """Window -> the six sums at an instant not before the state's."""
    found = {}
    for window, (buckets, width, count) in WINDOWS.items():
        first = instant // width - count
        inside = [sums for key, sums in state[buckets].items() if int(key) > first]
        found[window] = [sum(column) for column in zip(*inside, strict=True)] if inside else [0] * len(MEASURES)
    return found


def features(state: State, sums: Mapping[str, list[int]]) -> dict[str, float]:
    """What the score reads, at the state's instant."""
    since_order = (state["as_of"] - state["last_order"]) / DAY if state["last_order"] else 365.0
    values = [number for window in WINDOWS for number in sums[window]]
    values += [state["orders"], state["revenue"]]
    logs = [log1p(value) for value in values]
    logs += [log1p(since_order), log1p((state["as_of"] - state["first_seen"]) / DAY)]
    return dict(zip(FEATURES, logs, strict=True))


def message(customer: str, state: State, sums: Mapping[str, list[int]], churn: float) -> bytes:
    """What goes out: the profile as JSON."""
    profile = {
        "customer_id": customer,
        "as_of": state["as_of"],
        "first_seen": state["first_seen"],
        "last_seen": state["last_seen"],
        "last_order": state["last_order"],
        "orders": state["orders"],
        "revenue": state["revenue"],
        "windows": sums,
        "churn": round(churn, 6),
    }
    return json.dumps(profile, separators=(",", ":")).encode()


def load_model(path: str | Path) -> Any:
    """River's pipeline StandardScaler | LogisticRegression with the parameters that the file holds."""
    from river import linear_model, preprocessing, utils  # noqa: PLC0415  not every reader of this module has River

    told = json.loads(Path(path).read_text(encoding="utf-8"))
    scaler, regression = preprocessing.StandardScaler(), linear_model.LogisticRegression()
    for name, mean, variance in zip(told["features"], told["means"], told["variances"], strict=True):
        scaler.counts[name], scaler.means[name], scaler.vars[name] = told["examples"], mean, variance
    regression._weights = utils.VectorDict(dict(zip(told["features"], told["weights"], strict=True)))  # noqa: SLF001
    regression.intercept = told["intercept"]
    return scaler | regression


def probability(parameters: Mapping[str, Any], values: Mapping[str, float]) -> float:
    """What the pipeline answers, written out: for the Java peer to be the same as, and for a test to hold equal."""
    odds = parameters["intercept"]
    for name, mean, variance, weight in zip(
        parameters["features"], parameters["means"], parameters["variances"], parameters["weights"], strict=True
    ):
        if variance > 0:
            odds += weight * (values[name] - mean) / variance**0.5
    return 1.0 / (1.0 + exp(-odds))
