"""`footfall up`: the whole installation on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from schemas.errors import ConfigurationError
from streams.cli.console import out, show_table
from streams.embedded.supervisor import ROLES, EmbeddedStack, StackPlan
from streams.segments_file import rule_set
from streams.settings import load_settings


def run(data_dir: Path, roles: tuple[str, ...]) -> int:
    """Start everything, show where it is, and stay until a signal or a child's death (a stalled role starts again).

    Raises:
        ConfigurationError: an unknown role, a wrong setting or segments file; nothing was started.
        ChildFailedError: a child ended by itself; the others were stopped.

    """
    unknown = sorted(set(roles) - set(ROLES))
    if unknown:
        raise ConfigurationError(f"--roles names {', '.join(unknown)}; the roles are {', '.join(ROLES)}.")
    settings = load_settings()
    rule_set(settings)  # before anything is started: a role would die of a wrong file, and only its log say why
    asyncio.run(_up(EmbeddedStack(data_dir, StackPlan(roles, report=report), settings)))
    return 0


async def _up(stack: EmbeddedStack) -> None:
    started = time.monotonic()

    async def serve() -> None:
        _show_ready(stack, time.monotonic() - started)
        await stack.watch()

    await run_until_signal(stack, serve)


async def run_until_signal(stack: EmbeddedStack, serve: Callable[[], Awaitable[None]]) -> None:
    """Start the stack and `serve` until that returns or SIGINT, SIGTERM or SIGHUP comes; then stop it in order.

    A second signal ends the children at once.

    Raises:
        ChildFailedError: a child ended by itself; the others were stopped.

    """
    running = asyncio.ensure_future(_start_and(serve, stack))

    def interrupt() -> None:
        if running.cancelling():
            stack.kill()
        running.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt)
    try:
        with suppress(asyncio.CancelledError):
            await running
    finally:
        await stack.stop()


async def _start_and(serve: Callable[[], Awaitable[None]], stack: EmbeddedStack) -> None:
    async with stack:
        await serve()


def report(name: str, state: str) -> None:
    """One line for each child that is ready, was restarted or has stopped, and while the log is drained."""
    word, _, rest = state.partition(", ")
    colours = {"ready": "green", "draining": "cyan", "stopped": "yellow", "restarted": "red", "lost its port": "red"}
    colour = colours.get(word)
    if colour:
        out.print(f"[{colour}]{word:10}[/]{name}" + (f" ({rest})" if rest else ""))


def _show_ready(stack: EmbeddedStack, seconds: float) -> None:
    for warning in stack.warnings:
        out.print(f"[yellow]warning[/] {warning}")
    out.print(f"\nEverything is up after {seconds:.1f} s; data and logs are in {stack.data.root}\n")
    show_table(("what", "where"), [(name, url) for name, url in stack.urls.items()])
    out.print("\nCtrl-C stops it.")
