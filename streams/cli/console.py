"""What the command line prints: colours and tables on a terminal, plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(message: str) -> None:
    """One sentence on stderr."""
    err.print("[bold red]error[/]:", end=" ")
    err.print(message, markup=False)


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """A table on a terminal; tab-separated lines in a pipe. Strings are shown as they are, without markup."""
    if not out.is_terminal:
        for row in rows:
            print("\t".join(map(str, row)))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*[Text(cell) if isinstance(cell, str) else cell for cell in row])
    out.print(table)
