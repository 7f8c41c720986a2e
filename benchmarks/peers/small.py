"""The small job: count and sum per customer of five-field events. Peers do it where PEER_JOB=small (small_load.py).

What others publish about their engines is measured on jobs like this one: a peer far below its figure here is written
badly. What it loses on the shared job is the job's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def new_state() -> dict[str, Any]:
    """A customer nobody has seen."""
    return {"count": 0, "sum": 0}


def take(state: dict[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    """Count one event."""
    state["count"] += 1
    state["sum"] += event["amount"]
    return state


def message(customer: str, state: dict[str, Any]) -> bytes:
    """What goes out."""
    return json.dumps({"customer_id": customer, **state}, separators=(",", ":")).encode()
