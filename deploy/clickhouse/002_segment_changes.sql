-- Every segment change once: the change_id is deterministic, so a repeated message is the same row.
CREATE TABLE IF NOT EXISTS footfall.segment_changes_log
(
    change_id         String,
    customer_id       String,
    sequence          UInt64 COMMENT '1, 2, 3 ... per customer and driver' CODEC(Delta, ZSTD),
    driver            LowCardinality(String) COMMENT 'rule or model',
    segment           LowCardinality(String),
    segment_group     LowCardinality(String) COMMENT 'empty outside groups',
    from_segment      LowCardinality(String),
    to_segment        LowCardinality(String),
    direction         LowCardinality(String) COMMENT 'entered or exited',
    effective_time    DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    cause             String COMMENT 'event <id>, tick, breakpoints vN or rule <version>',
    evidence          Map(String, String) COMMENT 'the traits the condition read',
    churn_probability Nullable(Float64),
    suggested_action  String,
    rule_version      LowCardinality(String),
    kafka_partition   UInt16,
    kafka_offset      UInt64 CODEC(Delta, ZSTD),
    -- The first message of an id stays: its churn probability is the one that went out first.
    precedence UInt64 MATERIALIZED 18446744073709551615 - kafka_offset,
    inserted_at DateTime64(3, 'UTC') MATERIALIZED now64(3, 'UTC'),
    INDEX by_time effective_time TYPE minmax
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (customer_id, change_id);

-- The sorting key is a function of the change_id and nothing partitions the table, so FINAL alone is exact.
CREATE OR REPLACE VIEW footfall.segment_changes AS
SELECT * FROM footfall.segment_changes_log FINAL;
