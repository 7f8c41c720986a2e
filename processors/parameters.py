"""What a published model holds: read from its snapshot, and refused where it cannot be used.

Not compiled: mypyc would leave of `list[float]` only `list`, and anything in the lists would be let in.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from processors.features import FEATURES
from schemas.results import ModelSnapshot

_BOUND: Final = 1e100
"""Parameter of a model: whatever is made of such numbers is finite. No model that learnt has any near it."""


class LinearParameters(msgspec.Struct, frozen=True, gc=False):
    """The part of a snapshot's payload that scoring reads; all lists in the order of `features`."""

    features: list[str]
    means: list[float]
    variances: list[float]
    weights: list[float]
    intercept: float
    limit: float
    """A standardised feature is cut to [-limit, limit]."""
    positives: int
    negatives: int


def parameters_of(snapshot: ModelSnapshot, river_version: str) -> LinearParameters | str:
    """The parameters a snapshot holds, or the reason why it is refused."""
    if snapshot.river_version != river_version:
        return f"learnt by River {snapshot.river_version}, this is River {river_version}"
    if sha256(snapshot.payload).hexdigest() != snapshot.checksum:
        return "the checksum is not the payload's"
    try:
        parameters = msgspec.json.decode(snapshot.payload, type=LinearParameters)
    except msgspec.DecodeError as error:
        return f"unreadable payload: {error}"
    return _refusal(parameters) or parameters


def _refusal(parameters: LinearParameters) -> str | None:
    unknown = [name for name in parameters.features if name not in FEATURES]
    if unknown:
        return f"unknown features: {', '.join(unknown)}"
    lists = (parameters.means, parameters.variances, parameters.weights)
    if any(len(numbers) != len(parameters.features) for numbers in lists):
        return "parameters and features differ in length"
    numbers = [*parameters.means, *parameters.variances, *parameters.weights, parameters.intercept, parameters.limit]
    bounded = all(abs(number) <= _BOUND for number in numbers)
    if not bounded or min(parameters.variances, default=0.0) < 0 or parameters.limit <= 0:
        return "parameters out of range"
    return None
