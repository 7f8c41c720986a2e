"""Hypothesis strategies made from the Avro schemas themselves."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from schemas.codec import schema_of
from schemas.topics import EVENT_NAMES
from schemas.validation import ITEM_RANGES, MAX_MONEY, RANGES
from tests.schemas.records import NOW

LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300)


def anything(schema: Any) -> st.SearchStrategy[Any]:
    """Any datum of an Avro type."""
    if isinstance(schema, list):
        return st.one_of([anything(branch) for branch in schema])
    kind = schema["type"] if isinstance(schema, dict) else schema
    if kind == "record":
        return st.fixed_dictionaries({field["name"]: anything(field["type"]) for field in schema["fields"]})
    if kind == "array":
        return st.lists(anything(schema["items"]), max_size=3)
    if kind == "map":
        return st.dictionaries(st.text(max_size=8), anything(schema["values"]), max_size=3)
    if kind == "enum":
        return st.sampled_from(schema["symbols"])
    simple: dict[str, st.SearchStrategy[Any]] = {
        "null": st.none(), "string": st.text(max_size=20), "long": LONGS, "double": st.floats(),
    }  # fmt: skip
    return simple[kind]


def valid_events(topic: str) -> st.SearchStrategy[dict[str, Any]]:
    """Events that keep the contract."""
    ids = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
    fixed: dict[str, st.SearchStrategy[Any]] = {
        "event_time": st.integers(0, NOW + 10**9),
        "received_time": st.integers(0, NOW),
        "event_id": ids,
        "customer_id": ids,
        "name": st.sampled_from(EVENT_NAMES[topic]),
        "currency": st.just("USD"),
        "order_id": ids,
        "previous_id": st.none() | ids,
        "referred_customer_id": st.none() | ids,
        "survey": st.sampled_from(("nps", "csat", "ces")),
        "items": st.lists(_items(), max_size=3),
    }
    for name, (low, high) in RANGES[topic].items():
        whole = isinstance(low, int)
        fixed[name] = st.integers(int(low), int(high)) if whole else st.floats(low, high)
    fixed["score"] = st.integers(1, 5)
    fields = schema_of(topic).plain["fields"]
    return st.fixed_dictionaries(
        {field["name"]: fixed[field["name"]] if field["name"] in fixed else anything(field["type"]) for field in fields}
    )


def _items() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({
        "product_id": st.text(max_size=5),
        "category": st.none() | st.text(max_size=5),
        "quantity": st.integers(*ITEM_RANGES["quantity"]),
        "price": st.integers(0, MAX_MONEY),
    })  # fmt: skip
