"""The command groups of `footfall`: profile, dead-letters, topics, schemas, config, and the embedded servers alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.running import leave, module_of, settings_for

topics_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Kafka topics.")
schemas_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Avro schemas.")
profile_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Customer profiles.")
letters_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Refused records: look, send again.")
config_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Settings.")
embedded_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="One embedded server alone.")


@topics_app.command("create")
def topics_create() -> None:
    """Create the input and output topics where they are missing; existing ones are left as they are."""
    leave(module_of("admin").create_topics(settings_for("topics")))


@schemas_app.command("check")
def schemas_check() -> None:
    """Compare every schema with its published history; touches no server."""
    leave(module_of("admin").check_schemas())


@schemas_app.command("register")
def schemas_register() -> None:
    """Register every schema with the registry, at its compatibility level."""
    leave(module_of("admin").register_schemas(settings_for("schemas")))


@profile_app.command("show")
def profile_show(
    customer_id: Annotated[str, typer.Argument(metavar="ID", help="The customer's canonical id.")],
    as_json: Annotated[bool, typer.Option("--json", help="The traits as JSON.")] = False,
) -> None:
    """Show one customer's profile, advanced to now.

    Example: [bold]footfall profile show cdnow-1[/bold]
    """
    leave(module_of("profile").show(settings_for("profile"), customer_id, as_json=as_json))


_Reasons = Annotated[
    list[str] | None, typer.Option("--reason", help="Only letters of this reason; may be given several times.")
]
_Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="EXPR",
        help="Only letters that fulfil all of it, as topic=purchase,offset>=100. Fields: id, topic, reason, customer, "
        "detail (= != ~), partition, offset, bytes (= != < <= > >=), since, until (=).",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@letters_app.command("ls")
def letters_ls(
    reason: _Reasons = None,
    where: _Where = None,
    limit: Annotated[int, typer.Option(min=0, max=100_000, help="Show so many of the newest.")] = 20,
    as_json: _Json = False,
) -> None:
    """Count dead letters by reason, and show the newest.

    Example: [bold]footfall dead-letters ls --where since=2026-01-31,topic=purchase[/bold]
    """
    module = module_of("dead_letters")
    asked = module.Asked(tuple(reason or ()), tuple(where or ()))
    leave(module.ls(settings_for("dead-letters"), asked, limit=limit, as_json=as_json))


@letters_app.command("show")
def letters_show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="The letter's id, or the beginning of it.")],
    whole: Annotated[bool, typer.Option("--all", help="Every byte of the value, not the first 1024.")] = False,
    as_json: _Json = False,
) -> None:
    """Show one dead letter: why, where from, what to do, and its bytes.

    Example: [bold]footfall dead-letters show 5f2c19ab[/bold]
    """
    leave(module_of("dead_letters").show(settings_for("dead-letters"), letter_id, whole=whole, as_json=as_json))


@letters_app.command("redrive")
def letters_redrive(
    reason: _Reasons = None,
    where: _Where = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: _Json = False,
) -> None:
    """Send refused records to their topics again, after what they were refused for was put right.

    A letter is sent once, and an event counts once however often it is sent.

    Example: [bold]footfall dead-letters redrive --reason unknown_currency --dry-run[/bold]
    """
    module = module_of("dead_letters")
    asked = module.Asked(tuple(reason or ()), tuple(where or ()))
    how = module.How(dry_run=dry_run, yes=yes, as_json=as_json)
    leave(module.redrive(settings_for("dead-letters"), asked, how))


@config_app.command("show")
def config_show(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print every effective setting with its source; secrets are masked."""
    leave(module_of("config").show(as_json=as_json))


@config_app.command("check")
def config_check(
    connect: Annotated[bool, typer.Option("--connect", help="Also ask each server for an answer.")] = False,
) -> None:
    """Verify the settings and the segment definitions."""
    leave(module_of("config").check(connect=connect))


Host = Annotated[str, typer.Option(help="The address to listen on.")]
Data = Annotated[Path, typer.Option(help="The folder that keeps what it is told.")]


@embedded_app.command("clickhouse")
def embedded_clickhouse(data: Data, host: Host = "127.0.0.1", port: Annotated[int, typer.Option()] = 8123) -> None:
    """Serve ClickHouse's HTTP interface from the embedded engine, to the user of FOOTFALL_WAREHOUSE__USER."""
    leave(module_of("embedded").clickhouse(host, port, data))


@embedded_app.command("registry")
def embedded_registry(data: Data, host: Host = "127.0.0.1", port: Annotated[int, typer.Option()] = 8081) -> None:
    """Serve a schema registry, to the user of FOOTFALL_REGISTRY__USERNAME where one is set."""
    leave(module_of("embedded").registry(host, port, data))


def add_groups(app: typer.Typer, panel: str) -> None:
    """Make the groups part of a command, listed in this panel of its help."""
    app.add_typer(profile_app, name="profile", rich_help_panel=panel)
    app.add_typer(letters_app, name="dead-letters", rich_help_panel=panel)
    app.add_typer(topics_app, name="topics", rich_help_panel=panel)
    app.add_typer(schemas_app, name="schemas", rich_help_panel=panel)
    app.add_typer(config_app, name="config", rich_help_panel=panel)
    app.add_typer(embedded_app, name="embedded", hidden=True)
