"""Events to framed Avro records, many at a time: columns in pyarrow, bytes in Rust, 4x what fastavro takes.

fastavro stays the reference: it encodes a block that the columnar way refuses, and thereby names the bad event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyruhvro

from schemas.codec import Encoder, encode_body, framed, schema_of
from schemas.errors import ConfigurationError
from streams.replay.envelope import Event, TopicEvent

_BLOCK: Final = 4_096
"""Events encoded at once: enough to spread the cost of a call, little enough to begin at once."""


class Outgoing(NamedTuple):
    """One event, ready to send. `time` is its time after the clamp, ms."""

    time: int
    topic: str
    key: bytes
    value: bytes


class BlockEncoder:
    """Frames events of one topic under its registered schema id."""

    def __init__(self, topic: str, schema_id: int) -> None:
        self._topic = topic
        self._rows = Encoder(topic, schema_id)
        self._header = framed(schema_id, b"")
        self._text = schema_of(topic).text
        fields = schema_of(topic).plain["fields"]
        self._defaults = {field["name"]: field["default"] for field in fields if "default" in field}
        self._columns: Any = pyruhvro.avro_to_arrow_schema(self._text)

    def encode(self, events: Sequence[Event]) -> list[bytes]:
        """The framed records, in order; absent fields get their defaults.

        Raises ValueError or TypeError where fastavro does: a field is missing or does not fit.
        """
        try:
            return self._encode_columns(events)
        except Exception:  # noqa: BLE001  whatever it was, the reference decides
            return [self._rows.encode(event) for event in events]

    def _encode_columns(self, events: Sequence[Event]) -> list[bytes]:
        full = [self._defaults | event for event in events]
        batch = pa.RecordBatch.from_pylist(full, schema=self._columns)
        (bodies,) = pyruhvro.serialize_record_batch(batch, self._text, 1)
        header = self._header
        return [header + body for body in bodies.to_pylist()]


def encoded(events: Iterable[TopicEvent], encoders: Mapping[str, BlockEncoder]) -> Iterator[Outgoing]:
    """The events as records, in order. Raises ConfigurationError for one that does not fit its topic's schema."""
    rest = iter(events)
    done = 0
    while block := list(islice(rest, _BLOCK)):
        yield from _encode_block(block, encoders, done)
        done += len(block)


def _encode_block(block: list[TopicEvent], encoders: Mapping[str, BlockEncoder], done: int) -> list[Outgoing]:
    by_topic: dict[str, list[Event]] = {}
    for topic, event in block:
        by_topic.setdefault(topic, []).append(event)
    try:
        values = {topic: iter(encoders[topic].encode(events)) for topic, events in by_topic.items()}
        return [
            Outgoing(
                min(event["event_time"], event["received_time"]),
                topic,
                event["customer_id"].encode(),
                next(values[topic]),
            )
            for topic, event in block
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _misfit(block, done) from error


def _misfit(block: list[TopicEvent], done: int) -> ConfigurationError:
    for number, (topic, event) in enumerate(block, start=done + 1):
        try:
            encode_body(schema_of(topic), event)
            event["customer_id"].encode()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return ConfigurationError(
                f"Event {number} of the history ({event.get('event_id', 'without event_id')}) does not fit the schema "
                f"of the topic {topic}: {error}."
            )
    return ConfigurationError(f"The events {done + 1} to {done + len(block)} of the history cannot be encoded.")
