"""Settings: where they come from, and what a wrong one says."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from processors.calendar import DAY
from processors.dimensions import Thresholds
from schemas.errors import ConfigurationError
from streams.environment import policy_of
from streams.provenance import MASK, as_text, leaves, source_of, to_environment, value_of, variable_of
from streams.settings import EMBEDDED_KAFKA, KafkaSettings, RedisSettings, Settings, load_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith("FOOTFALL_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return str(caught.value)


def test_defaults_need_no_environment_and_no_file() -> None:
    settings = load_settings()
    assert settings.kafka.partitions == 4
    assert settings.batch.max_records == 40_000
    assert settings.group("process") == "footfall-process"


def test_environment_wins_over_the_file_and_arguments_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("footfall.toml").write_text('[kafka]\nbootstrap = "file:1"\npartitions = 16\n[churn]\nhorizon_days = 90\n')
    monkeypatch.setenv("FOOTFALL_KAFKA__BOOTSTRAP", "environment:2")
    settings = load_settings(churn={"horizon_days": 7})
    assert (settings.kafka.bootstrap, settings.kafka.partitions) == ("environment:2", 16)
    assert settings.churn.horizon_days == 7


def test_footfall_config_names_another_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('clock = "event"\n')
    monkeypatch.setenv("FOOTFALL_CONFIG", str(other))
    assert load_settings().clock == "event"


@pytest.mark.parametrize(("text", "expected"), [("0", False), ("false", False), ("no", False), ("1", True)])
def test_flags_are_read_as_words_not_by_truthiness(
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    expected: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setenv("FOOTFALL_BATCH__COLUMNAR", text)
    assert load_settings().batch.columnar is expected


def test_a_flag_that_is_no_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "batch.columnar = 'maybe'" in refusal(monkeypatch, FOOTFALL_BATCH__COLUMNAR="maybe")


def test_an_unknown_variable_is_refused_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, FOOTFALL_KAFKA__BOOTSTRAPS="x:1")
    assert "FOOTFALL_KAFKA__BOOTSTRAPS names no setting: did you mean FOOTFALL_KAFKA__BOOTSTRAP" in message


def test_an_unknown_key_of_the_file_is_refused_with_file_and_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("footfall.toml").write_text("[kafka]\npartition = 4\n")
    assert "footfall.toml sets kafka.partition, which is no setting: did you mean kafka.partitions" in refusal(
        monkeypatch
    )


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("FOOTFALL_KAFKA__PARTITIONS", "7", "kafka.partitions = '7' (in FOOTFALL_KAFKA__PARTITIONS)"),
        ("FOOTFALL_KAFKA__PARTITIONS", "many", "valid integer"),
        ("FOOTFALL_CLOCK", "sundial", "'wall' or 'event'"),
        ("FOOTFALL_TIMEZONE", "Mars/Olympus", "IANA database"),
        ("FOOTFALL_BATCH__DEDUP_HOURS", "400", "less than or equal to 168"),
        ("FOOTFALL_KAFKA__SECURITY_PROTOCOL", "SASL_SSL", "needs username and password"),
        ("FOOTFALL_KAFKA__HEARTBEAT_INTERVAL", "9", "three times"),
        ("FOOTFALL_INSTALLATION", "A B", "installation = 'A B'"),
        ("FOOTFALL_RATES", "{broken", "FOOTFALL_RATES = '{broken' is not JSON"),
        ("FOOTFALL_RATES__EURO", "1.1", "currency codes"),
        ("FOOTFALL_WAREHOUSE__DATABASE", "a; DROP", "warehouse.database"),
        ("FOOTFALL_BOUNDARIES__RECENCY_DAYS", "[30, 90, 180]", "boundaries.recency_days = '[30, 90, 180]'"),
        ("FOOTFALL_BOUNDARIES__RECENCY_DAYS", "[30, 90, 90, 270]", "each larger than the one before"),
        ("FOOTFALL_BOUNDARIES__FREQUENCY", "[0, 1, 2, 3]", "four whole numbers above 0"),
        ("FOOTFALL_BOUNDARIES__MONETARY", "[25.5, 50, 100, 250]", "valid integer"),
        (
            "FOOTFALL_BOUNDARIES__MONETARY",
            "25,50,100,250",
            "FOOTFALL_BOUNDARIES__MONETARY = '25,50,100,250' is not JSON",
        ),
        ("FOOTFALL_BOUNDARIES__ACTIVE_DAYS", "0", "greater than 0"),
        ("FOOTFALL_BOUNDARIES__DORMANT_DAYS", "30", "dormant_days (30) must be more than active_days (30)"),
    ],
)
def test_a_bad_value_names_setting_value_place_and_remedy(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    message = refusal(monkeypatch, **{variable: value})
    assert expected in message
    assert "\n" not in message
    assert message.endswith(".")


def test_a_broken_or_missing_file_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("footfall.toml").write_text("clock = \n")
    assert "line 1" in refusal(monkeypatch)
    assert "which is no file" in refusal(monkeypatch, FOOTFALL_CONFIG="nowhere.toml")


def test_a_bad_secret_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, FOOTFALL_REDIS__URL="http://user:hunter2@host")
    assert "hunter2" not in message
    assert "redis.url (in FOOTFALL_REDIS__URL)" in message


def test_secrets_are_in_no_representation() -> None:
    settings = load_settings(redis={"url": "redis://u:hunter2@h:1/0"}, warehouse={"password": "hunter2"})
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert settings.redis.address == "redis://h:1/0"
    assert as_text(settings.warehouse.password) == MASK


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load_settings().kafka.partitions = 32


def test_rates_are_exact_and_their_codes_capital(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTFALL_RATES__EUR", "1.10")
    assert load_settings().rates == {"EUR": Decimal("1.10")}


def test_the_labels_are_those_of_the_domain_unless_set() -> None:
    assert policy_of(load_settings()).limits == Thresholds()


def test_every_boundary_of_the_labels_reaches_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("footfall.toml").write_text("[boundaries]\nmonetary = [1, 2, 3, 4]\nactive_days = 10\ndormant_days = 20\n")
    monkeypatch.setenv("FOOTFALL_BOUNDARIES__RECENCY_DAYS", "[7,14,21,28]")
    monkeypatch.setenv("FOOTFALL_BOUNDARIES__FREQUENCY", "[2, 3, 5, 9]")
    monkeypatch.setenv("FOOTFALL_CHURN__PRIOR_GAP_DAYS", "30")
    assert policy_of(load_settings()).limits == Thresholds(
        (7, 14, 21, 28), (2, 3, 5, 9), (1, 2, 3, 4), active_days=10, dormant_days=20, prior_gap=30 * DAY
    )


def test_a_child_started_with_the_environment_has_equal_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = load_settings(
        kafka={**EMBEDDED_KAFKA, "bootstrap": "127.0.0.1:1"},
        redis=RedisSettings(url=SecretStr("redis://u:p@h:1/0")),
        rates={"EUR": "1.1"},
        batch={"columnar": False},
        boundaries={"frequency": [2, 3, 5, 9]},
    )
    for name, value in to_environment(parent).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == parent


def test_the_embedded_preset_is_valid() -> None:
    assert KafkaSettings(**EMBEDDED_KAFKA).session_timeout == 6.0


def test_every_setting_knows_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTFALL_CLOCK", "event")
    document = {"kafka": {"bootstrap": "x:1"}}
    sources = {name: source_of(name, os.environ, document) for name in leaves(Settings)}
    assert sources["clock",] == "FOOTFALL_CLOCK"
    assert sources["kafka", "bootstrap"] == "footfall.toml"
    assert sources["kafka", "partitions"] == "default"


def test_every_setting_has_a_variable_that_leads_back_to_it() -> None:
    settings = load_settings()
    for name in leaves(Settings):
        assert variable_of(name).removeprefix("FOOTFALL_").lower().split("__") == list(name)
        value_of(settings, name)
