"""Files for TLS are read with the settings; what is unsafe or of no use is refused before anything connects."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr

from schemas.errors import ConfigurationError
from streams.embedded.supervisor import embedded_settings
from streams.kafka.config import kafka_config
from streams.provenance import to_environment
from streams.settings import RedisSettings, load_settings
from tests.secured.certificates import Authority, Certificate


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("FOOTFALL_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def mine(authority: Authority) -> Certificate:
    return authority.sign("mine", ())


def refusal(monkeypatch: pytest.MonkeyPatch, **settings: object) -> str:
    for name, value in settings.items():
        monkeypatch.setenv(f"FOOTFALL_{name}", str(value))
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return str(caught.value)


@pytest.mark.parametrize("group", ["KAFKA", "REDIS", "WAREHOUSE", "REGISTRY"])
def test_a_ca_file_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    Path("ca.pem").write_text("no certificate")
    message = refusal(monkeypatch, **{f"{group}__CA_FILE": "ca.pem"})
    assert f"{group.lower()}.ca_file = 'ca.pem' (in FOOTFALL_{group}__CA_FILE)" in message
    assert "no certificate in PEM form" in message
    assert "cannot be read (No such file" in refusal(monkeypatch, **{f"{group}__CA_FILE": "missing.pem"})


@pytest.mark.parametrize("group", ["KAFKA", "REDIS", "WAREHOUSE", "REGISTRY"])
def test_a_ca_file_without_tls_is_refused_not_ignored(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, group: str
) -> None:
    message = refusal(monkeypatch, **{f"{group}__CA_FILE": authority.file})
    assert f"The setting {group.lower()} is not valid" in message
    assert "without TLS" in message


def test_a_key_must_fit_its_certificate(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, mine: Certificate
) -> None:
    monkeypatch.setenv("FOOTFALL_KAFKA__SECURITY_PROTOCOL", "SSL")
    assert "key_file needs certificate_file" in refusal(monkeypatch, KAFKA__KEY_FILE=mine.key)
    other = authority.sign("other", ())
    assert "belong together" in refusal(monkeypatch, KAFKA__CERTIFICATE_FILE=other.certificate)


def test_a_key_with_a_passphrase_is_refused_without_asking_the_terminal(
    monkeypatch: pytest.MonkeyPatch, mine: Certificate
) -> None:
    key = serialization.load_pem_private_key(mine.key.read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    Path("locked.key").write_bytes(locked)
    monkeypatch.setenv("FOOTFALL_REDIS__URL", "rediss://h")
    message = refusal(monkeypatch, REDIS__CERTIFICATE_FILE=mine.certificate, REDIS__KEY_FILE="locked.key")
    assert "without a passphrase" in message


def test_files_reach_both_of_kafkas_clients(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, mine: Certificate
) -> None:
    monkeypatch.setenv("FOOTFALL_KAFKA__SECURITY_PROTOCOL", "SSL")
    for name, file in {"CA_FILE": authority.file, "CERTIFICATE_FILE": mine.certificate, "KEY_FILE": mine.key}.items():
        monkeypatch.setenv(f"FOOTFALL_KAFKA__{name}", str(file))
    config = kafka_config(load_settings(), "test")
    context = config.security.ssl_context()
    assert context is not None
    assert [authority_["subject"] for authority_ in context.get_ca_certs()] == [((("commonName", "authority"),),)]
    assert config.librdkafka() | {"bootstrap.servers": "", "client.id": ""} == {
        "bootstrap.servers": "",
        "client.id": "",
        "security.protocol": "SSL",
        "ssl.ca.location": str(authority.file),
        "ssl.certificate.location": str(mine.certificate),
        "ssl.key.location": str(mine.key),
    }


def test_verification_cannot_be_switched_off_in_the_url_of_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, REDIS__URL="rediss://u:hunter2@h/0?ssl_cert_reqs=none")
    assert "always verified" in message
    assert "hunter2" not in message


def test_a_password_in_the_registrys_url_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, REGISTRY__URL="https://u:hunter2@h")
    assert "registry.username and registry.password" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("password", ["p%2Fw", "p@w", "p:w", "p?w"])
def test_the_address_of_redis_shows_no_part_of_a_password(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    url = f"rediss://u:{password}@h:1/2?password=hunter2"
    try:
        address = RedisSettings(url=SecretStr(url)).address
    except ValueError as error:
        address = str(error)
    assert not any(part in address for part in ("p%2Fw", "p@", "w@", "hunter2"))


def test_embedded_servers_are_told_of_no_tls_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    given = {"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__CA_FILE": authority.file, "SEGMENTS": ""}
    for name, value in given.items():
        monkeypatch.setenv(f"FOOTFALL_{name}", str(value))
    names = ("kafka", "redis", "registry", "clickhouse")
    settings = embedded_settings(load_settings(), dict.fromkeys(names, 9))
    for name, value in to_environment(settings).items():
        monkeypatch.setenv(name, value)  # over what is there, as a child has it
    assert load_settings() == settings
