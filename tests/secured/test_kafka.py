"""A broker that demands TLS and SCRAM, for each of the clients we use; no embedded broker demands anything."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from confluent_kafka import Producer

from schemas.errors import FootfallError
from streams.kafka.clock import end_offsets
from streams.kafka.config import KafkaConfig, kafka_config
from streams.kafka.reader import PartitionReader
from streams.kafka.topics import Topics, TopicSpec
from streams.settings import load_settings
from tests.secured.certificates import Authority
from tests.secured.conftest import Secured
from tests.streams.kafka.harness import Log, Recorder, running, until

WRONG = "wr0ng-pa55"


def config_of(secured: Secured, changes: Mapping[str, str]) -> KafkaConfig:
    own = {f"FOOTFALL_KAFKA__{name}": value for name, value in changes.items()}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**secured.environment, **own}.items():
            environment.setenv(name, value)
        return kafka_config(load_settings(), "test")


def refused(secured: Secured, **changes: str) -> str:
    """The sentence that a wrong setting is answered with."""
    with pytest.raises(FootfallError) as caught:
        Topics(config_of(secured, changes)).partitions(["nothing"])
    sentence = str(caught.value)
    assert sentence.startswith("Kafka ")
    assert changes.get("BOOTSTRAP", secured.environment["FOOTFALL_KAFKA__BOOTSTRAP"]) in sentence
    assert not any(secret in sentence for secret in (WRONG, secured.environment["FOOTFALL_KAFKA__PASSWORD"]))
    return sentence


async def test_every_client_is_let_in(secured_kafka: Secured, fresh_name: str) -> None:
    config = config_of(secured_kafka, {"REBALANCE_TIMEOUT": "3"})
    Topics(config).create([TopicSpec(fresh_name, 2)], 1)
    log = Log([fresh_name], 2, Producer(config.librdkafka()))
    log.append(50)
    assert await end_offsets(config, log.tps) == dict.fromkeys(log.tps, 50)
    reader = PartitionReader.of(config, fresh_name)
    reader.seek(0)
    assert len(reader.read_to_end(10)) == 50
    reader.close()
    role = Recorder()
    async with running(config, fresh_name, log, role.handlers()):
        await until(lambda: role.received == 100)
    assert role.values() == {tp: list(range(50)) for tp in log.tps}


def test_a_wrong_password_names_the_settings_of_the_login(secured_kafka: Secured) -> None:
    sentence = refused(secured_kafka, PASSWORD=WRONG)
    assert "refuses this user" in sentence
    assert "FOOTFALL_KAFKA__USERNAME and FOOTFALL_KAFKA__PASSWORD" in sentence


def test_a_mechanism_the_broker_lacks_is_named_with_those_it_has(secured_kafka: Secured) -> None:
    sentence = refused(secured_kafka, SASL_MECHANISM="PLAIN")
    assert "does not know PLAIN, but SCRAM-" in sentence
    assert "FOOTFALL_KAFKA__SASL_MECHANISM" in sentence


@pytest.mark.parametrize("ca_file", ["none", "another"])
def test_a_certificate_nobody_vouches_for_names_the_ca_file(
    secured_kafka: Secured, stranger: Authority, ca_file: str
) -> None:
    sentence = refused(secured_kafka, CA_FILE="" if ca_file == "none" else str(stranger.file))
    assert "certificate that is not accepted" in sentence
    assert "FOOTFALL_KAFKA__CA_FILE" in sentence


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_plain_text_to_a_tls_port_names_the_protocol(secured_kafka: Secured, protocol: str) -> None:
    sentence = refused(secured_kafka, SECURITY_PROTOCOL=protocol, CA_FILE="")
    assert "speaks TLS" in sentence
    assert "FOOTFALL_KAFKA__SECURITY_PROTOCOL" in sentence


def test_tls_without_a_login_says_that_one_may_be_demanded(secured_kafka: Secured) -> None:
    assert "demand a login: FOOTFALL_KAFKA__SECURITY_PROTOCOL" in refused(secured_kafka, SECURITY_PROTOCOL="SSL")


@pytest.mark.parametrize(
    ("protocol", "reason"), [("SASL_SSL", "does not speak TLS"), ("SASL_PLAINTEXT", "takes no login")]
)
def test_a_plain_listener_names_the_protocol(secured_kafka: Secured, protocol: str, reason: str) -> None:
    if not secured_kafka.plain_port:
        pytest.skip("NOT CHECKED: FOOTFALL_TEST_BOOTSTRAP names no plain listener")
    plain = f"127.0.0.1:{secured_kafka.plain_port}"
    ca_file = secured_kafka.environment["FOOTFALL_KAFKA__CA_FILE"] if protocol == "SASL_SSL" else ""
    sentence = refused(secured_kafka, BOOTSTRAP=plain, SECURITY_PROTOCOL=protocol, CA_FILE=ca_file)
    assert reason in sentence
    assert "FOOTFALL_KAFKA__SECURITY_PROTOCOL" in sentence
