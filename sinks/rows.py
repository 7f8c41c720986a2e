"""Which column of the warehouse holds which field: batches and results become Arrow tables.

Arrow because it is frozen and compact (a block that waits for ClickHouse costs its bytes, not Python objects) and is
sent as it is. An absent value is null here; ClickHouse puts the column's default in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any, Final

import pyarrow as pa

from schemas.events import EventBatch
from schemas.results import ProfileUpdate, SegmentChange
from schemas.topics import APP, CLICKSTREAM, FEEDBACK, IDENTITY, PURCHASE, SOCIAL

_TEXT: Final = pa.string()
_LONG: Final = pa.int64()
_REAL: Final = pa.float64()
_TIME: Final = pa.timestamp("ms", "UTC")
_PARTITION: Final = pa.uint16()
_OFFSET: Final = pa.uint64()

_MAP: Final = pa.map_(_TEXT, _TEXT)
_CAMPAIGN: Final = pa.struct([("source", _TEXT), ("medium", _TEXT), ("name", _TEXT)])
_CAMPAIGN_COLUMNS: Final = ("campaign_source", "campaign_medium", "campaign_name")

_ENVELOPE: Final = {
    "anonymous_id": _TEXT, "session_id": _TEXT, "source": _TEXT, "channel": _TEXT, "properties": _MAP,
}  # fmt: skip
_MONEY: Final = frozenset({"price", "revenue", "discount", "cost"})
_OWN: Final[dict[str, dict[str, Any]]] = {
    CLICKSTREAM: {
        "url": _TEXT, "referrer": _TEXT, "product_id": _TEXT, "category": _TEXT, "query": _TEXT, "dwell_ms": _LONG,
        "price": _LONG,
    },
    PURCHASE: {
        "order_id": _TEXT, "currency": _TEXT, "revenue": _LONG, "discount": _LONG, "cost": _LONG, "coupon": _TEXT,
    },
    APP: {
        "app_version": _TEXT, "os": _TEXT, "feature": _TEXT, "screen": _TEXT, "duration_ms": _LONG, "lat": _REAL,
        "lon": _REAL,
    },
    SOCIAL: {"network": _TEXT, "content_id": _TEXT, "sentiment": _REAL, "referred_customer_id": _TEXT},
    FEEDBACK: {
        "survey": _TEXT, "score": _LONG, "topic": _TEXT, "reason": _TEXT, "text": _TEXT, "order_id": _TEXT,
    },
    IDENTITY: {
        "age": _LONG, "gender": _TEXT, "occupation": _TEXT, "city": _TEXT, "country": _TEXT, "email_hash": _TEXT,
        "phone_hash": _TEXT, "previous_id": _TEXT,
    },
}  # fmt: skip
_ITEM: Final = {"product_id": _TEXT, "category": _TEXT, "quantity": _LONG, "price": _LONG}
_RENAMED: Final = {"topic": "feedback_topic"}
"""`topic` is the Kafka topic in the table; what feedback is about has another name there."""
_CHANGE_RENAMED: Final = {"group": "segment_group"}
"""`GROUP` is a word of SQL."""

EVENTS: Final = "events_log"
CHANGES: Final = "segment_changes_log"
PROFILE_VERSIONS: Final = "profiles_log"


def event_rows(batch: EventBatch) -> Any:
    """The rows of `events_log` for a batch, in its order (an Arrow table)."""
    size = len(batch)
    columns = {
        "topic": pa.repeat(batch.topic, size),
        "kafka_partition": pa.repeat(pa.scalar(batch.partition, _PARTITION), size),
        "kafka_offset": pa.array(batch.offsets, _OFFSET),
        "append_time": _times(batch.append_times),
        "event_time": _times(batch.event_time),
        "received_time": _times(batch.received_time),
        "event_id": pa.array(batch.event_id, _TEXT),
        "customer_id": pa.array(batch.customer_id, _TEXT),
        "name": pa.array(batch.name, _TEXT),
    }
    for name, kind in chain(_ENVELOPE.items(), _OWN[batch.topic].items()):
        column = _column(batch, name, kind)
        if column is not None:
            columns[_RENAMED.get(name, name)] = column
    campaign = _column(batch, "campaign", _CAMPAIGN)
    if campaign is not None:
        columns |= dict(zip(_CAMPAIGN_COLUMNS, campaign.flatten(), strict=True))
    if batch.topic == PURCHASE:
        columns |= _items(batch.column("items"))
    return pa.table(columns)


def _column(batch: EventBatch, name: str, kind: Any) -> Any:
    """A column as Arrow; None where no row has a value of its own. Money is taken after conversion."""
    if batch.arrow is None or name in _MONEY:
        values = batch.column(name)
        return _maps(values) if kind == _MAP else pa.array(values, kind)
    array = batch.arrow(name)
    return array if array is None or array.type == kind else array.cast(kind)


def change_columns(batch: Any, partition: int, offsets: Sequence[int]) -> Any:
    """As `change_rows`, of the record batch that records of `segment-changes` decode to."""
    columns = {_CHANGE_RENAMED.get(name, name): batch.column(name) for name in batch.schema.names}
    columns["sequence"] = columns["sequence"].cast(pa.uint64())
    columns["effective_time"] = columns["effective_time"].cast(_TIME)
    columns["evidence"] = columns["evidence"].cast(_MAP)
    return pa.table(columns | _origin(partition, offsets))


def profile_columns(batch: Any, partition: int, offsets: Sequence[int]) -> Any:
    """As `profile_rows`, of the record batch that records of `profiles` decode to."""
    columns = {
        "customer_id": batch.column("customer_id"),
        "version": batch.column("version").cast(pa.uint64()),
        "as_of": batch.column("as_of").cast(_TIME),
        "traits": batch.column("traits"),
    }
    return pa.table(columns | _origin(partition, offsets))


def change_rows(changes: Sequence[SegmentChange], partition: int, offsets: Sequence[int]) -> Any:
    """The rows of `segment_changes_log` (an Arrow table); one offset a change."""
    texts = (
        "change_id", "customer_id", "driver", "segment", "from_segment", "to_segment", "direction", "cause",
        "suggested_action", "rule_version",
    )  # fmt: skip
    columns = {name: pa.array([getattr(change, name) for change in changes], _TEXT) for name in texts}
    columns["segment_group"] = pa.array([change.group for change in changes], _TEXT)
    columns["sequence"] = pa.array([change.sequence for change in changes], pa.uint64())
    columns["effective_time"] = _times([change.effective_time for change in changes])
    columns["evidence"] = _maps([change.evidence for change in changes])
    columns["churn_probability"] = pa.array([change.churn_probability for change in changes], _REAL)
    return pa.table(columns | _origin(partition, offsets))


def profile_rows(updates: Sequence[ProfileUpdate], partition: int, offsets: Sequence[int]) -> Any:
    """The rows of `profiles_log` (an Arrow table); one offset an update."""
    columns = {
        "customer_id": pa.array([update.customer_id for update in updates], _TEXT),
        "version": pa.array([update.version for update in updates], pa.uint64()),
        "as_of": _times([update.as_of for update in updates]),
        "traits": pa.array([update.traits for update in updates], pa.binary()).cast(_TEXT),
    }
    return pa.table(columns | _origin(partition, offsets))


def joined(tables: Sequence[Any]) -> Any:
    """Tables below each other; a column that one of them lacks is null there."""
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def _origin(partition: int, offsets: Sequence[int]) -> dict[str, Any]:
    return {
        "kafka_partition": pa.repeat(pa.scalar(partition, _PARTITION), len(offsets)),
        "kafka_offset": pa.array(offsets, _OFFSET),
    }


def _times(instants: Sequence[int]) -> Any:
    return pa.array(instants, _LONG).cast(_TIME)


def _maps(rows: Sequence[Mapping[str, str]]) -> Any:
    keys = pa.array(list(chain.from_iterable(rows)), _TEXT)
    values = pa.array(list(chain.from_iterable(row.values() for row in rows)), _TEXT)
    return pa.MapArray.from_arrays(_offsets(rows), keys, values)


def _items(rows: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    offsets, flat = _offsets(rows), list(chain.from_iterable(rows))
    return {
        f"items.{name}": pa.ListArray.from_arrays(offsets, pa.array([item[name] for item in flat], kind))
        for name, kind in _ITEM.items()
    }


def _offsets(rows: Iterable[Any]) -> Any:
    return pa.array(accumulate(map(len, rows), initial=0), pa.int32())
