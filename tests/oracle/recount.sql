-- The naive recount: every measure of docs/definitions.md from the raw records, for a profile at instant getvariable('t').
-- Input: `record`, one row per record, and `line`, one row per item line of an order (recount.py fills both).
-- `et` is the time after the clamp, `day` the day of the time zone, `hour_day` the day in which the event's hour
-- bucket begins, `clock_hour` the hour of the day in the time zone.

-- A repetition is a record whose id was counted before, in the same event hour or a neighbour of it.
CREATE OR REPLACE TEMP TABLE counted AS
WITH RECURSIVE numbered AS (
    SELECT arrival, customer, id, et // 3600000 AS hour,
           row_number() OVER (PARTITION BY customer, id ORDER BY arrival) AS place
    FROM record
), walk AS (
    SELECT arrival, customer, id, place, true AS counts, [hour] AS hours FROM numbered WHERE place = 1
    UNION ALL
    SELECT n.arrival, n.customer, n.id, n.place,
           NOT list_has_any(w.hours, [n.hour - 1, n.hour, n.hour + 1]),
           CASE WHEN list_has_any(w.hours, [n.hour - 1, n.hour, n.hour + 1])
                THEN w.hours ELSE list_append(w.hours, n.hour) END
    FROM walk w JOIN numbered n ON n.customer = w.customer AND n.id = w.id AND n.place = w.place + 1
)
SELECT record.* FROM record JOIN walk USING (arrival) WHERE walk.counts;

-- Of several records with one order_id the least one is the order.
CREATE OR REPLACE TEMP TABLE placed AS
SELECT customer, order_id, et, day, revenue, discount, items, cost
FROM counted WHERE name = 'order_completed'
QUALIFY row_number() OVER (
    PARTITION BY customer, order_id ORDER BY et, revenue, discount, items, coalesce(cost, -1)
) = 1;

CREATE OR REPLACE TEMP TABLE settled AS
WITH returned AS (
    SELECT o.customer, o.order_id,
           count(*) FILTER (r.name = 'order_refunded') AS refunds,
           coalesce(sum(r.revenue) FILTER (r.name = 'order_refunded'), 0) AS given_back,
           bool_or(r.name = 'order_cancelled') AS cancelled
    FROM placed o JOIN counted r ON r.customer = o.customer AND r.order_id = o.order_id
    WHERE r.name IN ('order_refunded', 'order_cancelled')
      AND r.et BETWEEN o.et - 24 * 3600000 AND o.et + 365 * 24 * 3600000::BIGINT
    GROUP BY ALL
), judged AS (
    SELECT o.*, coalesce(given_back, 0) AS given_back,
           coalesce(cancelled OR (refunds > 0 AND given_back >= revenue), false) AS void
    FROM placed o LEFT JOIN returned USING (customer, order_id)
)
SELECT *, CASE WHEN void THEN 0 ELSE greatest(0, revenue - given_back) END AS net FROM judged;

-- Sessions: clickstream and app by time; a gap of more than 30 min splits.
CREATE OR REPLACE TEMP TABLE session AS
WITH gapped AS (
    SELECT customer, et, day,
           et - lag(et) OVER (PARTITION BY customer ORDER BY et, arrival) > 1800000 AS splits, arrival
    FROM counted WHERE topic IN ('clickstream', 'app')
), numbered AS (
    SELECT *, count(*) FILTER (splits) OVER (
        PARTITION BY customer ORDER BY et, arrival ROWS UNBOUNDED PRECEDING) AS number
    FROM gapped
)
SELECT customer, min(et) AS first, max(et) AS last, count(*) AS events, min(day) AS day,
       getvariable('t') > max(et) + 1800000 AS closed
FROM numbered GROUP BY customer, number;

CREATE OR REPLACE TEMP TABLE contribution AS
SELECT customer, et, day, measure, 1::BIGINT AS amount FROM counted JOIN (VALUES
    ('page_viewed', 'page_views'), ('product_viewed', 'product_views'), ('product_searched', 'searches'),
    ('product_added', 'cart_adds'), ('checkout_started', 'checkouts'), ('app_opened', 'app_opens'),
    ('feature_used', 'feature_uses'), ('scan_paid', 'scan_pays'), ('shared', 'shares'),
    ('referral_sent', 'referrals_sent'), ('referral_converted', 'referrals_converted'),
    ('survey_answered', 'feedback_answers'), ('complaint_opened', 'complaints_opened'),
    ('complaint_resolved', 'complaints_resolved'), ('support_contacted', 'support_contacts'),
    ('return_requested', 'returns')) AS counts(name, measure) USING (name)
UNION ALL SELECT customer, et, day, 'social_actions', 1 FROM counted WHERE topic = 'social'
UNION ALL SELECT customer, et, day, 'refunds', revenue FROM counted WHERE name = 'order_refunded'
UNION ALL SELECT customer, et, day, unnest(['csat_sum', 'csat_answers', 'csat_top2']),
                 unnest([score, 1, (score >= 4)::INT])
          FROM counted WHERE name = 'survey_answered' AND survey = 'csat' AND score IS NOT NULL
UNION ALL SELECT customer, et, day, unnest(['items', 'discount']), unnest([items, discount]) FROM settled
UNION ALL SELECT customer, et, day, unnest(['orders', 'revenue', 'discounted_orders']),
                 unnest([1, net, (discount > 0)::INT])
          FROM settled WHERE NOT void
UNION ALL SELECT customer, et, day, 'profit', net - cost FROM settled WHERE cost IS NOT NULL
UNION ALL SELECT customer, first, day, 'sessions', 1 FROM session
UNION ALL SELECT customer, first, day, unnest(['sessions_closed', 'session_ms', 'session_events', 'bounces']),
                 unnest([1, last - first, events, (events = 1)::INT])
          FROM session WHERE closed;

CREATE OR REPLACE TEMP MACRO within(et, width, n) AS
    et // width > getvariable('t') // width - n AND et // width <= getvariable('t') // width;
CREATE OR REPLACE TEMP MACRO within_days(day, n) AS
    day > getvariable('today') - n AND day <= getvariable('today');

CREATE OR REPLACE TEMP TABLE measured AS
WITH spanned AS (
    SELECT *, unnest(list_filter([
        CASE WHEN within(et, 300000, 12) THEN '1h' END, CASE WHEN within(et, 3600000, 24) THEN '24h' END,
        CASE WHEN within_days(day, 7) THEN '7d' END, CASE WHEN within_days(day, 30) THEN '30d' END,
        CASE WHEN within_days(day, 90) THEN '90d' END, 'lifetime'], lambda s: s IS NOT NULL)) AS span
    FROM contribution
), present AS (
    SELECT customer, '1h' AS span, day FROM counted WHERE within(et, 300000, 12)
    UNION ALL SELECT customer, '24h', hour_day FROM counted WHERE within(et, 3600000, 24)
    UNION ALL SELECT customer, '7d', day FROM counted WHERE within_days(day, 7)
    UNION ALL SELECT customer, '30d', day FROM counted WHERE within_days(day, 30)
    UNION ALL SELECT customer, '90d', day FROM counted WHERE within_days(day, 90)
    UNION ALL SELECT customer, 'lifetime', day FROM counted
)
SELECT customer, measure || '_' || span AS name, sum(amount)::BIGINT AS amount FROM spanned GROUP BY ALL
UNION ALL SELECT customer, 'active_days_' || span, count(DISTINCT day) FROM present GROUP BY ALL;

-- The order list: at most 365 d old (closed), not void.
CREATE OR REPLACE TEMP TABLE listed AS
SELECT *, et - lag(et) OVER (PARTITION BY customer ORDER BY et, order_id) AS gap
FROM settled WHERE NOT void AND et >= getvariable('t') - 365 * 24 * 3600000::BIGINT;

CREATE OR REPLACE TEMP TABLE pointed AS
SELECT customer, min(et) AS first_seen, max(et) AS last_seen,
       min(et) FILTER (name = 'order_completed') AS first_order,
       arg_max(score, (et, score)) FILTER (name = 'survey_answered' AND survey = 'nps' AND score IS NOT NULL) AS last_nps,
       greatest(0, count(*) FILTER (name = 'complaint_opened') - count(*) FILTER (name = 'complaint_resolved'))
           AS complaints_open,
       arg_max(age, (et, age)) FILTER (topic = 'identity' AND age IS NOT NULL) AS age,
       arg_max(gender, (et, gender)) FILTER (topic = 'identity' AND gender IS NOT NULL) AS gender,
       arg_max(occupation, (et, occupation)) FILTER (topic = 'identity' AND occupation IS NOT NULL) AS occupation,
       arg_max(city, (et, city)) FILTER (topic = 'identity' AND city IS NOT NULL) AS city,
       arg_max(country, (et, country)) FILTER (topic = 'identity' AND country IS NOT NULL) AS country,
       coalesce(any_value(f), 0) AS F, coalesce(any_value(m), 0)::BIGINT AS M,
       any_value(last_order) AS last_order,
       (getvariable('t') - any_value(last_order)) // (24 * 3600000) AS R,
       coalesce(any_value(gap_count), 0) AS gap_count, coalesce(any_value(gap_sum), 0)::BIGINT AS gap_sum
FROM counted
LEFT JOIN (SELECT customer, max(et) AS last_order FROM settled WHERE NOT void GROUP BY customer) USING (customer)
LEFT JOIN (SELECT customer, count(*) AS f, sum(net) AS m, count(*) FILTER (gap > 24 * 3600000) AS gap_count,
                  sum(gap) FILTER (gap > 24 * 3600000) AS gap_sum FROM listed GROUP BY customer) USING (customer)
GROUP BY customer;

CREATE OR REPLACE TEMP TABLE tallied AS
SELECT customer, 'channels' AS list, channel AS key, count(*) AS n FROM counted GROUP BY ALL
UNION ALL SELECT customer, 'hours', clock_hour::VARCHAR, count(*) FROM counted GROUP BY ALL
UNION ALL SELECT customer, 'categories', key, count(*) FROM (
    SELECT customer, category AS key FROM counted WHERE topic = 'clickstream' AND category IS NOT NULL
    UNION ALL SELECT customer, line.category FROM counted JOIN line USING (arrival)
              WHERE name = 'order_completed' AND line.category IS NOT NULL) GROUP BY ALL;
