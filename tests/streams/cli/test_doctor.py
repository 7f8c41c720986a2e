"""How the doctor's findings are printed, and what the exit code says."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence

import pytest
from rich.console import Console

from streams.cli import doctor
from streams.doctor.finding import Check, Finding
from streams.settings import Settings

GOOD = Finding("redis", "ok", "version 7 answers", rows=({"topic": "app", "end": 3},))
WARNING = Finding("redis clock", "warning", "2.0 s ahead", "let NTP set it")
PROBLEM = Finding("topics", "problem", "missing: [bold]app[/bold]", "run `footfall topics create`")


def run(monkeypatch: pytest.MonkeyPatch, *found: Finding, terminal: bool = False, **options: bool) -> tuple[int, str]:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, highlight=False, soft_wrap=True, color_system="standard")
    monkeypatch.setattr(doctor, "out", console)
    monkeypatch.setattr("streams.cli.console.out", console)
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setattr(doctor, "checks_of", lambda _: [Check(f.check, examining(f)) for f in found])
    flags = {"as_json": False, "verbose": False} | options
    return doctor.run(Settings(installation="test"), seconds=5, **flags), screen.getvalue()


def examining(finding: Finding) -> Callable[[], Sequence[Finding]]:
    return lambda: [finding]


def test_the_exit_code_is_1_with_a_problem_and_0_with_warnings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, GOOD)[0] == run(monkeypatch, GOOD, WARNING)[0] == 0
    assert run(monkeypatch, GOOD, PROBLEM, WARNING)[0] == 1


def test_wrong_segment_definitions_are_exit_code_2_as_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, GOOD, PROBLEM, Finding("segments", "problem", "mine.yaml:1:1: this is not YAML"))[0] == 2


def test_in_a_pipe_a_finding_is_one_line_with_tabs(monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = run(monkeypatch, GOOD, PROBLEM)
    assert text == (
        "ok\tredis\tversion 7 answers\nproblem\ttopics\tmissing: [bold]app[/bold]\trun `footfall topics create`\n"
    )


def test_on_a_terminal_it_has_colours_and_a_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = run(monkeypatch, GOOD, WARNING, PROBLEM, terminal=True)
    good, warning, problem, _, total = text.splitlines()
    assert "\x1b[32mok" in good
    assert "\x1b[33mwarning" in warning
    assert "\x1b[1;31mproblem" in problem
    assert "[bold]app[/bold]" in problem, "what a server says is no markup"
    assert "-> run `footfall topics create`" in problem
    assert total == "1 ok, 1 warnings, 1 problems"


def test_verbose_adds_the_figures_and_json_has_them_always(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, GOOD, verbose=True)[1] == "ok\tredis\tversion 7 answers\napp\t3\n"
    code, text = run(monkeypatch, GOOD, PROBLEM, as_json=True)
    assert code == 1
    assert json.loads(text)[0] == {
        "check": "redis", "status": "ok", "text": "version 7 answers", "remedy": "",
        "rows": [{"topic": "app", "end": 3}],
    }  # fmt: skip
