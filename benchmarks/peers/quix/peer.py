"""The shared job on Quix Streams: six topics concatenated, state in RocksDB with a changelog topic."""

from __future__ import annotations

import os
import sys
from functools import reduce
from pathlib import Path
from typing import Any, Final

from quixstreams import Application
from quixstreams.models import Deserializer, SerializationContext

from benchmarks.peers.decode import Decode
from benchmarks.peers.plan import Plan
from benchmarks.peers.work import Work, work_of

CONSUMER: Final = {"fetch.wait.max.ms": 50}
"""At the start 48 questions for offsets wait behind a fetch each: half a second, by default."""
PRODUCER: Final = {"linger.ms": 50, "compression.type": "lz4", "queue.buffering.max.messages": 500_000}


class Events(Deserializer):
    """A topic's values, decoded. A clock marker has none and never comes here."""

    def __init__(self, decode: Decode) -> None:
        super().__init__()
        self._decode = decode

    def __call__(self, value: bytes, ctx: SerializationContext) -> dict[str, Any]:
        return self._decode(ctx.topic, value)


def application_of(plan: Plan) -> Application:
    """Settings beside the defaults are explained in README.md."""
    return Application(
        broker_address=plan.bootstrap,
        consumer_group=plan.group,
        auto_offset_reset="earliest",
        processing_guarantee=os.environ.get("PEER_GUARANTEE", "at-least-once"),
        state_dir=plan.state_dir,
        consumer_poll_timeout=0.1,
        consumer_extra_config=CONSUMER,
        producer_extra_config=PRODUCER,
        loglevel="WARNING",
    )


def build(application: Application, plan: Plan, work: Work) -> None:
    """The flow, which the application keeps."""
    deserializer = Events(work.decode)
    topics = [application.topic(name, value_deserializer=deserializer) for name in plan.inputs]
    for topic in topics:  # the changelog's options are made of theirs, and the embedded broker tells none
        topic.broker_config.extra_config.setdefault("retention.ms", "-1")
    frames = [application.dataframe(topic) for topic in topics]
    merged = reduce(lambda one, other: one.concat(other), frames)

    def profile(event: dict[str, Any], state: Any) -> bytes:
        customer = event["customer_id"]
        kept = work.take(state.get("profile") or work.new_state(), event)
        state.set("profile", kept)
        return work.message(customer, kept)

    profiles = merged.filter(lambda event: event is not None).apply(profile, stateful=True)
    profiles.to_topic(application.topic(plan.output, value_serializer="bytes"))


def main(path: str) -> int:
    """Run until SIGTERM, which Quix Streams takes by itself: it commits and ends."""
    plan = Plan.read(Path(path))
    application = application_of(plan)
    build(application, plan, work_of(plan))
    application.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
