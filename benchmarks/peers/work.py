"""What a Python peer calls for each event, the same for all of them: only what surrounds these calls differs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.peers import job, small
from benchmarks.peers.decode import Decode, decoder
from benchmarks.peers.plan import Plan

CHOICE: Final = "PEER_JOB"
"""Environment variable: `small` takes the small job (small.py), anything else the shared one."""


@dataclass(frozen=True, slots=True)
class Work:
    """The job as four functions."""

    decode: Decode
    new_state: Callable[[], job.State]
    take: Callable[[job.State, Mapping[str, Any]], job.State]
    message: Callable[[str, job.State], bytes]
    """The customer's id and state -> what goes out."""


def work_of(plan: Plan) -> Work:
    """The job of a plan, its model loaded."""
    decode = decoder(plan.schemas)
    if os.environ.get(CHOICE) == "small":
        return Work(decode, small.new_state, small.take, small.message)
    return Work(decode, job.new_state, job.take, _scored(job.load_model(plan.model)))


def _scored(model: Any) -> Callable[[str, job.State], bytes]:
    def message(customer: str, state: job.State) -> bytes:
        sums = job.totals(state, state["as_of"])
        churn = model.predict_proba_one(job.features(state, sums))[True]
        return job.message(customer, state, sums, churn)

    return message
