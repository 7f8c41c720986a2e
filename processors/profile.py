"""The profile of one customer: everything the fold reads and changes. Mutable on purpose: one owner, one thread.

Each class writes its `__init__` out: one that `dataclass` makes is run by the interpreter also where all else is
compiled, and took 7 % of a worker's time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from librt.vecs import vec
from mypy_extensions import i64, mypyc_attr

from processors.calendar import NEVER
from processors.measures import MEASURES, WINDOWS
from processors.numbers import capacity_of, none, rest, zeros

WIDTH: Final = len(MEASURES)
ROW_1H, ROW_24H, ROW_7D, ROW_30D, ROW_90D, ROW_LIFE = (n * WIDTH for n in range(len(WINDOWS)))
"""Where each window's row of totals begins in `Profile.totals`."""


@mypyc_attr(acyclic=True)
@dataclass(slots=True, init=False)
class Buckets:
    """Sparse time buckets of one width: parallel sorted keys (`bucket << 6 | measure`) and values."""

    keys: vec[i64]
    values: vec[i64]
    capacity: i64 = field(compare=False)
    """So many `keys` and `values` have room where they lie in memory; whoever adds more calls `keep_from` first."""
    packed: int = field(compare=False)
    """So many of the first are in `packed_keys` and `packed_values` as the stored state has them (state.py); who
    changes one of them sets this to 0. Most of a state are days that are over: packed once, not at every commit."""
    packed_keys: bytes = field(compare=False)
    packed_values: bytes = field(compare=False)

    def __init__(self) -> None:
        self.keys = none()
        self.values = none()
        self.capacity = 0
        self.packed = 0
        self.packed_keys = b""
        self.packed_values = b""

    @staticmethod
    def of(keys: vec[i64], values: vec[i64]) -> Buckets:
        """These, with room for a few more."""
        made = Buckets()
        made.keys, made.values = keys, values
        made.keep_from(0)
        return made

    def keep_from(self, first: i64) -> None:
        """Keep what stands from a position on, with room for a few more."""
        self.keys, self.values = rest(self.keys, first), rest(self.values, first)
        self.capacity = capacity_of(len(self.keys))


@mypyc_attr(acyclic=True)
@dataclass(slots=True, init=False)
class Order:
    """One order of the list (docs/definitions.md "Orders"). Money in minor units; `cost` -1 when unknown."""

    digest: int
    time: int
    revenue: int
    discount: int
    items: int
    cost: int
    refunded: int
    refunds: int
    cancelled: bool

    def __init__(  # noqa: PLR0917  a row of the stored state
        self, digest: int, time: int, revenue: int, discount: int, items: int, cost: int,
        refunded: int = 0, refunds: int = 0, cancelled: bool = False,  # noqa: FBT001, FBT002
    ) -> None:  # fmt: skip
        self.digest, self.time, self.revenue, self.discount = digest, time, revenue, discount
        self.items, self.cost = items, cost
        self.refunded, self.refunds, self.cancelled = refunded, refunds, cancelled

    @property
    def void(self) -> bool:
        """Cancelled or given back whole: no order any more for F, M, gaps and last order."""
        return self.cancelled or (self.refunds > 0 and self.refunded >= self.revenue)


@mypyc_attr(acyclic=True)
@dataclass(slots=True, init=False)
class Session:
    """One stretch of clickstream and app events without a gap over 30 min."""

    start: int
    end: int
    events: int
    closed: bool

    def __init__(self, start: int, end: int, events: int, closed: bool = False) -> None:  # noqa: FBT001, FBT002
        self.start, self.end, self.events, self.closed = start, end, events, closed


@mypyc_attr(acyclic=True)
@dataclass(slots=True)
class WaitingRefund:
    """A refund (or cancellation) whose order has not arrived."""

    digest: int
    time: int
    amount: int
    cancels: bool


@mypyc_attr(acyclic=True)
@dataclass(slots=True, init=False)
class Pending:
    """A churn snapshot whose label is not known yet."""

    time: int
    """The instant predicted at: the last millisecond of the snapshot's day."""
    features: vec[float]
    rule_probability: float
    probability: float | None
    model_version: int | None
    packed: bytes = field(compare=False)
    """The features as the stored state has them, once that was made (state.py): they change no more."""

    def __init__(
        self,
        time: int,
        features: vec[float],
        rule_probability: float,
        probability: float | None = None,
        model_version: int | None = None,
    ) -> None:
        self.time, self.features, self.rule_probability = time, features, rule_probability
        self.probability, self.model_version = probability, model_version
        self.packed = b""


@mypyc_attr(acyclic=True)
@dataclass(slots=True, init=False)
class Score:
    """The churn score in force: probability of no event in the next 30 d, and why."""

    probability: float
    model_version: int
    """0 for the rule score."""
    contributions: list[tuple[str, float]]
    """The 3 features that moved it most, signed, in log-odds."""
    time: int

    def __init__(
        self, probability: float, model_version: int, contributions: list[tuple[str, float]], time: int
    ) -> None:
        self.probability, self.model_version = probability, model_version
        self.contributions, self.time = contributions, time


@mypyc_attr(acyclic=True)
@dataclass(slots=True, init=False)
class Profile:
    """All that is known of one customer. Times in ms (0 = not yet), money in minor units.

    The stored state (`processors/state.py`) keeps what cannot be computed again; `totals`, the current bucket
    numbers, the order facts and the dimension labels are derived from it when a profile is loaded.
    """

    customer: str
    version: int
    """How often it was committed; 0 when it is not stored yet."""
    bucket: int
    """Where it is stored (schemas/partitioning.py)."""
    weight: int = field(compare=False)
    """Bytes of memory it was estimated to take when it was last read or written (weight.py)."""
    in_use: bool = field(compare=False)
    """Used since its owner last looked for one to forget."""
    as_of: int
    due: int
    """The next instant at which a label may change by itself: the least of `turns`."""
    turns: vec[i64]
    """When each unit's answer can next change by time alone, then the label horizon and the daily refresh; derived,
    empty until the profile is first folded after loading."""

    fives: Buckets
    hours: Buckets
    days: Buckets
    totals: vec[i64]
    """Running sums: one row of measures a window, see ROW_1H and its neighbours."""
    five: int
    hour: int
    day: int
    """Bucket numbers of `as_of`."""
    day_start: int
    """First instant of that day in the configured time zone."""
    seen_five: int
    """The last 5-minute bucket whose presence is already counted."""

    first_seen: int
    last_seen: int
    first_order: int
    orders: list[Order]
    """By time; those of the last 365 d and 24 h more."""
    order_of: dict[int, Order]
    """The same by digest; derived."""
    packed: int = field(compare=False)
    """So many of the first are in `packed_orders` as the stored state has them (state.py); who changes one of them, or
    their order, sets this to 0. A busy customer has thousands, and every commit holds all."""
    packed_orders: bytes = field(compare=False)
    waiting: list[WaitingRefund]
    left_order: int
    """Latest non-void order that left the list by age and is kept no longer."""
    sessions: list[Session]
    session_due: int
    """When the next open session closes."""

    # Facts of the order list at `as_of` (orders.py)
    orders_due: int
    frequency: int
    monetary: int
    last_order: int
    gap_count: int
    gap_sum: int

    # Dimensions at `as_of` (dimensions.py); `*_until` is the last instant the label holds without events
    recency_score: int
    frequency_score: int
    monetary_score: int
    rfm_until: int
    activity: str
    activity_until: int

    categories: dict[str, int]
    channels: dict[str, int]
    hours_of_day: vec[i64]
    """Events by the hour that clocks showed, 0 to 23."""
    nps: int
    nps_time: int
    attributes: dict[str, tuple[int, str]]

    labels: dict[str, str]
    """Unit (group or lone segment) -> the segment that holds; a lone segment that does not hold is absent."""
    entered: dict[str, int]
    """Unit -> since when, only for units with `min_dwell`."""
    sequence: int
    model_sequence: int
    last_effective: int

    snapshot_day: int
    pending: Pending | None
    score: Score | None

    def __init__(self, customer: str, version: int = 0) -> None:
        self.customer, self.version = customer, version
        self.bucket = self.as_of = self.weight = 0
        self.in_use = True
        self.due = NEVER
        self._empty_windows()
        self._empty_orders()
        self._empty_labels()

    def _empty_windows(self) -> None:
        self.turns = none()
        self.fives = Buckets()
        self.hours = Buckets()
        self.days = Buckets()
        self.totals = zeros(WIDTH * len(WINDOWS))
        self.five = self.hour = self.day = self.day_start = 0
        self.seen_five = -1

    def _empty_orders(self) -> None:
        self.first_seen = self.last_seen = self.first_order = self.left_order = self.frequency = 0
        self.monetary = self.last_order = self.gap_count = self.gap_sum = 0
        self.orders = []
        self.waiting = []
        self.sessions = []
        self.order_of = {}
        self.packed = 0
        self.packed_orders = b""
        self.session_due = self.orders_due = NEVER

    def _empty_labels(self) -> None:
        self.recency_score = self.frequency_score = self.monetary_score = self.nps_time = self.sequence = 0
        self.model_sequence = self.last_effective = 0
        self.rfm_until = self.activity_until = NEVER
        self.activity = ""
        self.categories = {}
        self.channels = {}
        self.attributes = {}
        self.labels = {}
        self.entered = {}
        self.hours_of_day = zeros(24)
        self.nps = self.snapshot_day = -1
        self.pending = None
        self.score = None
