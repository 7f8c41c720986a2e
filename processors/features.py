"""What the churn model reads: bounded numbers that are a pure function of the profile at `as_of`.

Every value is finite and bounded (logarithms, caps, shares), because one infinite example poisons an online model for
ever and one huge one drags it far away. Order and names are the contract with published snapshots: a model that names
a feature this list lacks is refused.
"""

from __future__ import annotations

from math import log1p
from operator import itemgetter
from typing import Final

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

_LOGS: Final = tuple(log1p(n) for n in range(1024))
"""log(1 + n) of small counts: a look-up costs half of the call."""

_READ: Final = itemgetter(
    ROW_7D + M["page_views"],
    ROW_30D + M["page_views"],
    ROW_30D + M["sessions"],
    ROW_7D + M["active_days"],
    ROW_30D + M["active_days"],
    ROW_90D + M["active_days"],
    ROW_LIFE + M["active_days"],
    ROW_90D + M["orders"],
    ROW_90D + M["revenue"],
    ROW_LIFE + M["orders"],
    ROW_LIFE + M["discounted_orders"],
    ROW_7D + M["cart_adds"],
    ROW_30D + M["app_opens"],
    ROW_LIFE + M["complaints_opened"],
    ROW_LIFE + M["complaints_resolved"],
    ROW_90D + M["support_contacts"],
)


def mean_gap(p: Profile) -> float:
    """Mean gap between orders in ms, shrunk: (gap_sum + 3 * 60 d) / (gap_count + 3)."""
    return (p.gap_sum + PRIOR_WEIGHT * PRIOR_GAP) / (p.gap_count + PRIOR_WEIGHT)


def features(p: Profile) -> list[float]:
    """The features of a profile at its `as_of`, in the order of `FEATURES`: all finite."""
    (
        views_7d, views_30d, sessions, active_7d, active_30d, active_90d, active_life, orders_90d,
        revenue, orders, discounted, cart_adds, app_opens, opened, resolved, contacts,
    ) = _READ(p.totals)  # fmt: skip
    gaps = p.gap_count
    mu = (p.gap_sum + PRIOR_WEIGHT * PRIOR_GAP) / (gaps + PRIOR_WEIGHT)
    since_order = p.as_of - p.last_order if p.last_order else _LONG_AGO
    rho = since_order / mu if gaps else 0.0
    return [
        _LOGS[views_7d] if views_7d < 1024 else log1p(views_7d),
        _LOGS[views_30d] if views_30d < 1024 else log1p(views_30d),
        _LOGS[sessions] if sessions < 1024 else log1p(sessions),
        _LOGS[active_7d],
        _LOGS[active_30d],
        _LOGS[active_90d],
        log1p(active_life),
        _LOGS[orders_90d] if orders_90d < 1024 else log1p(orders_90d),
        log1p(p.frequency),
        log1p(revenue / 100),
        min(RHO_CAP, rho),
        mu / DAY,
        since_order / DAY if since_order < _LONG_AGO else DAYS_CAP,
        log1p((p.as_of - p.first_seen) / DAY),
        discounted / orders if orders else 0.0,
        _LOGS[cart_adds] if cart_adds < 1024 else log1p(cart_adds),
        _LOGS[app_opens] if app_opens < 1024 else log1p(app_opens),
        log1p(opened - resolved) if opened > resolved else 0.0,
        _LOGS[contacts] if contacts < 1024 else log1p(contacts),
        active_7d / active_30d if active_30d else 0.0,
    ]
