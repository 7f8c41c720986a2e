"""What a fresh broker needs before the roles start: the topics, and the schemas in the registry."""

from __future__ import annotations

from streams.kafka.config import kafka_config
from streams.kafka.topics import Topics, topic_specs
from streams.registration import register_schemas
from streams.settings import Settings


def prepare(settings: Settings) -> list[str]:
    """Create the topics and register the schemas; both are safe to repeat. Returns the topics created."""
    kafka = settings.kafka
    created = Topics(kafka_config(settings, "installation")).create(topic_specs(kafka.partitions), kafka.replication)
    register_schemas(settings)
    return created
