from __future__ import annotations

from pydantic import SecretStr

from streams.kafka.config import KafkaConfig, KafkaSecurity, kafka_config
from streams.settings import KafkaSettings, Settings


def test_settings_become_a_config_of_the_role() -> None:
    kafka = KafkaSettings(bootstrap="a:1,b:2", session_timeout=9, rebalance_timeout=7)
    config = kafka_config(Settings(kafka=kafka, installation="shop"), "process")
    assert (config.bootstrap, config.client_id) == ("a:1,b:2", "shop-process")
    assert (config.session_timeout, config.rebalance_timeout) == (9, 7)


def test_the_password_reaches_the_clients_but_no_repr() -> None:
    kafka = KafkaSettings(security_protocol="SASL_SSL", username="u", password=SecretStr("s3cret"))
    config = kafka_config(Settings(kafka=kafka, installation="footfall"), "sink")
    assert "s3cret" not in repr(config)
    assert config.librdkafka() == {
        "bootstrap.servers": config.bootstrap,
        "client.id": "footfall-sink",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "u",
        "sasl.password": "s3cret",
    }


def test_tls_is_verified_and_only_where_the_protocol_has_it() -> None:
    context = KafkaSecurity("SSL").ssl_context()
    assert context is not None
    assert context.check_hostname
    assert KafkaSecurity("SASL_PLAINTEXT").ssl_context() is None


def test_plain_text_needs_no_options() -> None:
    assert KafkaConfig("a:1").librdkafka()["security.protocol"] == "PLAINTEXT"
