"""Logs: one JSON object a line, and never a secret in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from pydantic import SecretStr

from streams.logs import configure_logging
from streams.settings import LogSettings


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_with_role_level_time_and_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(), "sink")
    structlog.get_logger().info("block written", rows=3)
    (line,) = lines(capsys)
    assert (line["event"], line["rows"], line["role"], line["level"]) == ("block written", 3, "sink", "info")
    assert str(line["timestamp"]).endswith("Z")


def test_secrets_are_masked_by_name_by_type_and_in_urls_at_any_depth(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(), "process")
    structlog.get_logger().warning(
        "connecting to redis://user:hunter2@host:6379/0",
        password="hunter2",
        given=SecretStr("hunter2"),
        nested={"api_key": "hunter2", "list": ["kafka://u:hunter2@k", "harmless"]},
    )
    logging.getLogger("a.library").warning("retrying https://u:hunter2@host/path")
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 2
    assert "hunter2" not in text
    assert "harmless" in text


def test_an_exception_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(), "train")
    customer = "hunter2"
    try:
        int(customer[:6] + "\n")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines(capsys)
    assert "ValueError" in json.dumps(line["exception"])
    assert "hunter2" not in json.dumps(line), "no local variables: they hold customers and secrets"


def test_the_level_holds_for_us_and_libraries_speak_from_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(level="info"), "sink")
    structlog.get_logger().debug("too fine")
    logging.getLogger("aiokafka.consumer").info("chatter")
    logging.getLogger("aiokafka.consumer").warning("heard")
    assert [line["event"] for line in lines(capsys)] == ["heard"]
