"""What a peer is told: one JSON file, read by programs in other environments and another language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plan:
    """The only argument of a peer's program is the path of this, as JSON."""

    bootstrap: str
    inputs: list[str]
    """The six topics. A record without a value is a clock marker, to be skipped."""
    output: str
    """One message for each event goes here, the customer's id its key (job.py `message`)."""
    partitions: int
    """Of every input topic and of the output topic."""
    schemas: Mapping[str, str]
    """Topic -> its .avsc. A value is one zero byte, four of the schema's id, then Avro; a topic has one schema."""
    model: str
    """The parameters of the churn score (job.py `load_model`)."""
    events: int
    """Records with a value in all topics together, all there before the peer starts."""
    group: str = ""
    """Consumer group, application or job id: new in every run."""
    state_dir: str = ""
    """An empty folder for whatever the peer keeps on disk."""
    redis: str = ""
    """URL of a Redis for peers that keep their state there: append-only file, one fsync a second."""

    def write(self, path: Path) -> None:
        """Save it for a peer."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Plan:
        """The saved one."""
        return Plan(**json.loads(path.read_text(encoding="utf-8")))

    def of_run(self, name: str, state_dir: Path) -> Plan:
        """The same work for one run of one peer: its own output topic, group and folder."""
        return replace(self, output=f"peer-{name}", group=f"peer-{name}", state_dir=str(state_dir))
