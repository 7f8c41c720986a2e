"""Settings of what the words of the domain mean: who has churned, and where the labels of a customer change."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from processors.dimensions import Thresholds
from streams.servers import Group, Positive, Seconds

_DEFAULTS: Final = Thresholds()


class ChurnSettings(Group):
    """What churn means."""

    horizon_days: Positive = 30
    by: Literal["any", "order"] = Field(default="any", description="silence of any event, or of orders")
    prior_gap_days: Positive = Field(default=60, description="assumed days between orders, worth three observed gaps")
    snapshot_examples: Positive = Field(default=2_000, description="publish the model after so many examples")
    snapshot_seconds: Seconds = Field(default=5.0, description="... or after so long, when something was learnt")
    held_examples: Positive = Field(
        default=100_000, description="examples that wait in memory for the end of their horizon, 0.5 KB each"
    )


def _four_ascending(given: tuple[int, ...]) -> tuple[int, ...]:
    if len(given) != 4 or given[0] < 1 or any(low >= high for low, high in pairwise(given)):
        raise ValueError("it must be four whole numbers above 0, each larger than the one before: [30, 90, 180, 270]")
    return given


Breakpoints = Annotated[tuple[int, ...], AfterValidator(_four_ascending)]
"""The four boundaries between five scores; each belongs to the scores below it."""


class BoundarySettings(Group):
    """Where RFM scores and activity change (docs/definitions.md)."""

    recency_days: Breakpoints = Field(default=_DEFAULTS.recency_days, description="days since the last order")
    frequency: Breakpoints = Field(default=_DEFAULTS.frequency, description="orders of 365 days")
    monetary: Breakpoints = Field(
        default=_DEFAULTS.monetary, description="net revenue of 365 days in minor units of base_currency"
    )
    active_days: Positive = Field(
        default=_DEFAULTS.active_days, description="active so long after the last event, before the second order"
    )
    dormant_days: Positive = Field(default=_DEFAULTS.dormant_days, description="... then dormant so long, then lost")

    @model_validator(mode="after")
    def _dormant_comes_after_active(self) -> Self:
        if self.dormant_days <= self.active_days:
            raise ValueError(
                f"dormant_days ({self.dormant_days}) must be more than active_days ({self.active_days}): "
                "both count from the last event"
            )
        return self
