"""What the demo asks ClickHouse when a history is through: questions that this history can answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_OF_ANY_HISTORY: Final = {
    "Who are the most valuable customers that are about to leave?": """\
SELECT customer_id, round(churn_probability, 2) AS churn, revenue_lifetime_amount AS revenue,
    toDate(last_seen) AS last_visit
FROM profiles
WHERE value = 'high' AND churn_probability > 0.5
ORDER BY revenue_lifetime_amount DESC, customer_id
LIMIT 5""",
    "What moved customers between activity segments: an event, or time alone?": """\
SELECT from_segment, to_segment, count() AS changes, countIf(cause = 'tick') AS by_time
FROM segment_changes
WHERE segment_group = 'activity'
GROUP BY from_segment, to_segment
ORDER BY changes DESC, to_segment""",
}
_OF_VISITS: Final = {
    "Where do visitors stop on the way to the order, month by month?": """\
SELECT toStartOfMonth(event_time) AS month, uniqExactIf(customer_id, name = 'product_viewed') AS viewed,
    uniqExactIf(customer_id, name = 'product_added') AS cart,
    uniqExactIf(customer_id, name = 'checkout_started') AS checkout
FROM events
WHERE topic = 'clickstream'
GROUP BY month
ORDER BY month""",
}
_OF_BASKETS: Final = {
    "What part of the shelf price is given away, and what is spent with a coupon, month by month?": """\
SELECT toStartOfMonth(event_time) AS month, count() AS baskets, sum(revenue_amount) AS paid,
    round(100 * sum(discount) / (sum(revenue) + sum(discount)), 1) AS discount_percent,
    countIf(coupon != '') AS with_coupon, round(avgIf(revenue, coupon != '') / 100, 2) AS paid_with_coupon,
    round(avgIf(revenue, coupon = '') / 100, 2) AS paid_without
FROM events
WHERE name = 'order_completed'
GROUP BY month
ORDER BY month""",
    "Which departments bring households in?": """\
SELECT department, count() AS lines, uniqExact(customer_id) AS households,
    round(sum(price * pieces) / 100) AS shelf_price
FROM events
ARRAY JOIN `items.category` AS department, `items.quantity` AS pieces, `items.price` AS price
WHERE name = 'order_completed'
GROUP BY department
ORDER BY shelf_price DESC
LIMIT 8""",
}
QUESTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "demo": _OF_ANY_HISTORY | _OF_VISITS,
    "completejourney": _OF_ANY_HISTORY | _OF_BASKETS,
}
"""History -> question -> query that answers it."""
