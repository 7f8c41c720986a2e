"""How far an output topic has come, on a broker that tells where its last batch begins."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from benchmarks.peers.contestants import make_output
from benchmarks.peers.plan import Plan
from benchmarks.peers.runs import Outputs
from streams.embedded.broker import Broker
from streams.embedded.ports import HOST, choose_port


@pytest.mark.embedded
def test_the_last_batch_is_counted_whole_once_nothing_moves(tmp_path: Path) -> None:
    port = choose_port()
    plan = Plan(f"{HOST}:{port}", [], "said", 2, {}, "", 0, group="outputs")
    with Broker(port, tmp_path / "kafka.log"):
        outputs = Outputs(plan)
        make_output(plan)
        assert outputs.exactly() == 0
        producer: Any = Producer({"bootstrap.servers": plan.bootstrap, "linger.ms": 100})
        for number in range(20):
            producer.produce("said", b"x", partition=number % 2)
        producer.flush()
        began = time.monotonic()
        assert outputs.exactly() == 20
        assert time.monotonic() - began < 5.0  # whoever is watched meanwhile goes on
        assert outputs.count() <= 20
        assert outputs.count() == 20
        outputs.close()
