"""What PyFlink calls for each event of a customer: the job that all Python peers call, on keyed state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueStateDescriptor

from benchmarks.peers.plan import Plan
from benchmarks.peers.work import work_of

OUTPUT: Final = Types.ROW_NAMED(["customer", "body"], [Types.STRING(), Types.PRIMITIVE_ARRAY(Types.BYTE())])
"""Key and value of the message."""


class Profile(KeyedProcessFunction):
    """Elements are (customer, topic, body)."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def open(self, context: RuntimeContext) -> None:
        """Once in the worker, which gets this object pickled: decoders and model are made here."""
        self._work = work_of(self._plan)
        self._state: Any = context.get_state(ValueStateDescriptor("customer", Types.PICKLED_BYTE_ARRAY()))

    def process_element(self, value: Row, _context: KeyedProcessFunction.Context) -> Iterator[Row]:
        """One event, one message."""
        customer, topic, body = value
        state = self._work.take(self._state.value() or self._work.new_state(), self._work.decode(topic, body))
        self._state.update(state)
        yield Row(customer, self._work.message(customer, state))
