"""The rolling measures: one table that windows, traits, rules and documentation share (docs/definitions.md)."""

from __future__ import annotations

from typing import Final

MEASURES: Final = (
    "active_days",  # position 0: presence, not a sum (see windows.py)
    "page_views", "product_views", "searches", "cart_adds", "checkouts",
    "orders", "revenue", "refunds", "discount", "discounted_orders", "profit", "items",
    "app_opens", "feature_uses", "scan_pays",
    "social_actions", "shares", "referrals_sent", "referrals_converted",
    "feedback_answers", "csat_sum", "csat_answers", "csat_top2",
    "complaints_opened", "complaints_resolved", "support_contacts", "returns",
    "sessions", "sessions_closed", "session_ms", "session_events", "bounces",
)  # fmt: skip

M: Final = {name: position for position, name in enumerate(MEASURES)}
"""Position of each measure in a totals row."""

MONEY: Final = frozenset({"revenue", "refunds", "discount", "profit"})
"""Measures in minor units of the base currency."""

WINDOWS: Final = ("1h", "24h", "7d", "30d", "90d", "lifetime")
