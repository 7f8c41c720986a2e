"""`footfall topics` and `footfall schemas`."""

from __future__ import annotations

from streams import registration
from streams.cli.console import err, out, show_table
from streams.kafka.config import kafka_config
from streams.kafka.topics import Topics, topic_specs
from streams.settings import Settings


def create_topics(settings: Settings) -> int:
    """Create the missing topics and say which."""
    topics = Topics(kafka_config(settings, "topics"))
    created = topics.create(topic_specs(settings.kafka.partitions), settings.kafka.replication)
    for topic in created:
        print(f"created {topic}")
    if not created:
        print("nothing to do: every topic exists")
    return 0


def check_schemas() -> int:
    """Print every incompatibility with the published history; 1 where there is one."""
    from schemas import evolution  # noqa: PLC0415  brings in the Avro library

    faults = evolution.check_all()
    for fault in faults:
        err.print(fault, markup=False)
    if not faults:
        out.print(f"{len(evolution.LEVEL_OF)} schemas are compatible with their history")
    return 1 if faults else 0


def register_schemas(settings: Settings) -> int:
    """Register every schema and print its id."""
    ids = registration.register_schemas(settings)
    show_table(("subject", "id"), [(f"{topic}-value", str(id_)) for topic, id_ in ids.items()])
    return 0
