-- How many customers each segment holds now. Outside a group, `segment_group` repeats the segment's id.
CREATE OR REPLACE VIEW footfall.segment_sizes AS
SELECT
    membership.1 AS segment_group,
    membership.2 AS segment,
    count() AS customers,
    customers / (SELECT count() FROM footfall.profiles) AS share
FROM footfall.profiles
ARRAY JOIN arrayZip(mapKeys(segments), mapValues(segments)) AS membership
GROUP BY segment_group, segment;

-- Orders and refunds by the day they happened, UTC, in currency units. Of several order_completed with one
-- order_id the earliest is the order. Cancellations are counted, their revenue is not taken off.
CREATE OR REPLACE VIEW footfall.daily_revenue AS
SELECT
    toDate(event_time) AS day,
    countIf(name = 'order_completed') AS orders,
    uniqExactIf(customer_id, name = 'order_completed') AS buyers,
    CAST(sumIf(revenue, name = 'order_completed'), 'Decimal(18, 2)') / 100 AS revenue_amount,
    CAST(sumIf(revenue, name = 'order_refunded'), 'Decimal(18, 2)') / 100 AS refunds_amount,
    CAST(sum(multiIf(name = 'order_completed', revenue, name = 'order_refunded', -revenue, 0)), 'Decimal(18, 2)')
        / 100 AS net_revenue_amount,
    countIf(name = 'order_cancelled') AS cancellations
FROM
(
    SELECT event_time, customer_id, name, revenue
    FROM footfall.events
    WHERE name = 'order_completed'
    ORDER BY event_time, revenue, discount
    LIMIT 1 BY customer_id, if(order_id = '', event_id, order_id)
    UNION ALL
    SELECT event_time, customer_id, name, revenue
    FROM footfall.events
    WHERE name IN ('order_refunded', 'order_cancelled')
)
GROUP BY day;
