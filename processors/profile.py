"""The profile of one customer: everything the fold reads and changes. Mutable on purpose: one owner, one thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from librt.vecs import vec
from mypy_extensions import i64

from processors.calendar import NEVER
from processors.measures import MEASURES, WINDOWS
from processors.numbers import none, zeros

WIDTH: Final = len(MEASURES)
ROW_1H, ROW_24H, ROW_7D, ROW_30D, ROW_90D, ROW_LIFE = (n * WIDTH for n in range(len(WINDOWS)))
"""Where each window's row of totals begins in `Profile.totals`."""


def _no_totals() -> vec[i64]:
    return zeros(WIDTH * len(WINDOWS))


def _no_hours() -> vec[i64]:
    return zeros(24)


@dataclass(slots=True)
class Buckets:
    """Sparse time buckets of one width: parallel sorted keys (`bucket << 6 | measure`) and values."""

    keys: vec[i64] = field(default_factory=none)
    values: vec[i64] = field(default_factory=none)
    packed: int = field(default=0, compare=False)
    """So many of the first are in `packed_keys` and `packed_values` as the stored state has them (state.py); who
    changes one of them sets this to 0. Most of a state are days that are over: packed once, not at every commit."""
    packed_keys: bytes = field(default=b"", compare=False)
    packed_values: bytes = field(default=b"", compare=False)


@dataclass(slots=True)
class Order:
    """One order of the list (docs/definitions.md "Orders"). Money in minor units; `cost` -1 when unknown."""

    digest: int
    time: int
    revenue: int
    discount: int
    items: int
    cost: int
    refunded: int = 0
    refunds: int = 0
    cancelled: bool = False
    packed: bytes = field(default=b"", compare=False)
    """Its part of the stored state once that was made (state.py); empty again when a refund changes it."""

    @property
    def void(self) -> bool:
        """Cancelled or given back whole: no order any more for F, M, gaps and last order."""
        return self.cancelled or (self.refunds > 0 and self.refunded >= self.revenue)


@dataclass(slots=True)
class Session:
    """One stretch of clickstream and app events without a gap over 30 min."""

    start: int
    end: int
    events: int
    closed: bool = False
    packed: bytes = field(default=b"", compare=False)
    """Its part of the stored state once that was made and it is closed: then it changes no more (state.py)."""


@dataclass(slots=True)
class WaitingRefund:
    """A refund (or cancellation) whose order has not arrived."""

    digest: int
    time: int
    amount: int
    cancels: bool


@dataclass(slots=True)
class Pending:
    """A churn snapshot whose label is not known yet."""

    time: int
    """The instant predicted at: the last millisecond of the snapshot's day."""
    features: vec[float]
    rule_probability: float
    probability: float | None = None
    model_version: int | None = None


@dataclass(slots=True)
class Score:
    """The churn score in force: probability of no event in the next 30 d, and why."""

    probability: float
    model_version: int
    """0 for the rule score."""
    contributions: list[tuple[str, float]]
    """The 3 features that moved it most, signed, in log-odds."""
    time: int


@dataclass(slots=True)
class Profile:
    """All that is known of one customer. Times in ms (0 = not yet), money in minor units.

    The stored state (`processors/state.py`) keeps what cannot be computed again; `totals`, the current bucket
    numbers, the order facts and the dimension labels are derived from it when a profile is loaded.
    """

    customer: str
    version: int = 0
    """How often it was committed; 0 when it is not stored yet."""
    bucket: int = 0
    """Where it is stored (schemas/partitioning.py)."""
    stored_bytes: int = field(default=0, compare=False)
    """Length of the stored state when it was last read or written: what its owner weighs it by."""
    as_of: int = 0
    due: int = NEVER
    """The next instant at which a label may change by itself: the least of `turns`."""
    turns: vec[i64] = field(default_factory=none)
    """When each unit's answer can next change by time alone, then the label horizon and the daily refresh; derived,
    empty until the profile is first folded after loading."""

    fives: Buckets = field(default_factory=Buckets)
    hours: Buckets = field(default_factory=Buckets)
    days: Buckets = field(default_factory=Buckets)
    totals: vec[i64] = field(default_factory=_no_totals)
    """Running sums: one row of measures a window, see ROW_1H and its neighbours."""
    five: int = 0
    hour: int = 0
    day: int = 0
    """Bucket numbers of `as_of`."""
    day_start: int = 0
    """First instant of that day in the configured time zone."""
    seen_five: int = -1
    """The last 5-minute bucket whose presence is already counted."""

    first_seen: int = 0
    last_seen: int = 0
    first_order: int = 0
    orders: list[Order] = field(default_factory=list)
    """By time; those of the last 365 d and 24 h more."""
    order_of: dict[int, Order] = field(default_factory=dict)
    """The same by digest; derived."""
    waiting: list[WaitingRefund] = field(default_factory=list)
    left_order: int = 0
    """Latest non-void order that left the list by age and is kept no longer."""
    sessions: list[Session] = field(default_factory=list)
    session_due: int = NEVER
    """When the next open session closes."""

    # Facts of the order list at `as_of` (orders.py)
    orders_due: int = NEVER
    frequency: int = 0
    monetary: int = 0
    last_order: int = 0
    gap_count: int = 0
    gap_sum: int = 0

    # Dimensions at `as_of` (dimensions.py); `*_until` is the last instant the label holds without events
    recency_score: int = 0
    frequency_score: int = 0
    monetary_score: int = 0
    rfm_until: int = NEVER
    activity: str = ""
    activity_until: int = NEVER

    categories: dict[str, int] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)
    hours_of_day: vec[i64] = field(default_factory=_no_hours)
    """Events by the hour that clocks showed, 0 to 23."""
    nps: int = -1
    nps_time: int = 0
    attributes: dict[str, tuple[int, str]] = field(default_factory=dict)

    labels: dict[str, str] = field(default_factory=dict)
    """Unit (group or lone segment) -> the segment that holds; a lone segment that does not hold is absent."""
    entered: dict[str, int] = field(default_factory=dict)
    """Unit -> since when, only for units with `min_dwell`."""
    sequence: int = 0
    model_sequence: int = 0
    last_effective: int = 0

    snapshot_day: int = -1
    pending: Pending | None = None
    score: Score | None = None
