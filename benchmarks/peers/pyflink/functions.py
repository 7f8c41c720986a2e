"""What PyFlink calls for each event of a customer: decode, the job's own functions, the message."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import fastavro
from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor

from benchmarks.peers import job
from benchmarks.peers.plan import Plan

_HEADER_BYTES: Final = 5
OUTPUT: Final = Types.ROW_NAMED(["customer", "body"], [Types.STRING(), Types.PRIMITIVE_ARRAY(Types.BYTE())])
"""Of every function here: key and value of the message."""

Decode = Callable[[bytes], dict[str, Any]]


def decoder(path: str) -> Decode:
    """Decodes the values of a topic with this .avsc, all fields. Times stay numbers: datetimes cost more."""
    schema: Any = fastavro.parse_schema(_plain(json.loads(Path(path).read_text(encoding="utf-8"))), named_schemas={})
    read: Any = fastavro.schemaless_reader
    return lambda value: read(BytesIO(value[_HEADER_BYTES:]), schema, None)


def _plain(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if isinstance(schema, dict):
        return {key: _plain(part) for key, part in schema.items() if key != "logicalType"}
    return schema


class Profile(KeyedProcessFunction):
    """The shared job. Elements are (customer, topic, body)."""

    def __init__(self, schemas: Mapping[str, str], model: str) -> None:
        self._schemas, self._model_path = schemas, model

    def open(self, context: RuntimeContext) -> None:
        """Once in the worker, which gets this object pickled: decoders and model are made here."""
        self._decoders = {topic: decoder(path) for topic, path in self._schemas.items()}
        self._model = job.load_model(self._model_path)
        self._state: Any = context.get_state(ValueStateDescriptor("customer", Types.PICKLED_BYTE_ARRAY()))

    def process_element(self, value: Row, _context: KeyedProcessFunction.Context) -> Iterator[Row]:
        """One event, one message."""
        customer, topic, body = value
        state = job.take(self._state.value() or job.new_state(), self._decoders[topic](body))
        self._state.update(state)
        sums = job.totals(state, state["as_of"])
        churn = self._model.predict_proba_one(job.features(state, sums))[True]
        yield Row(customer, job.message(customer, state, sums, churn))


class Small(KeyedProcessFunction):
    """The calibrating job of small.py: count and sum of a customer's events of five fields."""

    def __init__(self, schemas: Mapping[str, str]) -> None:
        self._schemas = schemas

    def open(self, context: RuntimeContext) -> None:
        """As above."""
        self._decoders = {topic: decoder(path) for topic, path in self._schemas.items()}
        self._state: Any = context.get_state(ValueStateDescriptor("customer", Types.PICKLED_BYTE_ARRAY()))

    def process_element(self, value: Row, _context: KeyedProcessFunction.Context) -> Iterator[Row]:
        """One event, one message."""
        customer, topic, body = value
        event = self._decoders[topic](body)
        count, total = self._state.value() or (0, 0)
        count, total = count + 1, total + event["amount"]
        self._state.update((count, total))
        yield Row(customer, f'{{"customer_id":"{customer}","count":{count},"sum":{total}}}'.encode())


def function(plan: Plan) -> KeyedProcessFunction:
    """PEER_JOB=small asks for the calibrating one."""
    if os.environ.get("PEER_JOB") == "small":
        return Small(plan.schemas)
    return Profile(plan.schemas, plan.model)
