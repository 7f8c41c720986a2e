-- Profiles: `profiles_log` keeps every version, `profiles_latest` the newest per customer. `traits` is the whole
-- profile as JSON; `parsed` holds the commonly asked ones, read from it in one pass: for the newest version when it is
-- written, for the history when it is asked. Traits that are 0 are not in the JSON, so an absent number reads as 0.
CREATE TABLE IF NOT EXISTS footfall.profiles_log
(
    customer_id     String,
    version         UInt64 CODEC(Delta, ZSTD),
    as_of           DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    traits          String CODEC(ZSTD),
    kafka_partition UInt16,
    kafka_offset    UInt64 CODEC(Delta, ZSTD),
    inserted_at DateTime64(3, 'UTC') MATERIALIZED now64(3, 'UTC'),
    INDEX by_time as_of TYPE minmax
)
ENGINE = ReplacingMergeTree(kafka_offset)
ORDER BY (customer_id, version);

CREATE TABLE IF NOT EXISTS footfall.profiles_latest
(
    customer_id String,
    version     UInt64,
    as_of       DateTime64(3, 'UTC'),
    traits      String CODEC(ZSTD),
    parsed Tuple(
        first_seen Int64,
        last_seen Int64,
        first_order Int64,
        last_order Int64,
        activity String,
        value String,
        rfm String,
        rfm_class String,
        rfm_scores Array(UInt8),
        frequency Int64,
        monetary Int64,
        orders_30d Int64,
        orders_90d Int64,
        orders_lifetime Int64,
        revenue_30d Int64,
        revenue_90d Int64,
        revenue_lifetime Int64,
        refunds_lifetime Int64,
        page_views_30d Int64,
        page_views_lifetime Int64,
        sessions_30d Int64,
        sessions_lifetime Int64,
        active_days_30d Int64,
        active_days_lifetime Int64,
        cart_adds_30d Int64,
        support_contacts_90d Int64,
        complaints_opened_lifetime Int64,
        complaints_resolved_lifetime Int64,
        last_nps Nullable(Int64),
        age String,
        gender String,
        occupation String,
        city String,
        country String,
        segments Map(String, String),
        churn Tuple(probability Nullable(Float64), model_version Nullable(UInt64)))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY customer_id;

-- A replayed block writes rows that profiles_latest already holds: the same version wins again.
CREATE MATERIALIZED VIEW IF NOT EXISTS footfall.profiles_feed TO footfall.profiles_latest AS
SELECT
    customer_id,
    version,
    as_of,
    traits,
    JSONExtract(traits,
        'Tuple(first_seen Int64, last_seen Int64, first_order Int64, last_order Int64, activity String,
        value String, rfm String, rfm_class String, rfm_scores Array(UInt8), frequency Int64, monetary Int64,
        orders_30d Int64, orders_90d Int64, orders_lifetime Int64, revenue_30d Int64, revenue_90d Int64,
        revenue_lifetime Int64, refunds_lifetime Int64, page_views_30d Int64, page_views_lifetime Int64,
        sessions_30d Int64, sessions_lifetime Int64, active_days_30d Int64, active_days_lifetime Int64,
        cart_adds_30d Int64, support_contacts_90d Int64, complaints_opened_lifetime Int64,
        complaints_resolved_lifetime Int64, last_nps Nullable(Int64), age String, gender String,
        occupation String, city String, country String, segments Map(String, String),
        churn Tuple(probability Nullable(Float64), model_version Nullable(UInt64)))') AS parsed
FROM footfall.profiles_log;

-- One row per customer: the newest version.
CREATE OR REPLACE VIEW footfall.profiles AS
SELECT
    customer_id,
    version,
    as_of,
    fromUnixTimestamp64Milli(parsed.first_seen, 'UTC') AS first_seen,
    fromUnixTimestamp64Milli(parsed.last_seen, 'UTC') AS last_seen,
    if(parsed.first_order = 0, NULL, fromUnixTimestamp64Milli(parsed.first_order, 'UTC')) AS first_order,
    if(parsed.last_order = 0, NULL, fromUnixTimestamp64Milli(parsed.last_order, 'UTC')) AS last_order,
    parsed.activity AS activity,
    parsed.value AS value,
    parsed.rfm AS rfm,
    parsed.rfm_class AS rfm_class,
    parsed.rfm_scores AS rfm_scores,
    parsed.frequency AS frequency,
    CAST(parsed.monetary, 'Decimal(18, 2)') / 100 AS monetary_amount,
    parsed.orders_30d AS orders_30d,
    parsed.orders_90d AS orders_90d,
    parsed.orders_lifetime AS orders_lifetime,
    CAST(parsed.revenue_30d, 'Decimal(18, 2)') / 100 AS revenue_30d_amount,
    CAST(parsed.revenue_90d, 'Decimal(18, 2)') / 100 AS revenue_90d_amount,
    CAST(parsed.revenue_lifetime, 'Decimal(18, 2)') / 100 AS revenue_lifetime_amount,
    CAST(parsed.refunds_lifetime, 'Decimal(18, 2)') / 100 AS refunds_lifetime_amount,
    parsed.page_views_30d AS page_views_30d,
    parsed.page_views_lifetime AS page_views_lifetime,
    parsed.sessions_30d AS sessions_30d,
    parsed.sessions_lifetime AS sessions_lifetime,
    parsed.active_days_30d AS active_days_30d,
    parsed.active_days_lifetime AS active_days_lifetime,
    parsed.cart_adds_30d AS cart_adds_30d,
    parsed.support_contacts_90d AS support_contacts_90d,
    greatest(0, parsed.complaints_opened_lifetime - parsed.complaints_resolved_lifetime) AS complaints_open,
    parsed.last_nps AS last_nps,
    parsed.age AS age,
    parsed.gender AS gender,
    parsed.occupation AS occupation,
    parsed.city AS city,
    parsed.country AS country,
    parsed.segments AS segments,
    parsed.churn.probability AS churn_probability,
    parsed.churn.model_version AS churn_model_version,
    traits
FROM footfall.profiles_latest FINAL;

-- One row per customer and version.
CREATE OR REPLACE VIEW footfall.profiles_history AS
SELECT
    customer_id,
    version,
    as_of,
    fromUnixTimestamp64Milli(parsed.first_seen, 'UTC') AS first_seen,
    fromUnixTimestamp64Milli(parsed.last_seen, 'UTC') AS last_seen,
    if(parsed.first_order = 0, NULL, fromUnixTimestamp64Milli(parsed.first_order, 'UTC')) AS first_order,
    if(parsed.last_order = 0, NULL, fromUnixTimestamp64Milli(parsed.last_order, 'UTC')) AS last_order,
    parsed.activity AS activity,
    parsed.value AS value,
    parsed.rfm AS rfm,
    parsed.rfm_class AS rfm_class,
    parsed.rfm_scores AS rfm_scores,
    parsed.frequency AS frequency,
    CAST(parsed.monetary, 'Decimal(18, 2)') / 100 AS monetary_amount,
    parsed.orders_30d AS orders_30d,
    parsed.orders_90d AS orders_90d,
    parsed.orders_lifetime AS orders_lifetime,
    CAST(parsed.revenue_30d, 'Decimal(18, 2)') / 100 AS revenue_30d_amount,
    CAST(parsed.revenue_90d, 'Decimal(18, 2)') / 100 AS revenue_90d_amount,
    CAST(parsed.revenue_lifetime, 'Decimal(18, 2)') / 100 AS revenue_lifetime_amount,
    CAST(parsed.refunds_lifetime, 'Decimal(18, 2)') / 100 AS refunds_lifetime_amount,
    parsed.page_views_30d AS page_views_30d,
    parsed.page_views_lifetime AS page_views_lifetime,
    parsed.sessions_30d AS sessions_30d,
    parsed.sessions_lifetime AS sessions_lifetime,
    parsed.active_days_30d AS active_days_30d,
    parsed.active_days_lifetime AS active_days_lifetime,
    parsed.cart_adds_30d AS cart_adds_30d,
    parsed.support_contacts_90d AS support_contacts_90d,
    greatest(0, parsed.complaints_opened_lifetime - parsed.complaints_resolved_lifetime) AS complaints_open,
    parsed.last_nps AS last_nps,
    parsed.age AS age,
    parsed.gender AS gender,
    parsed.occupation AS occupation,
    parsed.city AS city,
    parsed.country AS country,
    parsed.segments AS segments,
    parsed.churn.probability AS churn_probability,
    parsed.churn.model_version AS churn_model_version,
    traits
FROM
(
    SELECT *, JSONExtract(traits,
        'Tuple(first_seen Int64, last_seen Int64, first_order Int64, last_order Int64, activity String,
        value String, rfm String, rfm_class String, rfm_scores Array(UInt8), frequency Int64, monetary Int64,
        orders_30d Int64, orders_90d Int64, orders_lifetime Int64, revenue_30d Int64, revenue_90d Int64,
        revenue_lifetime Int64, refunds_lifetime Int64, page_views_30d Int64, page_views_lifetime Int64,
        sessions_30d Int64, sessions_lifetime Int64, active_days_30d Int64, active_days_lifetime Int64,
        cart_adds_30d Int64, support_contacts_90d Int64, complaints_opened_lifetime Int64,
        complaints_resolved_lifetime Int64, last_nps Nullable(Int64), age String, gender String,
        occupation String, city String, country String, segments Map(String, String),
        churn Tuple(probability Nullable(Float64), model_version Nullable(UInt64)))') AS parsed
    FROM footfall.profiles_log FINAL
);
