"""The one place where the segments file is read: every command tells the same mistake in the same sentence."""

from __future__ import annotations

from pathlib import Path

from processors.rules import RuleSet, parse_rules
from schemas.errors import ConfigurationError, RulesError
from streams.resources import resource
from streams.settings import Settings


def rule_set(settings: Settings) -> RuleSet:
    """The segment definitions in force.

    Raises:
        ConfigurationError: the file cannot be read.
        RulesError: it is not UTF-8, or a definition is wrong; with line and column.

    """
    path = settings.segments or resource("segments.yaml")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"the segments file {path} cannot be read ({error.strerror}); check the setting segments"
        ) from None
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from None
    return parse_rules(text, str(path))


def _not_utf8(path: Path, error: UnicodeDecodeError) -> RulesError:
    *above, line = error.object[: error.start].decode().split("\n")
    return RulesError(
        f"{path}:{len(above) + 1}:{len(line) + 1}: this is not UTF-8 (the byte 0x{error.object[error.start]:02x}); "
        "save the file as UTF-8"
    )
