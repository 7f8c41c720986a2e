"""A worker as a process of its own, to be killed: `program.py BOOTSTRAP SESSION GROUP FENCES MODE TOPIC...`.

Its durable state is the file FENCES: one line `topic partition first next` for every chunk applied. MODE `fence`
resumes from it, `kafka` from the committed offsets; `broken` raises in the third poll; `hung` never ends one, `thread`
waits for a thread that does not; after the third poll the consumer of `silent` fetches no more, and the agent of `deaf`
takes nothing any more.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from schemas.errors import StalledError
from schemas.events import Chunk
from streams.kafka.app import build_app
from streams.kafka.chunks import TopicPartition
from streams.kafka.config import KafkaConfig
from streams.kafka.watchdog import STALLED_EXIT_CODE, Watchdog
from streams.kafka.worker import Handlers, Worker


def positions(fences: Path) -> dict[TopicPartition, int]:
    found: dict[TopicPartition, int] = {}
    for line in fences.read_text().splitlines():
        topic, partition, _, after = line.split()
        found[(topic, int(partition))] = max(int(after), found.get((topic, int(partition)), 0))
    return found


class Role:
    def __init__(self, fences: Path, mode: str) -> None:
        self._fences = fences
        self._mode = mode
        self._polls = 0
        self.third: Callable[[], None] | None = None
        """Called after the third poll."""
        self._file = os.open(fences, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def handle_poll(self, chunks: list[Chunk]) -> None:
        self._polls += 1
        if self._polls == 3 and self._mode == "broken":
            raise ZeroDivisionError("a bug in the role")
        for chunk in chunks:
            await asyncio.sleep(0.005)  # a kill falls between two chunks
            os.write(self._file, f"{chunk.topic} {chunk.partition} {chunk.first} {chunk.next}\n".encode())
        if self._mode == "hung":
            await asyncio.sleep(3600)
        if self._mode == "thread":
            await asyncio.to_thread(time.sleep, 30)
        if self._polls == 3 and self.third is not None:
            self.third()

    async def on_assigned(self, tps: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        if self._mode == "kafka":
            return {}
        fences = positions(self._fences)
        return {tp: fences.get(tp, 0) for tp in tps}

    async def on_revoked(self, tps: Collection[TopicPartition]) -> None:
        """Nothing is kept in memory."""


async def main(watchdog: Watchdog, *arguments: str) -> None:
    bootstrap, session, group, fences, mode, *topics = arguments
    config = KafkaConfig(
        bootstrap,
        max_poll_records=50,
        session_timeout=float(session),
        heartbeat_interval=0.5,
        rebalance_timeout=2.0,
        commit_interval=0.02,
        drain_timeout=2.0,
        stall_timeout=2.0 if mode == "hung" else 120.0,
        silence_timeout=2.0,
    )
    role = Role(Path(fences), mode)
    app = build_app(config, group, topics)
    handlers = Handlers(role.handle_poll, role.on_assigned, role.on_revoked, on_stalled=told)
    worker = Worker(app, handlers, watchdog=watchdog)
    role.third = {"silent": lambda: silence(app), "deaf": lambda: deafen(worker)}.get(mode)
    await worker.run()


def told(kind: str) -> None:
    print("told:", kind, flush=True)  # a watchdog ends the process at once


def silence(app: Any) -> None:
    """From now on no fetch comes to its end, and nobody is told."""

    async def never(*_: Any) -> None:
        await asyncio.sleep(3600)

    app.consumer._thread._ensure_consumer()._fetcher._proc_fetch_request = never


def deafen(worker: Any) -> None:
    """From now on chunks that are handed over disappear, as with an agent that has died quietly."""
    worker._assembler = SimpleNamespace(add=lambda _chunk: None)


if __name__ == "__main__":
    try:
        with closing(Watchdog()) as ended_by:
            asyncio.run(main(ended_by, *sys.argv[1:]))
    except StalledError as error:
        print(error)
        sys.exit(STALLED_EXIT_CODE)
