"""What to try when the history is through: commands that work, with the answers they give."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from rich.markup import escape

from schemas.partitioning import bucket_of
from sinks.keys import bucket_keys
from streams.cli.console import out, show_table
from streams.cli.plain import plain
from streams.settings import Settings

_REDIS_CLIENTS: Final = ("redis-cli", "valkey-cli")
_HGET: Final = 'import redis, sys; print(redis.Redis.from_url(sys.argv[1]).hget(sys.argv[2], "traits").decode())'
_FROM_A_SHELL: Final = "SELECT * FROM segment_sizes ORDER BY customers DESC FORMAT PrettyCompact"


def show_next(
    settings: Settings,
    client: Any,
    urls: Mapping[str, str],
    customer: str,
    questions: Mapping[str, str],
    *,
    stays: bool,
) -> None:
    """Print the commands, and the questions with their answers.

    `client` is a ClickHouse client; `customer` is an id that exists; `questions`: question -> query; `stays`: the
    servers are still there afterwards.
    """
    out.print("\n[bold]What next?[/]\n")
    if not stays:
        out.print("These commands work while it is up: `footfall demo` without --exit, `make demo` without EXIT=1.\n")
    out.print(
        f"[dim]# one customer's traits, as any program may read them[/]\n{escape(redis_command(settings, customer))}"
    )
    out.print(f"\n[dim]# the same as a card, advanced to now[/]\n{escape(card_command(settings, customer))}")
    for question, query in questions.items():
        out.print(f"\n[bold cyan]{question}[/]\n[dim]{escape(query)}[/]")
        answer = client.query(query, settings={"database": settings.warehouse.database})
        if not out.is_terminal:
            print("\t".join(answer.column_names))
        show_table(answer.column_names, [[plain(str(value)) for value in row] for row in answer.result_rows])
    out.print(f"\n[dim]# any of them from a shell[/]\n{escape(curl_command(settings))}\n")
    show_table(("what", "where"), list(urls.items()))


def redis_command(settings: Settings, customer: str) -> str:
    """A shell command that prints the traits of a customer, with a client that is installed here."""
    address = settings.redis.address
    url = urlsplit(address)
    key = shlex.quote(bucket_keys(settings.redis.prefix, 1, bucket_of(customer)).profile_of(customer).decode())
    client = next(filter(shutil.which, _REDIS_CLIENTS), None)
    if client:
        return f"{client} -h {url.hostname} -p {url.port} HGET {key} traits"
    return f"{_from_here(Path(sys.executable))} -c {shlex.quote(_HGET)} {shlex.quote(address)} {key}"


def card_command(settings: Settings, customer: str) -> str:
    """A shell command that shows the customer's card."""
    variables = f"FOOTFALL_REDIS__URL={settings.redis.address} FOOTFALL_CLOCK={settings.clock}"
    return f"{variables} {_program()} profile show {shlex.quote(customer)}"


def curl_command(settings: Settings) -> str:
    """A shell command that asks ClickHouse."""
    where = f"http://{settings.warehouse.host}:{settings.warehouse.port}/?database={settings.warehouse.database}"
    return f"curl {shlex.quote(where)} --data-binary {shlex.quote(_FROM_A_SHELL)}"


def _program() -> str:
    """`footfall`, with its folder where the shell would not find this one."""
    mine = Path(sys.argv[0]).absolute()
    found = shutil.which("footfall")
    if mine.name != "footfall" or (found and Path(found).resolve() == mine.resolve()):
        return "footfall"
    return _from_here(mine)


def _from_here(program: Path) -> str:
    """A program's path as one shell word, relative to this folder where it is inside."""
    return shlex.quote(str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program))
