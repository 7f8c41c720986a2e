"""The topics of an installation: create them, check them, and tell a recreated one from the one before."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Final

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ClusterMetadata, ConfigResource, NewTopic, OffsetSpec

from schemas.errors import ConfigurationError
from schemas.topics import (
    COMPACTED_TOPICS,
    DEAD_LETTERS,
    INPUT_TOPICS,
    OUTPUT_TOPICS,
    SINGLE_PARTITION_TOPICS,
    TRAINING_EXAMPLES,
)
from streams.kafka.access import Complaints
from streams.kafka.config import KafkaConfig

MAX_MESSAGE_BYTES: Final = 2_000_000
"""A record of 1 MB, and the dead letter or snapshot that wraps one."""
DEAD_LETTER_DAYS: Final = 7
EXAMPLE_DAYS: Final = 120
"""An example waits in the log for the end of its horizon; a horizon of 90 d fits."""
ANSWER_SECONDS: Final = 5.0
_PATIENCE: Final = (1.0, ANSWER_SECONDS - 1.0)
"""A look after the first second: a wrong password is known by then, and not worth waiting on."""
CREATE_COMMAND: Final = "footfall topics create"


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as Footfall needs it."""

    name: str
    partitions: int
    options: Mapping[str, str] = field(default_factory=dict)


def topic_specs(partitions: int) -> list[TopicSpec]:
    """All topics: the inputs (and what is keyed like them) with `partitions`, the sequential ones with one."""
    inputs = [TopicSpec(name, partitions, {"message.timestamp.type": "LogAppendTime"}) for name in INPUT_TOPICS]
    return [_sized(spec) for spec in [*inputs, *(_output(name, partitions) for name in OUTPUT_TOPICS)]]


def _output(name: str, partitions: int) -> TopicSpec:
    options: dict[str, str] = {}
    if name in COMPACTED_TOPICS:
        options["cleanup.policy"] = "compact"
    if name == DEAD_LETTERS:
        options["retention.ms"] = str(DEAD_LETTER_DAYS * 86_400_000)
    if name == TRAINING_EXAMPLES:
        options["retention.ms"] = str(EXAMPLE_DAYS * 86_400_000)
    return TopicSpec(name, 1 if name in SINGLE_PARTITION_TOPICS else partitions, options)


def _sized(spec: TopicSpec) -> TopicSpec:
    return TopicSpec(spec.name, spec.partitions, {**spec.options, "max.message.bytes": str(MAX_MESSAGE_BYTES)})


class Topics:
    """Kafka's administration, as far as topics go. Blocking: call it in a thread from a running event loop."""

    def __init__(self, config: KafkaConfig) -> None:
        self._bootstrap = config.bootstrap
        self._user = config.security.username
        self._complaints = Complaints(config)
        # librdkafka prints every refused connection on stderr; what counts is raised here in one sentence
        quiet = {"log_level": 0, "error_cb": self._complaints.add}
        self._admin = AdminClient({**config.librdkafka(), **quiet}, logger=_SILENT)

    def create(self, specs: Sequence[TopicSpec], replication: int) -> list[str]:
        """Create what is missing; the names created. Existing topics are checked, not changed.

        Raises:
            ConfigurationError: an existing topic has another number of partitions, or the broker refuses one.
            UnreachableError: Kafka does not answer.

        """
        existing = self.partition_counts()
        _refuse_other_counts(specs, existing)
        missing = [spec for spec in specs if spec.name not in existing]
        new = [NewTopic(s.name, s.partitions, replication, config=dict(s.options)) for s in missing]
        created = [
            name for name, done in (self._admin.create_topics(new) if new else {}).items() if _created(name, done)
        ]
        self._wait_until_known({spec.name for spec in missing})
        return created

    def partitions(self, names: Sequence[str]) -> dict[str, int]:
        """How many partitions each topic has.

        Raises:
            ConfigurationError: a topic is missing, or Kafka refuses this user.
            UnreachableError: Kafka does not answer.

        """
        existing = self.partition_counts()
        self._refuse_missing([name for name in names if name not in existing])
        return {name: existing[name] for name in names}

    def check(self, specs: Sequence[TopicSpec]) -> None:
        """Make sure all topics are there, with the right number of partitions.

        Raises:
            ConfigurationError: a topic is missing, or has another number of partitions.
            UnreachableError: Kafka does not answer.

        """
        existing = self.partition_counts()
        self._refuse_missing([spec.name for spec in specs if spec.name not in existing])
        _refuse_other_counts(specs, existing)

    def ping(self, name: str, seconds: float) -> None:
        """Ask a broker about one topic, which must exist: the embedded broker makes what it is asked about.

        Raises:
            UnreachableError: no answer within so many seconds.

        """
        if not any(_accepts(server) for server in self._bootstrap.split(",")):
            raise self._complaints.explain("connection refused")
        try:
            self._admin.list_topics(name, timeout=seconds)
        except KafkaException as error:
            raise self._complaints.explain(error.args[0].str()) from None

    def identities(self, names: Sequence[str]) -> dict[str, str]:
        """Kafka's id of each topic: another one after the topic was deleted and created again.

        Raises:
            ConfigurationError: a topic is missing, or the broker is too old to give topics an id.
            UnreachableError: Kafka does not answer.

        """
        answers = self._admin.describe_topics(TopicCollection(list(names)), request_timeout=ANSWER_SECONDS)
        return {name: self._identity(name, answer) for name, answer in answers.items()}

    def _refuse_missing(self, names: Sequence[str]) -> None:
        if names:
            hidden = f"; if it does, {self._user} may not see it" if self._user else ""
            raise ConfigurationError(
                f"Kafka at {self._bootstrap} lacks {_listed(names)}: run `{CREATE_COMMAND}`{hidden}."
            )

    def _identity(self, name: str, answer: object) -> str:
        try:
            identity = str(answer.result().topic_id)  # type: ignore[attr-defined]
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise self._complaints.explain(error.args[0].str()) from None
            raise ConfigurationError(
                f"Kafka at {self._bootstrap} lacks topic {name}: run `{CREATE_COMMAND}`."
            ) from None
        if identity in _NO_IDENTITY:
            raise ConfigurationError(
                f"Kafka at {self._bootstrap} gives topic {name} no id; Footfall needs a broker of version 2.8 or newer."
            )
        return identity

    def options(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """The options of existing topics, as far as the broker tells them: by topic, then by name.

        Raises:
            UnreachableError: Kafka does not answer.

        """
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        try:
            answers = self._admin.describe_configs(resources, request_timeout=ANSWER_SECONDS) if resources else {}
            return {
                resource.name: {name: entry.value for name, entry in answer.result().items() if entry.value is not None}
                for resource, answer in answers.items()
            }
        except KafkaException as error:
            raise self._complaints.explain(error.args[0].str()) from None

    def first_offsets(self, tps: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Where the log of each topic-partition begins: after 0 where retention has taken records.

        Raises:
            UnreachableError: Kafka does not answer.

        """
        if not tps:
            return {}
        wanted = {TopicPartition(*tp): OffsetSpec.earliest() for tp in tps}
        try:
            # librdkafka asks with the leader epochs in its cache, which a broker refuses that was restarted since. Only
            # asking for the metadata renews them (seen with librdkafka 2.16.0; alike: confluentinc/librdkafka issue
            # 4620; held by tests/chaos/test_brokers.py).
            self._admin.list_topics(timeout=ANSWER_SECONDS)
            answers = self._admin.list_offsets(wanted, request_timeout=ANSWER_SECONDS)
            return {(tp.topic, tp.partition): answer.result().offset for tp, answer in answers.items()}
        except KafkaException as error:
            raise self._complaints.explain(error.args[0].str()) from None

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """What a consumer group has committed: the offset of the next record to read, by topic-partition.

        Raises:
            UnreachableError: Kafka does not answer.

        """
        try:
            answers = self._admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group)], request_timeout=ANSWER_SECONDS
            )
            found = answers[group].result().topic_partitions
        except KafkaException as error:
            raise self._complaints.explain(error.args[0].str()) from None
        return {(tp.topic, tp.partition): tp.offset for tp in found if tp.offset >= 0}

    def partition_counts(self) -> dict[str, int]:
        """Partitions of every topic there is.

        Raises:
            UnreachableError: Kafka does not answer.

        """
        topics = self._metadata().topics.items()
        return {name: len(topic.partitions) for name, topic in topics if topic.error is None}

    def _metadata(self) -> ClusterMetadata:
        if not any(_accepts(server) for server in self._bootstrap.split(",")):
            raise self._complaints.explain("connection refused")
        reason = ""
        for seconds in _PATIENCE:
            try:
                return self._admin.list_topics(timeout=seconds)
            except KafkaException as error:
                reason = error.args[0].str()
            self._admin.poll(0)  # hands over the complaints
            if (verdict := self._complaints.verdict()) is not None:
                raise verdict
        raise self._complaints.explain(reason)

    def _wait_until_known(self, names: set[str]) -> None:
        """A broker may describe a topic only some time after it has confirmed its creation."""
        deadline = monotonic() + ANSWER_SECONDS
        while names - self.partition_counts().keys() and monotonic() < deadline:
            sleep(0.05)


class _Silent:
    def log(self, *_: object) -> None:
        """Librdkafka's own lines are not shown."""


_SILENT = _Silent()
_NO_IDENTITY = {"None", "", "AAAAAAAAAAAAAAAAAAAAAA"}


def _accepts(server: str) -> bool:
    """Whether somebody listens there: asked first, because librdkafka tries a refusing server for the whole time."""
    host, _, port = server.strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS / 2).close()
    except (OSError, ValueError):
        return False
    return True


def _created(name: str, done: object) -> bool:
    try:
        done.result()  # type: ignore[attr-defined]
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:  # another process was faster
            return False
        raise ConfigurationError(f"Kafka refuses to create topic {name}: {error.args[0].str()}") from None
    return True


def _refuse_other_counts(specs: Sequence[TopicSpec], existing: Mapping[str, int]) -> None:
    for spec in specs:
        if existing.get(spec.name, spec.partitions) != spec.partitions:
            raise ConfigurationError(
                f"Topic {spec.name} has {existing[spec.name]} partitions where {spec.partitions} are set: set "
                "kafka.partitions to what the input topics have, or drain and create them anew."
            )


def _listed(names: Sequence[str]) -> str:
    return f"topic {names[0]}" if len(names) == 1 else f"topics {', '.join(names)}"
