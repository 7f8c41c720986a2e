from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ProtocolError, RetryableError
from schemas.partitioning import partition_of
from schemas.results import Headers, OutgoingMessage
from sinks.kafka import WINDOW_BYTES, Publisher, build_producer_config
from streams.embedded.broker import Broker


@dataclass
class FakeProducer:
    """Keeps what is produced in order; refuses or swallows what it is told to."""

    refuse: dict[bytes, int] = field(default_factory=dict)
    silent: bool = False
    sent: list[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]] = field(default_factory=list)
    open_callbacks: list[Callable[[], None]] = field(default_factory=list)
    flushes: list[int] = field(default_factory=list)

    def produce(self, topic: str, value: bytes | None, key: bytes | None, **options: Any) -> None:
        self.sent.append((topic, key, value, options.get("headers", [])))
        error = self.refuse.get(value or b"")
        answer = FakeMessage(topic)
        refusal = None if error is None else KafkaError(error)
        self.open_callbacks.append(lambda: options["on_delivery"](refusal, answer))

    def produce_batch(self, topic: str, messages: list[dict[str, Any]], **options: Any) -> int:
        for entry in messages:
            self.produce(topic, entry["value"], entry["key"], **options)
        return len(messages)

    def flush(self, _timeout: float) -> int:
        self.flushes.append(len(self.open_callbacks))
        if self.silent:
            return len(self.open_callbacks)
        for callback in self.open_callbacks:
            callback()
        self.open_callbacks = []
        return 0


@dataclass
class FakeMessage:
    name: str

    def topic(self) -> str:
        return self.name


def message(value: bytes, key: bytes = b"k", topic: str = "profiles", *, header: bool = False) -> OutgoingMessage:
    return OutgoingMessage(topic, key, value, [("ce_id", b"1")] if header else [])


def test_nothing_to_publish_asks_nobody() -> None:
    producer = FakeProducer()
    Publisher(producer).publish([])
    assert producer.flushes == []


@given(st.lists(st.tuples(st.sampled_from(["profiles", "segment-changes"]), st.binary(max_size=2), st.booleans())))
def test_each_message_is_sent_once_and_a_topic_keeps_its_order(plan: list[tuple[str, bytes, bool]]) -> None:
    producer = FakeProducer()
    messages = [
        OutgoingMessage(topic, key, str(n).encode(), [("h", b"v")] if header else [])
        for n, (topic, key, header) in enumerate(plan)
    ]
    Publisher(producer).publish(messages)
    for topic in ("profiles", "segment-changes"):
        wanted = [(m.topic, m.key, m.value, m.headers) for m in messages if m.topic == topic]
        assert [sent for sent in producer.sent if sent[0] == topic] == wanted


@pytest.mark.parametrize("header", [True, False])
def test_a_refused_message_is_an_error_that_says_how_many_and_why(*, header: bool) -> None:
    producer = FakeProducer(refuse={b"bad": KafkaError._MSG_TIMED_OUT})
    with pytest.raises(RetryableError, match=r"^1 of 3 messages not confirmed by Kafka \(profiles: .*timed out"):
        Publisher(producer).publish([message(value, header=header) for value in (b"a", b"bad", b"c")])


def test_a_refusal_for_good_is_not_worth_repeating() -> None:
    producer = FakeProducer(refuse={b"bad": KafkaError.MSG_SIZE_TOO_LARGE})
    with pytest.raises(ProtocolError, match="too large"):
        Publisher(producer).publish([message(b"bad")])


def test_silence_is_an_error() -> None:
    with pytest.raises(RetryableError, match=r"2 of 2 messages not confirmed by Kafka \(no answer"):
        Publisher(FakeProducer(silent=True)).publish([message(b"a"), message(b"b")])


def test_after_a_failure_the_same_publisher_works_again() -> None:
    producer = FakeProducer(refuse={b"bad": KafkaError._MSG_TIMED_OUT})
    publisher = Publisher(producer)
    with pytest.raises(RetryableError):
        publisher.publish([message(b"bad")])
    publisher.publish([message(b"good")])


def test_much_at_once_is_confirmed_in_windows_that_fit_the_producers_queue() -> None:
    producer = FakeProducer()
    half = message(bytes(WINDOW_BYTES // 2))
    Publisher(producer).publish([half] * 5)
    assert producer.flushes == [2, 2, 1]


# -- on a broker -----------------------------------------------------------------------------------------------------


@pytest.fixture
def topic(broker: Broker, fresh_name: str) -> str:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(fresh_name, 8, 1)])[fresh_name].result()
    return fresh_name


@pytest.fixture
def publisher(broker: Broker) -> Publisher:
    return Publisher(Producer(build_producer_config({"bootstrap.servers": broker.bootstrap})))


@pytest.fixture
def consumer(broker: Broker, fresh_name: str) -> Iterator[Consumer]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": fresh_name, "enable.auto.commit": False})
    yield consumer
    consumer.close()


def read(consumer: Consumer, topic: str, count: int) -> list[Message]:
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(8)])
    found: list[Message] = []
    for _ in range(200):
        found += consumer.consume(1000, 0.1)
        if len(found) >= count:
            break
    return found


@pytest.mark.parametrize("header", [True, False])
def test_what_is_confirmed_can_be_read_on_the_partition_our_hash_says(
    publisher: Publisher, consumer: Consumer, topic: str, *, header: bool
) -> None:
    customers = [f"customer-{n % 40}" for n in range(400)]
    headers: Headers = [("ce_id", b"1"), ("empty", None)] if header else []
    publisher.publish(
        [OutgoingMessage(topic, customer.encode(), str(n).encode(), headers) for n, customer in enumerate(customers)]
    )
    found = read(consumer, topic, 400)
    assert len(found) == 400
    order: defaultdict[str, list[int]] = defaultdict(list)
    for one in found:
        customer = (one.key() or b"").decode()
        assert one.partition() == partition_of(customer, 8)
        assert (one.headers() or []) == headers
        order[customer].append(int(one.value() or b""))
    assert all(numbers == sorted(numbers) for numbers in order.values())


def test_a_partition_and_a_tombstone_are_kept(publisher: Publisher, consumer: Consumer, topic: str) -> None:
    told: list[tuple[bytes | None, Headers, int]] = [
        (None, [], 5), (b"v", [("a", b"b")], 6), (b"w", [], 6), (b"x", [], 7)
    ]  # fmt: skip
    publisher.publish([OutgoingMessage(topic, b"k", *each) for each in told])
    found = {(one.value(), one.partition()) for one in read(consumer, topic, len(told))}
    assert found == {(value, partition) for value, _, partition in told}


def test_a_message_too_large_is_refused_for_good(publisher: Publisher, topic: str) -> None:
    for header in (True, False):
        with pytest.raises(ProtocolError, match="too large"):
            publisher.publish([message(bytes(2_100_000), topic=topic, header=header)])
