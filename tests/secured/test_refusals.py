"""Servers that demand TLS and a login let the right settings in; others are answered with one sentence each."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Callable, Mapping
from typing import Final

import pytest

from schemas.errors import FootfallError
from streams.cli.config import PROBES
from streams.embedded.ports import HOST, choose_port
from streams.settings import load_settings
from tests.secured.certificates import Authority, Certificate
from tests.secured.conftest import PASSWORD, QUOTED, USER, Secured, footfall
from tests.secured.proxy import TlsProxy

WRONG: Final = "wr0ng-pa55"
SECRETS: Final = (PASSWORD, QUOTED, WRONG)
SERVERS: Final[Mapping[str, tuple[str, str, Callable[[int], dict[str, str]]]]] = {
    "redis": ("REDIS", "Redis", lambda port: {"URL": f"rediss://{USER}:{QUOTED}@{HOST}:{port}/0"}),
    "clickhouse": ("WAREHOUSE", "ClickHouse", lambda port: {"PORT": str(port)}),
    "registry": ("REGISTRY", "The schema registry", lambda port: {"URL": f"https://{HOST}:{port}"}),
}
"""What variables begin with, what sentences do, and the variables of another port."""


class Door:
    """One of the servers, asked as `footfall config check --connect` asks it."""

    def __init__(self, server: str, secured: Secured) -> None:
        self.server = server
        self.secured = secured
        self.variables, self.name, self._at = SERVERS[server]

    def at(self, port: int) -> dict[str, str]:
        """The variables of the same server behind another port."""
        return self._at(port)

    def ask(self, changes: Mapping[str, str]) -> None:
        """Ask the server for an answer, with some of its settings changed. Raises what keeps us out."""
        own = {f"FOOTFALL_{self.variables}__{name}": value for name, value in changes.items()}
        with pytest.MonkeyPatch.context() as environment:
            for name, value in {**self.secured.environment, **own}.items():
                environment.setenv(name, value)
            settings = load_settings()
        PROBES[self.server](settings)

    def refused(self, changes: Mapping[str, str]) -> str:
        """The sentence that a wrong setting is answered with."""
        with pytest.raises(FootfallError) as caught:
            self.ask(changes)
        sentence = str(caught.value)
        assert sentence.startswith(self.name)
        assert f"{HOST}:" in sentence
        assert not any(secret in sentence for secret in SECRETS)
        return sentence


@pytest.fixture(params=list(SERVERS))
def door(request: pytest.FixtureRequest) -> Door:
    return Door(request.param, request.getfixturevalue(f"secured_{request.param}"))


def test_the_right_settings_are_let_in(door: Door) -> None:
    door.ask({})


def test_a_wrong_password_names_the_settings_of_the_login(door: Door) -> None:
    url = f"rediss://{USER}:{WRONG}@{HOST}:{door.secured.port}/0"
    sentence = door.refused({"URL": url} if door.server == "redis" else {"PASSWORD": WRONG})
    assert "refuses this user" in sentence
    assert f"FOOTFALL_{door.variables}__" + ("URL" if door.server == "redis" else "PASSWORD") in sentence


def test_no_password_at_all_is_refused_the_same_way(door: Door) -> None:
    none = {"URL": f"rediss://{HOST}:{door.secured.port}/0"} if door.server == "redis" else {"PASSWORD": ""}
    assert "refuses this user" in door.refused(none)


@pytest.mark.parametrize("ca_file", ["none", "another"])
def test_a_certificate_nobody_vouches_for_names_the_ca_file(door: Door, ca_file: str, stranger: Authority) -> None:
    sentence = door.refused({"CA_FILE": "" if ca_file == "none" else str(stranger.file)})
    assert "certificate that is not accepted" in sentence
    assert f"FOOTFALL_{door.variables}__CA_FILE" in sentence


@pytest.mark.parametrize(
    ("sign", "why"),
    [
        (lambda authority: authority.sign("expired", life=-dt.timedelta(hours=1)), "expired"),
        (lambda authority: authority.sign("elsewhere", ("elsewhere.example",)), "not valid for '127.0.0.1'"),
    ],
)
def test_a_certificate_of_another_time_or_name_is_refused(
    door: Door, authority: Authority, sign: Callable[[Authority], Certificate], why: str
) -> None:
    with TlsProxy(sign(authority).context(), door.secured.plain_port) as proxy:
        assert why in door.refused(door.at(proxy.port))


def test_plain_text_to_a_tls_port_names_the_setting_of_tls(door: Door) -> None:
    plain = {
        "redis": {"URL": f"redis://{USER}:{QUOTED}@{HOST}:{door.secured.port}/0"},
        "clickhouse": {"SECURE": "false"},
        "registry": {"URL": f"http://{HOST}:{door.secured.port}"},
    }[door.server]
    sentence = door.refused({**plain, "CA_FILE": ""})
    assert "speaks TLS" in sentence
    assert f"FOOTFALL_{door.variables}__" in sentence


def test_tls_to_a_plain_port_names_the_setting_of_tls(door: Door) -> None:
    sentence = door.refused(door.at(door.secured.plain_port))
    assert f"FOOTFALL_{door.variables}__" in sentence
    assert "speak TLS" in sentence or "speaks TLS" in sentence  # Valkey waits for a line that never ends


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_older_than_1_2_is_refused(door: Door, authority: Authority) -> None:
    context = authority.sign("old").context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with TlsProxy(context, door.secured.plain_port) as proxy:
        assert "older than 1.2" in door.refused(door.at(proxy.port))


def test_a_server_that_demands_a_certificate_of_ours_gets_it(door: Door, authority: Authority) -> None:
    context = authority.sign("demanding").context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    mine = authority.sign("mine", ())
    files = {"CERTIFICATE_FILE": str(mine.certificate), "KEY_FILE": str(mine.key)}
    with TlsProxy(context, door.secured.plain_port) as proxy:
        door.ask({**door.at(proxy.port), **files})
        assert "CERTIFICATE_FILE" in door.refused(door.at(proxy.port))


@pytest.fixture
def wrong_passwords(secured_redis: Secured, secured_clickhouse: Secured, secured_registry: Secured) -> dict[str, str]:
    """The variables of all three, each with a password that is not theirs."""
    servers = (secured_redis, secured_clickhouse, secured_registry)
    good = {name: value for server in servers for name, value in server.environment.items()}
    return {
        **good,
        "FOOTFALL_KAFKA__BOOTSTRAP": f"{HOST}:{choose_port()}",
        "FOOTFALL_REDIS__URL": f"rediss://{USER}:{WRONG}@{HOST}:{secured_redis.port}/0",
        "FOOTFALL_WAREHOUSE__PASSWORD": WRONG,
        "FOOTFALL_REGISTRY__PASSWORD": WRONG,
    }


def test_config_check_says_one_sentence_a_server_and_ends_with_2(wrong_passwords: Mapping[str, str]) -> None:
    code, said = footfall(wrong_passwords, "config", "check", "--connect")
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 2
    assert [line.split()[1] for line in errors] == ["Kafka", "The", "Redis", "ClickHouse"]
    assert sum("refuses this user" in line for line in errors) == 3
    assert "Traceback" not in said
    assert not any(secret in said for secret in SECRETS)


@pytest.mark.parametrize(
    ("command", "variables"), [(("sink",), "FOOTFALL_WAREHOUSE__"), (("schemas", "register"), "FOOTFALL_REGISTRY__")]
)
def test_a_command_that_is_not_let_in_ends_with_2_and_its_log_holds_no_password(
    wrong_passwords: Mapping[str, str], command: tuple[str, ...], variables: str
) -> None:
    code, said = footfall({**wrong_passwords, "FOOTFALL_METRICS__SINK": str(choose_port())}, *command)
    (sentence,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 2
    assert "refuses this user" in sentence
    assert f"{variables}PASSWORD" in sentence
    assert "Traceback" not in said
    assert not any(secret in said for secret in SECRETS)
