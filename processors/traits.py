"""The traits of a profile: the names rules, features, readers and documentation share.

A trait knows how to read itself, which changes can touch it (`mask`), and when it can next change by the passing of
time alone (`horizon`), so that the due index wakes a profile exactly when a rule's answer can change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mypy_extensions import i64

from processors.calendar import DAY, FIVE, HOUR, NEVER, Calendar
from processors.dimensions import rfm_class, rfm_segment, value_of
from processors.measures import MEASURES, M
from processors.numbers import place
from processors.profile import ROW_1H, ROW_7D, ROW_24H, ROW_30D, ROW_90D, ROW_LIFE, Buckets, Profile
from processors.windows import distinct_days

Value = int | float | str
Horizon = Callable[[Profile, Calendar, "Sequence[int] | None"], int]
"""(profile, calendar, thresholds) -> first instant after `as_of` at which the trait's comparison with one of the
thresholds can turn by time alone. A threshold k stands for the comparison `value >= k`; null: any change counts."""

# Bits of a change mask: one a measure, then what is not a measure.
SEEN: Final = 1 << len(MEASURES)
ORDERS: Final = 1 << (len(MEASURES) + 1)
ANSWERS: Final = 1 << (len(MEASURES) + 2)
LISTS: Final = 1 << (len(MEASURES) + 3)
ATTRIBUTES: Final = 1 << (len(MEASURES) + 4)
SCORE: Final = 1 << (len(MEASURES) + 5)
ACTIVITY: Final = 1 << (len(MEASURES) + 6)
EVERYTHING: Final = (1 << (len(MEASURES) + 7)) - 1


@dataclass(frozen=True, slots=True)
class Trait:
    """One readable property of a profile."""

    name: str
    kind: Literal["int", "float", "text"]
    read: Callable[[Profile], Value]
    mask: int
    """Which changes can alter it."""
    horizon: Horizon
    model: bool = False
    """True when a model, not a rule, drives it."""
    source: str = ""
    """What `read` does as an expression of `p`, where it is short enough to stand in a compiled rule."""

    @property
    def moves(self) -> bool:
        """Whether time alone can alter it."""
        return self.horizon is not _never


_ROWS: Final = {"1h": ROW_1H, "24h": ROW_24H, "7d": ROW_7D, "30d": ROW_30D, "90d": ROW_90D, "lifetime": ROW_LIFE}
_SPANS: Final = {"1h": 12, "24h": 24, "7d": 7, "30d": 30, "90d": 90}
"""Buckets a window holds."""


def _never(_p: Profile, _calendar: Calendar, _thresholds: Sequence[int] | None) -> int:
    return NEVER


def _buckets(p: Profile, window: str) -> Buckets:
    return p.fives if window == "1h" else p.hours if window == "24h" else p.days


def _expiry(bucket: int, window: str, calendar: Calendar) -> int:
    """The instant a bucket leaves a window."""
    span = _SPANS[window]
    if window == "1h":
        return (bucket + span) * FIVE
    if window == "24h":
        return (bucket + span) * HOUR
    return calendar.start(bucket + span)


def _newest(p: Profile, window: str) -> int:
    return p.five if window == "1h" else p.hour if window == "24h" else p.day


def _window_horizon(measure: str, window: str) -> Horizon:
    """When a window's sum next changes by itself: a bucket leaves, or an open session closes."""
    if window == "lifetime":
        return _session_close if measure in _CLOSED else _never
    expiry = _expiry_horizon(measure, window)
    if measure not in _CLOSED:
        return expiry
    return lambda p, calendar, thresholds: min(p.session_due, expiry(p, calendar, thresholds))


def _session_close(p: Profile, _calendar: Calendar, _thresholds: Sequence[int] | None) -> int:
    return p.session_due


_CLOSED: Final = frozenset({"sessions_closed", "session_ms", "session_events", "bounces"})
"""Measures that grow by themselves when a session closes."""


def _expiry_horizon(measure: str, window: str) -> Horizon:
    """The expiry after which the window's sum falls below the greatest threshold it reaches now."""
    position, index, signed = M[measure], _ROWS[window] + M[measure], measure == "profit"

    def horizon(p: Profile, calendar: Calendar, thresholds: Sequence[int] | None) -> int:
        total = p.totals[index]
        if not total and not signed:  # most windows of most customers: nothing in them can leave
            return NEVER
        buckets = _buckets(p, window)
        if thresholds is None or signed:
            bucket = _oldest(buckets, position, _newest(p, window) - _SPANS[window] + 1)
        else:
            reached = [k for k in thresholds if 0 < k <= total]
            bucket = _reaching(buckets, position, max(reached)) if reached else None
        return NEVER if bucket is None else _expiry(bucket, window, calendar)

    return horizon


def _oldest(buckets: Buckets, position: i64, first: i64) -> int | None:
    """The oldest bucket, from `first` on, that holds some of a measure."""
    keys, values = buckets.keys, buckets.values
    i = place(keys, first << 6)
    while i < len(keys):
        if keys[i] & 63 == position and values[i] != 0:
            return keys[i] >> 6
        i += 1
    return None


def _reaching(buckets: Buckets, position: i64, threshold: i64) -> int | None:
    """The bucket with which the newest ones together reach a threshold: when it leaves, the sum is below.

    From the newest on, because whoever has a lot reaches a small threshold with the last day.
    """
    keys, values = buckets.keys, buckets.values
    found: i64 = 0
    i: i64 = len(keys) - 1
    while i >= 0:
        if keys[i] & 63 == position:
            found += values[i]
            if found >= threshold:
                return keys[i] >> 6
        i -= 1
    return None


def _sum_reader(index: int) -> Callable[[Profile], Value]:
    return lambda p: p.totals[index]


def _distinct_days_reader(window: str) -> Callable[[Profile], Value]:
    """Distinct days among the short buckets held: their presence entries count buckets, not days."""
    width = FIVE if window == "1h" else HOUR
    return lambda p: distinct_days(p, _buckets(p, window), width)


def _window_traits() -> list[Trait]:
    traits = []
    for measure in MEASURES:
        for window, row in _ROWS.items():
            name = f"{measure}_{window}"
            mask = 1 << M[measure]
            short_days = measure == "active_days" and window in ("1h", "24h")
            read = _distinct_days_reader(window) if short_days else _sum_reader(row + M[measure])
            source = "" if short_days else f"p.totals[{row + M[measure]}]"
            horizon = _window_horizon(measure, window)
            traits.append(
                Trait(name, "int", read, mask, _any_change(horizon) if short_days else horizon, source=source)
            )
    return traits


def _any_change(horizon: Horizon) -> Horizon:
    """Without thresholds: distinct days are not the sum that the presence entries have."""
    return lambda p, calendar, _thresholds: horizon(p, calendar, None)


def _shares(part: str, whole: str) -> list[Trait]:
    """The share of one measure in another for each window, 0 when the other is 0."""
    mask = 1 << M[part] | 1 << M[whole]
    return [
        Trait(
            f"{_SHARES[part, whole]}_{window}",
            "float",
            _share_reader(row + M[part], row + M[whole]),
            mask,
            _share_horizon(part, row, _window_horizon(part, window), _window_horizon(whole, window)),
        )
        for window, row in _ROWS.items()
    ]


def _share_reader(part: int, whole: int) -> Callable[[Profile], Value]:
    return lambda p: int(p.totals[part]) / int(p.totals[whole]) if p.totals[whole] else 0.0


def _share_horizon(measure: str, row: int, part: Horizon, whole: Horizon) -> Horizon:
    """Any change of either: a share has no thresholds of its own parts. A share of 0 stays until its part grows."""
    index, grows = row + M[measure], measure in _CLOSED

    def horizon(p: Profile, calendar: Calendar, _thresholds: Sequence[int] | None) -> int:
        if not p.totals[index]:
            return p.session_due if grows else NEVER
        return min(part(p, calendar, None), whole(p, calendar, None))

    return horizon


_SHARES: Final = {
    ("discounted_orders", "orders"): "discounted_share",
    ("bounces", "sessions_closed"): "bounce_share",
    ("session_ms", "sessions_closed"): "mean_session_ms",
    ("session_events", "sessions_closed"): "mean_session_depth",
    ("csat_sum", "csat_answers"): "csat_mean",
    ("csat_top2", "csat_answers"): "csat_top2_share",
}


def _days_since(name: str, since: Callable[[Profile], int], mask: int) -> Trait:
    """Whole 24-h periods since an instant; -1 when it has not come. It grows by itself."""

    def read(p: Profile) -> Value:
        return (p.as_of - since(p)) // DAY if since(p) else -1

    def horizon(p: Profile, _calendar: Calendar, thresholds: Sequence[int] | None) -> int:
        start = since(p)
        if not start:
            return NEVER
        passed = (p.as_of - start) // DAY
        later = [passed + 1] if thresholds is None else [k for k in thresholds if k > passed]
        return start + min(later) * DAY if later else NEVER

    return Trait(name, "int", read, mask, horizon)


def _point(name: str, kind: Literal["int", "float", "text"], read: Callable[[Profile], Value], mask: int) -> Trait:
    """A trait that only events change."""
    return Trait(name, kind, read, mask, _never)


def _until(read: Callable[[Profile], int]) -> Horizon:
    def horizon(p: Profile, _calendar: Calendar, _thresholds: Sequence[int] | None) -> int:
        until = read(p)
        return until + 1 if until < NEVER else NEVER

    return horizon


def _next_order_leaves(p: Profile, _calendar: Calendar, _thresholds: Sequence[int] | None) -> int:
    return p.orders_due


def _order_traits() -> list[Trait]:
    return [
        Trait("frequency", "int", lambda p: p.frequency, ORDERS, _next_order_leaves),
        Trait("monetary", "int", lambda p: p.monetary, ORDERS, _next_order_leaves),
        Trait("gap_count", "int", lambda p: p.gap_count, ORDERS, _next_order_leaves),
        Trait("gap_sum", "int", lambda p: p.gap_sum, ORDERS, _next_order_leaves),
        _point("first_order", "int", lambda p: p.first_order, ORDERS),
        _point("last_order", "int", lambda p: p.last_order, ORDERS),
        _days_since("days_since_last_order", lambda p: p.last_order, ORDERS),
        _days_since("days_since_last_seen", lambda p: p.last_seen, SEEN),
        _days_since("tenure_days", lambda p: p.first_seen, SEEN),
    ]


def _label_traits() -> list[Trait]:
    rfm, activity = _until(lambda p: p.rfm_until), _until(lambda p: p.activity_until)
    return [
        Trait("recency_score", "int", lambda p: p.recency_score, ORDERS, rfm),
        Trait("frequency_score", "int", lambda p: p.frequency_score, ORDERS, rfm),
        Trait("monetary_score", "int", lambda p: p.monetary_score, ORDERS, rfm),
        Trait("rfm", "text", rfm_segment, ORDERS, rfm),
        Trait("rfm_class", "text", rfm_class, ORDERS, rfm),
        Trait("value", "text", value_of, ORDERS, rfm),
        Trait("activity", "text", lambda p: p.activity, ACTIVITY, activity, source="p.activity"),
    ]


def _point_traits() -> list[Trait]:
    opened, resolved = ROW_LIFE + M["complaints_opened"], ROW_LIFE + M["complaints_resolved"]
    mask = 1 << M["complaints_opened"] | 1 << M["complaints_resolved"]
    return [
        _point("first_seen", "int", lambda p: p.first_seen, SEEN),
        _point("last_seen", "int", lambda p: p.last_seen, SEEN),
        _point("complaints_open", "int", lambda p: max(0, p.totals[opened] - p.totals[resolved]), mask),
        _point("last_nps", "int", lambda p: p.nps, ANSWERS),
        *(_point(name, "text", _attribute(name), ATTRIBUTES) for name in ATTRIBUTE_NAMES),
        Trait(
            "churn_probability", "float", lambda p: p.score.probability if p.score else -1.0, SCORE, _never, model=True
        ),
    ]


ATTRIBUTE_NAMES: Final = ("age", "gender", "occupation", "city", "country")


def _attribute(name: str) -> Callable[[Profile], Value]:
    return lambda p: p.attributes[name][1] if name in p.attributes else ""


def _all_traits() -> dict[str, Trait]:
    shares = [trait for part, whole in _SHARES for trait in _shares(part, whole)]
    traits = [*_window_traits(), *shares, *_order_traits(), *_label_traits(), *_point_traits()]
    return {trait.name: trait for trait in traits}


TRAITS: Final[dict[str, Trait]] = _all_traits()
"""Every trait by name. Money is in minor units, times in ms, shares 0 to 1."""
