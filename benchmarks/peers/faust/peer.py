"""The shared job on Faust: one agent, one event after the other, state in Redis."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import faust
import orjson
from redis.asyncio import Redis

from benchmarks.peers.plan import Plan
from benchmarks.peers.work import work_of

plan = Plan.read(Path(os.environ["PEER_PLAN"]))
work = work_of(plan)
app = faust.App(
    plan.group,
    broker=f"aiokafka://{plan.bootstrap}",
    datadir=plan.state_dir,
    key_serializer="raw",
    value_serializer="raw",
    topic_partitions=plan.partitions,
    topic_disable_leader=True,
    topic_allow_declare=False,
    cython_optimizations=True,
    web_enabled=False,
    producer_linger=0.05,
    producer_max_batch_size=1 << 20,
)
inputs = app.topic(*plan.inputs, key_type=bytes, value_type=bytes)
output = app.topic(plan.output, key_type=bytes, value_type=bytes)
states: Any = None
if plan.redis:  # a pool, a time limit for each answer and the newer protocol cost twice the time of a call together
    states = Redis.from_url(plan.redis, single_connection_client=True, socket_timeout=None, protocol=2)


async def load(customer: str) -> dict[str, Any]:
    """The state of a customer. Without a Redis there is none: what Faust itself costs, for the small job."""
    found = await states.get(customer) if states else None
    return orjson.loads(found) if found else work.new_state()


async def save(customer: str, state: dict[str, Any]) -> None:
    """Keep the state of a customer."""
    if states:
        await states.set(customer, orjson.dumps(state))


@app.agent(inputs)  # type: ignore[untyped-decorator]
async def profiles(stream: Any) -> None:
    """One event, one state, one message. More agents at once would lose updates: a customer's events share a state."""
    async for event in stream.events():
        if event.value is None:  # a clock marker
            continue
        decoded = work.decode(event.message.topic, event.value)
        customer = decoded["customer_id"]
        state = work.take(await load(customer), decoded)
        await save(customer, state)
        await output.send(key=event.key, value=work.message(customer, state))
