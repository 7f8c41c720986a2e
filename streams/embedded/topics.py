"""The topics of a broker that has just been born."""

from __future__ import annotations

import time
from typing import Any, Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.errors import ConfigurationError
from schemas.topics import INPUT_TOPICS, OUTPUT_TOPICS
from streams.kafka.config import kafka_config
from streams.kafka.topics import Topics, topic_specs
from streams.settings import Settings

_ANSWER_SECONDS: Final = 3.0
_GONE_SECONDS: Final = 2.0
_ATTEMPTS: Final = 3
_TOO_EARLY: Final = (
    "Some records reached the new broker before its topics were made, and are lost: a producer was left running."
)


def make_topics(settings: Settings) -> str | None:
    """Create all topics on a new embedded broker; a sentence when records were lost by it.

    Tansu makes a topic for whoever asks about one, with 4 partitions and without our options. A producer that was
    left running from the run before asks at once: such topics are removed and made properly.

    Raises ConfigurationError when somebody asks for them faster than they can be made.
    """
    config = kafka_config(settings, "supervisor")
    admin: Any = AdminClient({**config.librdkafka(), "log_level": 0})
    held = False
    for _ in range(_ATTEMPTS):
        held |= _remove_uninvited(admin)
        created = Topics(config).create(topic_specs(settings.kafka.partitions), settings.kafka.replication)
        if len(created) == len(INPUT_TOPICS) + len(OUTPUT_TOPICS):
            return _TOO_EARLY if held else None
    raise ConfigurationError(
        "The topics cannot be made: a producer that was left running asks the new broker for them again and again, "
        "and it makes them without their options. Stop that producer and start again."
    )


def _remove_uninvited(admin: Any) -> bool:
    """Delete our topics where they exist; whether they held records."""
    known = admin.list_topics(timeout=_ANSWER_SECONDS).topics
    ours = [name for name in (*INPUT_TOPICS, *OUTPUT_TOPICS) if name in known]
    if not ours:
        return False
    places = {TopicPartition(name, p): OffsetSpec.latest() for name in ours for p in known[name].partitions}
    held = any(answer.result().offset > 0 for answer in admin.list_offsets(places).values())
    for deleted in admin.delete_topics(ours).values():
        deleted.result(_ANSWER_SECONDS)
    deadline = time.monotonic() + _GONE_SECONDS
    while set(ours) & set(admin.list_topics(timeout=_ANSWER_SECONDS).topics) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held
