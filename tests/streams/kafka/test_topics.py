from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource

from schemas.errors import ConfigurationError, UnreachableError
from schemas.topics import DEAD_LETTERS, INPUT_TOPICS, MODELS, OUTPUT_TOPICS, PROFILES, TRAINING_EXAMPLES
from streams.embedded.ports import HOST, choose_port
from streams.kafka.config import KafkaConfig
from streams.kafka.topics import Topics, TopicSpec, topic_specs
from tests.streams.kafka.harness import Log, until


def test_every_topic_has_its_spec() -> None:
    specs = {spec.name: spec for spec in topic_specs(8)}
    assert set(specs) == {*INPUT_TOPICS, *OUTPUT_TOPICS}
    assert all(specs[name].options["message.timestamp.type"] == "LogAppendTime" for name in INPUT_TOPICS)
    assert all(specs[name].partitions == 8 for name in (*INPUT_TOPICS, PROFILES, DEAD_LETTERS))
    assert all(specs[name].partitions == 1 for name in (MODELS, TRAINING_EXAMPLES))
    assert all(specs[name].options["cleanup.policy"] == "compact" for name in (MODELS, PROFILES))
    assert all(spec.options["max.message.bytes"] == "2000000" for spec in specs.values())


def test_creating_twice_creates_once_with_the_options(topics: Topics, config: KafkaConfig, fresh_name: str) -> None:
    spec = TopicSpec(fresh_name, 3, {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "2000000"})
    assert topics.create([spec], 1) == [fresh_name]
    assert topics.create([spec], 1) == []
    topics.check([spec])
    resource = ConfigResource("topic", fresh_name)
    admin = AdminClient(config.librdkafka())
    options = admin.describe_configs([resource])[resource].result()
    assert {name: options[name].value for name in spec.options} == spec.options


def test_a_missing_topic_is_named_with_the_command_that_creates_it(topics: Topics, fresh_name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"lacks topic {fresh_name}: run `footfall topics create`"):
        topics.check([TopicSpec(fresh_name, 1)])
    with pytest.raises(ConfigurationError, match=rf"lacks topic {fresh_name}"):
        topics.identities([fresh_name])


def test_another_number_of_partitions_is_refused(topics: Topics, fresh_name: str) -> None:
    topics.create([TopicSpec(fresh_name, 2)], 1)
    wanted = TopicSpec(fresh_name, 4)
    for attempt in (lambda: topics.check([wanted]), lambda: topics.create([wanted], 1)):
        with pytest.raises(ConfigurationError, match=rf"{fresh_name} has 2 partitions where 4 are set"):
            attempt()


@pytest.mark.usefixtures("real_broker")
def test_what_the_broker_refuses_is_one_sentence(topics: Topics, fresh_name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^Kafka refuses to create topic .*!"):
        topics.create([TopicSpec(f"{fresh_name}!", 1)], 3)


async def test_a_recreated_topic_has_another_identity(topics: Topics, config: KafkaConfig, fresh_name: str) -> None:
    spec = TopicSpec(fresh_name, 1)
    topics.create([spec], 1)
    before = topics.identities([fresh_name])
    assert topics.identities([fresh_name]) == before
    admin = AdminClient(config.librdkafka())
    admin.delete_topics([fresh_name])[fresh_name].result()
    await until(lambda: fresh_name not in topics.partition_counts())
    topics.create([spec], 1)
    assert topics.identities([fresh_name]) != before


def test_an_unreachable_broker_is_one_sentence_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    nowhere = Topics(KafkaConfig(f"{HOST}:{choose_port()}"))
    begun = monotonic()
    with pytest.raises(UnreachableError, match=r"Kafka does not answer at 127.*set kafka\.bootstrap"):
        nowhere.check(topic_specs(8))
    assert monotonic() - begun < 1
    assert capfd.readouterr().err == ""


async def test_what_the_doctor_asks_of_existing_topics(topics: Topics, config: KafkaConfig, fresh_name: str) -> None:
    spec = TopicSpec(fresh_name, 2, {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "2000000"})
    topics.create([spec], 1)
    assert topics.partition_counts()[fresh_name] == 2
    told = topics.options([fresh_name])[fresh_name]
    assert {name: told[name] for name in spec.options} == spec.options
    assert topics.options([]) == {}
    assert topics.first_offsets([]) == {}
    await until(lambda: first_offsets(topics, fresh_name) == {(fresh_name, 0): 0, (fresh_name, 1): 0})
    assert topics.committed(f"{fresh_name}-nobody") == {}
    topics.ping(fresh_name, 5)


@pytest.mark.usefixtures("real_broker")
def test_a_log_begins_where_its_records_were_not_removed(
    topics: Topics, config: KafkaConfig, new_log: Callable[..., Log]
) -> None:
    log = new_log(1, 2)
    log.append(10)
    gone = [TopicPartition(log.topics[0], 0, 4)]
    admin = AdminClient(config.librdkafka())  # held: one that is collected answers nothing
    for removed in admin.delete_records(gone).values():
        removed.result(10)
    assert topics.first_offsets(log.tps) == dict(zip(log.tps, (4, 0), strict=True))


def first_offsets(topics: Topics, name: str) -> dict[tuple[str, int], int] | None:
    """Null as long as the partitions of a topic that was just made have no leader."""
    try:
        return topics.first_offsets([(name, 0), (name, 1)])
    except UnreachableError:
        return None


def test_a_committed_offset_is_told_by_topic_partition(topics: Topics, config: KafkaConfig, fresh_name: str) -> None:
    topics.create([TopicSpec(fresh_name, 1)], 1)
    consumer = Consumer({**config.librdkafka(), "group.id": fresh_name})
    consumer.commit(offsets=[TopicPartition(fresh_name, 0, 7)], asynchronous=False)
    consumer.close()
    assert topics.committed(fresh_name) == {(fresh_name, 0): 7}


def test_a_ping_that_nobody_answers_is_one_sentence_at_once() -> None:
    begun = monotonic()
    with pytest.raises(UnreachableError, match="Kafka does not answer at 127"):
        Topics(KafkaConfig(f"{HOST}:{choose_port()}")).ping("app", 3)
    assert monotonic() - begun < 1
