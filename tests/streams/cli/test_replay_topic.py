"""What `footfall replay-topic` prints and answers for a report; the replay itself has tests of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console
from typer.testing import CliRunner

from processors.comparison import Difference
from schemas.errors import ConfigurationError
from streams.cli import replay_topic
from streams.cli.main import app
from streams.refold.audit import Judged
from streams.refold.bounds import Bound
from streams.refold.parts import Options, Watch
from streams.refold.report import Report
from streams.settings import Settings


def report(*differences: Difference, **fields: Any) -> Report:
    made = Report(1, 2, "rules", **fields)
    made.add([Judged((3, "anna\x1b[31m"), None, None, list(differences))], 20)
    made.only_live = 0
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Options]:
    """What the job was asked for; it answers with `answer`."""
    monkeypatch.chdir(tmp_path)
    found: list[Options] = []

    class Job:
        def __init__(self, _parts: object, options: Options, _watch: Watch) -> None:
            found.append(options)

        async def run(self) -> Report:
            return report(switched=found[-1].switch)

    @contextmanager
    def wired(_settings: Settings) -> Iterator[None]:
        yield None

    monkeypatch.setattr(replay_topic, "ReplayJob", Job)
    monkeypatch.setattr(replay_topic, "wired", wired)
    return found


def test_options_arrive_as_they_were_given(asked: list[Options]) -> None:
    arguments = "replay-topic --from 0 --to 2026-01-01T00:00Z --model 3 --limit 5 --force --partial --keep --json"
    result = CliRunner().invoke(app, arguments.split())
    assert result.exit_code == 0, result.output
    until = Bound(time=1_767_225_600_000)
    assert asked == [Options(Bound(offset=0), until, force=True, partial=True, keep=True, model=3, listed=5)]


def test_a_wrong_bound_is_told_before_anything_is_connected(asked: list[Options]) -> None:
    result = CliRunner().invoke(app, ["replay-topic", "--to", "tomorrow"])
    assert result.exit_code == 1
    assert "--to 'tomorrow'" in str(result.exception)
    assert asked == []


@pytest.mark.parametrize("contradiction", ["--to 100", "--partial"])
def test_a_switch_of_part_of_a_history_is_refused_before_anything_is_connected(
    asked: list[Options], monkeypatch: pytest.MonkeyPatch, contradiction: str
) -> None:
    connected: list[Settings] = []
    monkeypatch.setattr(replay_topic, "wired", connected.append)
    result = CliRunner().invoke(app, ["replay-topic", "--switch", *contradiction.split()])
    assert isinstance(result.exception, ConfigurationError)
    assert contradiction.split(" ", maxsplit=1)[0] in str(result.exception)
    assert (connected, asked) == ([], [])


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (report(), 0),
        (report(Difference("revenue_30d", 5, 7, "aggregate")), 1),
        (report(Difference("churn_probability", 0.5, 0.7, "model")), 0),
        (report(Difference("churn_probability", 0.5, 0.7, "model"), pinned_model=3), 1),
        (report(refusal="not switched"), 1),
        (report(Difference("sequence", 5, 7, "sequence"), switched=True), 0),
    ],
)
def test_the_exit_code_says_whether_all_is_equal(found: Report, code: int) -> None:
    assert replay_topic.exit_code(found) == code


def test_every_difference_has_a_line_and_customers_cannot_colour_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    replay_topic.show(report(Difference("revenue_30d", 5, 7, "aggregate"), suppressed={"profiles": 1_200}))
    lines = capsys.readouterr().out.splitlines()
    assert "anna\N{REPLACEMENT CHARACTER}[31m\trevenue_30d\t5\t7\taggregate" in lines
    assert "different\t1" in lines
    assert "profiles\t1,200" in lines
    assert lines[-1] == "different"


def test_what_is_not_listed_is_counted() -> None:
    made = Report(1, 2, "rules")
    names = [Difference(f"t{n}", 1, 2, "aggregate") for n in range(30)]
    made.add([Judged((3, "anna"), None, None, names)], 20)
    assert (len(made.listed), sum(made.names.values())) == (20, 30)
    document = json.loads(made.as_json())
    assert document["equal_throughout"] is False
    assert document["listed"][0] == {"customer": "anna", "name": "t0", "live": "1", "shadow": "2", "kind": "aggregate"}


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(force_terminal=True, width=100, file=cast("Any", _Sink()))
    monkeypatch.setattr(replay_topic, "err", console)
    with replay_topic.watching() as watch:
        watch.stage("folding", 100)
        watch.done(50)
    written = "".join(cast("_Sink", console.file).parts)
    assert "folding" in written
    assert "50/100" in written


class _Sink:
    def __init__(self) -> None:
        self.parts: list[str] = []

    def write(self, text: str) -> int:
        self.parts.append(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""
