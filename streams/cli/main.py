"""The command `footfall`. Imports what a command needs only when it runs, so that help and version are instant."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from schemas.errors import ConfigurationError, FootfallError, UnreachableError

DEFAULT_DATA_DIR: Final = Path(".footfall")

app = typer.Typer(
    name="footfall",
    help="Real-time customer behaviour: events in, exact profiles, segment changes and churn scores out.\n\n"
    "Begin with [bold]footfall demo[/bold]: it starts everything on this machine and replays two real histories.",
    epilog="Settings come from FOOTFALL_* variables and footfall.toml: footfall config show",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
topics_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Kafka topics.")
schemas_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Avro schemas.")
profile_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Customer profiles.")
config_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Settings.")

embedded_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="One embedded server alone.")

_HERE = "On this machine"
_ROLES = "Roles, each against the servers that the settings name"
_TOOLS = "Look and manage"

DataDir = Annotated[Path, typer.Option("--data-dir", help="Where profiles, tables, schemas and logs are kept.")]


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole stack trace of an error.")] = False,
) -> None:
    """`--debug` is read by `run`, which is where errors end."""


@app.command(rich_help_panel=_HERE)
def up(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    roles: Annotated[str, typer.Option(help="Which roles to start, separated by commas.")] = "process,train,sink",
) -> None:
    """Start broker, Redis, ClickHouse, schema registry and all roles, without Docker or a JVM.

    Ctrl-C stops everything in order. Profiles and tables stay in the data directory; the broker's log does not.

    Example: [bold]footfall up --data-dir /var/lib/footfall[/bold]
    """
    _exit(_command("up").run(data_dir, tuple(role.strip() for role in roles.split(",") if role.strip())))


@app.command(rich_help_panel=_HERE)
def demo(
    speed: Annotated[
        str, typer.Option("--speed", help="[bold]watch[/bold] (60 to 90 s) or [bold]max[/bold].")
    ] = "watch",
    exit_when_done: Annotated[bool, typer.Option("--exit", help="Stop when the histories are through.")] = False,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Keep the data here, not in a new folder.")
    ] = None,
) -> None:
    """Start everything and replay two real customer histories through it, with a live picture.

    Example: [bold]footfall demo --speed max --exit[/bold]
    """
    _exit(_command("demo").run(speed=speed, exit_when_done=exit_when_done, data_dir=data_dir))


@app.command(rich_help_panel=_ROLES)
def process() -> None:
    """Fold events into profiles: Kafka to Redis, changes and training examples back to Kafka.

    Scale it by starting more of it, up to one a partition.

    Example: [bold]FOOTFALL_KAFKA__BOOTSTRAP=kafka:9092 FOOTFALL_REDIS__URL=redis://redis footfall process[/bold]
    """
    _run_role("process")


@app.command(rich_help_panel=_ROLES)
def train() -> None:
    """Learn churn from the labels that time reveals, and publish model snapshots."""
    _run_role("train")


@app.command(rich_help_panel=_ROLES)
def sink() -> None:
    """Write events, profiles and segment changes to ClickHouse.

    Example: [bold]FOOTFALL_WAREHOUSE__HOST=clickhouse FOOTFALL_WAREHOUSE__PASSWORD=... footfall sink[/bold]
    """
    _run_role("sink")


@app.command(rich_help_panel=_ROLES)
def replay(
    history: Annotated[
        str, typer.Argument(help="[bold]cdnow[/bold], [bold]ecom[/bold], [bold]demo[/bold] (both) or a .jsonl file.")
    ] = "demo",
    speed: Annotated[str, typer.Option(help="Events a second, or [bold]max[/bold]: no waiting.")] = "max",
    seconds: Annotated[float | None, typer.Option(min=0.001, help="Take this long in all, instead of --speed.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many events, the first ones.")] = None,
) -> None:
    """Send a history to the input topics, with a clock marker at the end of every simulated day.

    The roles that read it need FOOTFALL_CLOCK=event.

    Example: [bold]FOOTFALL_CLOCK=event footfall replay cdnow --speed 5000[/bold]
    """
    settings = _settings("replay")
    module = importlib.import_module("streams.roles.replay")
    _exit(module.run(settings, module.ReplayOptions(history=history, speed=speed, seconds=seconds, limit=limit)))


@topics_app.command("create")
def topics_create() -> None:
    """Create the input and output topics where they are missing; existing ones are left as they are."""
    _exit(_command("admin").create_topics(_settings("topics")))


@schemas_app.command("check")
def schemas_check() -> None:
    """Compare every schema with its published history; touches no server."""
    _exit(_command("admin").check_schemas())


@schemas_app.command("register")
def schemas_register() -> None:
    """Register every schema with the registry, at its compatibility level."""
    _exit(_command("admin").register_schemas(_settings("schemas")))


@profile_app.command("show")
def profile_show(
    customer_id: Annotated[str, typer.Argument(metavar="ID", help="The customer's canonical id.")],
    as_json: Annotated[bool, typer.Option("--json", help="The traits as JSON.")] = False,
) -> None:
    """Show one customer's profile, advanced to now.

    Example: [bold]footfall profile show cdnow-1[/bold]
    """
    _exit(_command("profile").show(_settings("profile"), customer_id, as_json=as_json))


@config_app.command("show")
def config_show(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print every effective setting with its source; secrets are masked."""
    _exit(_command("config").show(as_json=as_json))


@config_app.command("check")
def config_check(
    connect: Annotated[bool, typer.Option("--connect", help="Also ask each server for an answer.")] = False,
) -> None:
    """Verify the settings and the segment definitions."""
    _exit(_command("config").check(connect=connect))


Host = Annotated[str, typer.Option(help="The address to listen on.")]
Data = Annotated[Path, typer.Option(help="The folder that keeps what it is told.")]


@embedded_app.command("clickhouse")
def embedded_clickhouse(data: Data, host: Host = "127.0.0.1", port: Annotated[int, typer.Option()] = 8123) -> None:
    """Serve ClickHouse's HTTP interface from the embedded engine, to the user of FOOTFALL_WAREHOUSE__USER."""
    _exit(_command("embedded").clickhouse(host, port, data))


@embedded_app.command("registry")
def embedded_registry(data: Data, host: Host = "127.0.0.1", port: Annotated[int, typer.Option()] = 8081) -> None:
    """Serve a schema registry, to the user of FOOTFALL_REGISTRY__USERNAME where one is set."""
    _exit(_command("embedded").registry(host, port, data))


@app.command(rich_help_panel=_TOOLS)
def version() -> None:
    """Print the version, and whether the fold is compiled."""
    from importlib.metadata import version as installed  # noqa: PLC0415

    from streams.build import fold_is_compiled  # noqa: PLC0415

    fold = "compiled" if fold_is_compiled() else "plain Python, half as fast"
    print(f"footfall {installed('footfall')} (Python {sys.version.split()[0]}, fold: {fold})")


app.add_typer(profile_app, name="profile", rich_help_panel=_TOOLS)
app.add_typer(topics_app, name="topics", rich_help_panel=_TOOLS)
app.add_typer(schemas_app, name="schemas", rich_help_panel=_TOOLS)
app.add_typer(config_app, name="config", rich_help_panel=_TOOLS)
app.add_typer(embedded_app, name="embedded", hidden=True)


def run() -> None:
    """The console script: an error of ours is one sentence on stderr and exit code 2 (settings, servers) or 1."""
    debug = "--debug" in sys.argv
    try:
        app()
    except FootfallError as error:
        if debug:
            raise
        importlib.import_module("streams.cli.console").fail(str(error))
        sys.exit(2 if isinstance(error, ConfigurationError | UnreachableError) else 1)
    except Exception as error:
        if debug:
            raise
        sentence = f"unexpected {type(error).__name__}: {error}; `footfall --debug ...` shows where"
        importlib.import_module("streams.cli.console").fail(sentence)
        sys.exit(1)


def _command(name: str) -> Any:
    return importlib.import_module(f"streams.cli.{name}")


def _settings(role: str) -> Any:
    settings = importlib.import_module("streams.settings").load_settings()
    importlib.import_module("streams.logs").configure_logging(settings.log, role)
    return settings


def _run_role(role: str) -> None:
    settings = _settings(role)
    _exit(importlib.import_module(f"streams.roles.{role}").run(settings))


def _exit(code: int | None) -> None:
    if code:
        raise typer.Exit(code)


if __name__ == "__main__":
    run()
