"""Features are finite, bounded, and say what their names say."""

from __future__ import annotations

from math import isfinite, log1p

import pytest
from hypothesis import given
from hypothesis import strategies as st
from librt.vecs import vec
from mypy_extensions import i64

from processors.calendar import DAY
from processors.features import FEATURES, features
from processors.measures import M
from processors.profile import ROW_7D, ROW_30D, ROW_90D, ROW_LIFE, Profile
from tests.builders import made

NOW = 20_000 * DAY


def named(p: Profile) -> dict[str, float]:
    return dict(zip(FEATURES, features(p), strict=True))


def test_a_profile_that_has_seen_nothing_has_features() -> None:
    assert all(isfinite(x) for x in features(Profile("nobody")))


def test_each_feature_reads_its_own_measure() -> None:
    p = made("ada", as_of=NOW, first_seen=NOW - 99 * DAY, last_order=NOW - 30 * DAY, frequency=2)
    p.gap_count, p.gap_sum = 1, 20 * DAY
    for row, measure, count in [
        (ROW_7D, "page_views", 3), (ROW_30D, "page_views", 2_000), (ROW_30D, "sessions", 5),
        (ROW_7D, "active_days", 2), (ROW_30D, "active_days", 4), (ROW_90D, "active_days", 6),
        (ROW_LIFE, "active_days", 8), (ROW_90D, "orders", 2), (ROW_90D, "revenue", 50_00), (ROW_LIFE, "orders", 4),
        (ROW_LIFE, "discounted_orders", 1), (ROW_7D, "cart_adds", 7), (ROW_30D, "app_opens", 9),
        (ROW_LIFE, "complaints_opened", 3), (ROW_LIFE, "complaints_resolved", 1), (ROW_90D, "support_contacts", 11),
    ]:  # fmt: skip
        p.totals[row + M[measure]] = count
    assert named(p) == pytest.approx({
        "page_views_7d": log1p(3), "page_views_30d": log1p(2_000), "sessions_30d": log1p(5),
        "active_days_7d": log1p(2), "active_days_30d": log1p(4), "active_days_90d": log1p(6),
        "active_days_lifetime": log1p(8), "orders_90d": log1p(2), "orders_365d": log1p(2), "revenue_90d": log1p(50),
        "rho": 30 / 50, "mean_gap_days": 50.0, "days_since_last_order": 30.0, "tenure_days": log1p(99),
        "discounted_share": 0.25, "cart_adds_7d": log1p(7), "app_opens_30d": log1p(9),
        "complaints_open": log1p(2), "support_contacts_90d": log1p(11), "activity_trend": 0.5,
    })  # fmt: skip


def test_one_who_never_ordered_is_a_year_from_the_last_order() -> None:
    values = named(made("ada", as_of=NOW, first_seen=NOW, last_seen=NOW))
    assert (values["days_since_last_order"], values["rho"], values["mean_gap_days"]) == (365.0, 0.0, 60.0)


def test_long_silence_is_capped() -> None:
    p = made("ada", as_of=NOW, first_seen=DAY, last_order=DAY, gap_count=9, gap_sum=9 * DAY)
    values = named(p)
    assert (values["days_since_last_order"], values["rho"]) == (365.0, 10.0)


counts = st.integers(0, 10**12)


@given(
    totals=st.lists(counts, min_size=len(Profile("x").totals), max_size=len(Profile("x").totals)),
    ages=st.lists(st.integers(0, 40_000 * DAY), min_size=2, max_size=2),
    gaps=st.integers(0, 365),
)
def test_features_are_finite_and_small_whatever_was_counted(totals: list[int], ages: list[int], gaps: int) -> None:
    for row in (ROW_7D, ROW_30D, ROW_90D):  # a window of n days holds at most n active days
        totals[row + M["active_days"]] %= 91
    p = made("ada", as_of=40_001 * DAY, totals=vec[i64](totals), gap_count=gaps, gap_sum=gaps * DAY)
    p.first_seen, p.last_order = (p.as_of - age for age in ages)
    values = features(p)
    assert all(isfinite(x) and x >= 0.0 for x in values)
    assert max(x for name, x in zip(FEATURES, values, strict=True) if not name.endswith(("share", "trend"))) <= 365.0
