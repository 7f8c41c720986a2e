"""A user's mistake is answered in one sentence and exit code 2, never with a stack trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams.embedded.broker import Broker
from streams.embedded.ports import choose_port
from tests.end_to_end.conftest import Installation

ROOT = Path(__file__).parents[2]
BAD_RULES = """\
segments:
  - id: regulars
    name: {en: Regulars, zh: 常客}
    when: orders_30d >>> 3
"""


def refused(installation: Installation, **changes: str) -> str:
    """What `footfall process` says on stderr before it exits with 2."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")}
    port = {"FOOTFALL_METRICS__PROCESS": str(choose_port())}
    argv = (sys.executable, "-m", "streams.cli.main", "process")
    env = {**own, "PYTHONPATH": str(ROOT), **installation.environment, **port, **changes}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return " ".join(done.stderr.split())


def test_a_wrong_setting_is_named(installation: Installation) -> None:
    said = refused(installation, FOOTFALL_KAFKA__PARTITIONS="3")
    assert "FOOTFALL_KAFKA__PARTITIONS" in said
    assert "divide 256" in said


def test_an_unknown_setting_is_named(installation: Installation) -> None:
    assert "FOOTFALL_REDIS__ULR" in refused(installation, FOOTFALL_REDIS__ULR="redis://here")


def test_bad_rules_are_shown_with_their_place(installation: Installation, tmp_path: Path) -> None:
    file = tmp_path / "segments.yaml"
    file.write_text(BAD_RULES, encoding="utf-8")
    assert f"{file.name}:4:" in refused(installation, FOOTFALL_SEGMENTS=str(file))


def test_rules_that_are_not_utf8_are_shown_with_their_place(installation: Installation, tmp_path: Path) -> None:
    file = tmp_path / "segments.yaml"
    file.write_bytes(BAD_RULES.encode("gb18030"))
    assert f"{file.name}:3:30: this is not UTF-8" in refused(installation, FOOTFALL_SEGMENTS=str(file))


def test_a_missing_rules_file_is_named(installation: Installation) -> None:
    assert "nowhere.yaml" in refused(installation, FOOTFALL_SEGMENTS="nowhere.yaml")


@pytest.mark.parametrize("server", ["KAFKA__BOOTSTRAP", "REDIS__URL", "REGISTRY__URL"])
def test_a_server_that_does_not_answer_is_named_with_its_address(installation: Installation, server: str) -> None:
    scheme = {"KAFKA__BOOTSTRAP": "", "REDIS__URL": "redis://", "REGISTRY__URL": "http://"}[server]
    address = f"127.0.0.1:{choose_port()}"
    said = refused(installation, **{f"FOOTFALL_{server}": f"{scheme}{address}"})
    assert address in said
    assert server.partition("__")[0].lower() in said.lower()


def test_missing_topics_come_with_the_command_that_makes_them(installation: Installation, tmp_path: Path) -> None:
    with Broker(choose_port(), tmp_path / "empty.log") as empty:
        said = refused(installation, FOOTFALL_KAFKA__BOOTSTRAP=empty.bootstrap)
    assert "footfall topics create" in said


def test_another_number_of_partitions_than_the_topics_have_is_refused(installation: Installation) -> None:
    said = refused(installation, FOOTFALL_KAFKA__PARTITIONS="4")
    assert "2 partitions where 4 are set" in said
