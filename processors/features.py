"""What the churn model reads: bounded numbers that are a pure function of the profile at `as_of`.

Every value is finite and bounded (logarithms, caps, shares), because one infinite example poisons an online model for
ever and one huge one drags it far away. Order and names are the contract with published snapshots: a model that names
a feature this list lacks is refused.
"""

from __future__ import annotations

from math import log1p
from typing import Final

from librt.vecs import append, vec
from mypy_extensions import i64

from processors.calendar import DAY
from processors.measures import M
from processors.profile import ROW_7D, ROW_30D, ROW_90D, ROW_LIFE, Profile

FEATURES: Final[tuple[str, ...]] = (
    "page_views_7d", "page_views_30d", "sessions_30d",
    "active_days_7d", "active_days_30d", "active_days_90d", "active_days_lifetime",
    "orders_90d", "orders_365d", "revenue_90d",
    "rho", "mean_gap_days", "days_since_last_order", "tenure_days",
    "discounted_share", "cart_adds_7d", "app_opens_30d",
    "complaints_open", "support_contacts_90d", "activity_trend",
)  # fmt: skip
"""Names of the features, in the order of `features`. Counts and money are log(1 + x); days are whole numbers or
fractions of 24 h, `tenure_days` their logarithm."""

PRIOR_GAP: Final = 60 * DAY
PRIOR_WEIGHT: Final = 3
"""The mean gap between orders is shrunk towards 60 d with the weight of 3 gaps. Constants, not settings: a model
learnt with one prior must not be fed with another."""

RHO_CAP: Final = 10.0
DAYS_CAP: Final = 365.0
_LONG_AGO: Final = 365 * DAY

_LOGS: Final[list[float]] = [log1p(n) for n in range(1024)]
"""log(1 + n) of small counts: a look-up costs half of the call."""

_VIEWS_7D: Final[int] = ROW_7D + M["page_views"]
_VIEWS_30D: Final[int] = ROW_30D + M["page_views"]
_SESSIONS: Final[int] = ROW_30D + M["sessions"]
_ACTIVE_7D: Final[int] = ROW_7D + M["active_days"]
_ACTIVE_30D: Final[int] = ROW_30D + M["active_days"]
_ACTIVE_90D: Final[int] = ROW_90D + M["active_days"]
_ACTIVE_LIFE: Final[int] = ROW_LIFE + M["active_days"]
_ORDERS_90D: Final[int] = ROW_90D + M["orders"]
_REVENUE: Final[int] = ROW_90D + M["revenue"]
_ORDERS: Final[int] = ROW_LIFE + M["orders"]
_DISCOUNTED: Final[int] = ROW_LIFE + M["discounted_orders"]
_CART_ADDS: Final[int] = ROW_7D + M["cart_adds"]
_APP_OPENS: Final[int] = ROW_30D + M["app_opens"]
_OPENED: Final[int] = ROW_LIFE + M["complaints_opened"]
_RESOLVED: Final[int] = ROW_LIFE + M["complaints_resolved"]
_CONTACTS: Final[int] = ROW_90D + M["support_contacts"]


def mean_gap(p: Profile) -> float:
    """Mean gap between orders in ms, shrunk: (gap_sum + 3 * 60 d) / (gap_count + 3)."""
    return (p.gap_sum + PRIOR_WEIGHT * PRIOR_GAP) / (p.gap_count + PRIOR_WEIGHT)


def features(p: Profile) -> vec[float]:
    """The features of a profile at its `as_of`, in the order of `FEATURES`: all finite."""
    totals, gaps = p.totals, p.gap_count
    mu = (p.gap_sum + PRIOR_WEIGHT * PRIOR_GAP) / (gaps + PRIOR_WEIGHT)
    since_order = p.as_of - p.last_order if p.last_order else _LONG_AGO
    rho = since_order / mu if gaps else 0.0
    active, orders = totals[_ACTIVE_30D], totals[_ORDERS]
    values = vec[float](capacity=20)
    values = append(values, _log(totals[_VIEWS_7D]))
    values = append(values, _log(totals[_VIEWS_30D]))
    values = append(values, _log(totals[_SESSIONS]))
    values = append(values, _log(totals[_ACTIVE_7D]))
    values = append(values, _log(active))
    values = append(values, _log(totals[_ACTIVE_90D]))
    values = append(values, _log(totals[_ACTIVE_LIFE]))
    values = append(values, _log(totals[_ORDERS_90D]))
    values = append(values, _log(p.frequency))
    values = append(values, log1p(int(totals[_REVENUE]) / 100))
    values = append(values, min(RHO_CAP, rho))
    values = append(values, mu / DAY)
    values = append(values, since_order / DAY if since_order < _LONG_AGO else DAYS_CAP)
    values = append(values, log1p((p.as_of - p.first_seen) / DAY))
    values = append(values, int(totals[_DISCOUNTED]) / int(orders) if orders != 0 else 0.0)
    values = append(values, _log(totals[_CART_ADDS]))
    values = append(values, _log(totals[_APP_OPENS]))
    values = append(values, _log(max(0, totals[_OPENED] - totals[_RESOLVED])))
    values = append(values, _log(totals[_CONTACTS]))
    return append(values, int(totals[_ACTIVE_7D]) / int(active) if active != 0 else 0.0)


def _log(n: i64) -> float:
    """log(1 + n)."""
    return _LOGS[n] if n < 1024 else log1p(int(n))
