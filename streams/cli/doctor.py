"""`footfall doctor`: looks at everything an installation needs, and says what to do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from rich.text import Text

from streams.cli.console import out, show_table
from streams.doctor.checks import checks_of
from streams.doctor.checkup import findings_of
from streams.doctor.finding import Finding, Status
from streams.settings import Settings

_COLOURS: Final[dict[Status, str]] = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def run(settings: Settings, *, as_json: bool, verbose: bool, seconds: float) -> int:
    """Examine the installation; a line is printed when its check is through.

    Returns 2 when the segment definitions are wrong, as every command does, 1 for another problem, else 0.
    """
    findings = []
    for finding in findings_of(checks_of(settings), seconds):
        findings.append(finding)
        if not as_json:
            _print(finding, verbose=verbose)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    elif out.is_terminal:
        _print_sum(findings)
    problems = {finding.check for finding in findings if finding.status == "problem"}
    return 2 if "segments" in problems else 1 if problems else 0


def _print(finding: Finding, *, verbose: bool) -> None:
    if not out.is_terminal:
        print(f"{finding.status}\t{finding.check}\t{finding.text}\t{finding.remedy}".rstrip("\t"))
    else:
        line = Text.assemble((f"{finding.status:8} ", _COLOURS[finding.status]), (f"{finding.check:17} ", "bold"))
        out.print(line.append(finding.text).append(f" -> {finding.remedy}" if finding.remedy else "", "cyan"))
    if verbose and finding.rows:
        show_table(tuple(finding.rows[0]), [tuple(map(str, row.values())) for row in finding.rows])


def _print_sum(findings: Sequence[Finding]) -> None:
    counts = Counter(finding.status for finding in findings)
    out.print(f"\n{counts['ok']} ok, {counts['warning']} warnings, {counts['problem']} problems")
