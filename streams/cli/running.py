"""What every command does around its own work: import it, read the settings, leave with its exit code."""

from __future__ import annotations

import importlib
from typing import Any

import typer


def module_of(name: str) -> Any:
    """The module of `streams.cli` that does a command's work, imported only now: help and version are instant."""
    return importlib.import_module(f"streams.cli.{name}")


def settings_for(role: str) -> Any:
    """The settings, with logging as they say under the name of this role."""
    settings = importlib.import_module("streams.settings").load_settings()
    importlib.import_module("streams.logs").configure_logging(settings.log, role)
    return settings


def leave(code: int | None) -> None:
    """End the command with this exit code; 0 and null: go on to its end."""
    if code:
        raise typer.Exit(code)
