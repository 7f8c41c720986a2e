"""Where a setting came from, and what is wrong with it, in one sentence."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError

from schemas.errors import ConfigurationError

PREFIX: Final = "FOOTFALL_"
CONFIG_VARIABLE: Final = "FOOTFALL_CONFIG"
MASK: Final = "********"
Name = tuple[str, ...]


def config_file() -> Path:
    """The settings file: what FOOTFALL_CONFIG names, else `footfall.toml` here (which need not exist)."""
    return Path(os.environ.get(CONFIG_VARIABLE) or "footfall.toml")


def read_toml() -> dict[str, Any]:
    """The settings file's content; empty where there is none and none was asked for."""
    file = config_file()
    if not file.is_file():
        if os.environ.get(CONFIG_VARIABLE):
            raise ConfigurationError(f"{CONFIG_VARIABLE} names {file}, which is no file: correct it or unset it.")
        return {}
    try:
        return tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{file} is not readable as TOML: {error}.") from error


def leaves(model: type[BaseModel], above: Name = ()) -> Iterator[Name]:
    """The names of all settings, in order of declaration."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, (*above, name))
        else:
            yield (*above, name)


def variable_of(name: Name) -> str:
    """The environment variable of a setting."""
    return PREFIX + "__".join(name).upper()


def value_of(settings: BaseModel, name: Name) -> Any:
    """The value of a setting."""
    value: Any = settings
    for part in name:
        value = getattr(value, part)
    return value


def source_of(name: Name, environment: Mapping[str, str], document: Mapping[str, Any]) -> str:
    """Where a setting's value comes from: a variable, a file, or `default`."""
    variable = variable_of(name)
    for given in environment:
        if given.upper() == variable or given.upper().startswith(variable + "__"):
            return given
    value: Any = document
    for part in name:
        if not isinstance(value, Mapping) or part not in value:
            return "default"
        value = value[part]
    return str(config_file())


def as_text(value: Any) -> str:
    """A value as a variable takes it; a secret as a mask, of a URL only user and password."""
    if isinstance(value, SecretStr):
        return _masked(value.get_secret_value())
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return json.dumps({key: str(item) for key, item in value.items()})
    if isinstance(value, tuple):
        return json.dumps(value)
    return "" if value is None else str(value)


def _masked(secret: str) -> str:
    if "://" in secret:
        return without_password(secret)
    return MASK if secret else ""


def without_password(url: str) -> str:
    """The URL with a mask for user and password."""
    return re.sub(r"//.*@", f"//{MASK}@", url)


def to_environment(settings: BaseModel) -> dict[str, str]:
    """Variables that give a child process exactly these settings, secrets in clear text."""
    environment = {}
    for name in leaves(type(settings)):
        value = value_of(settings, name)
        if value is not None:
            clear = value.get_secret_value() if isinstance(value, SecretStr) else as_text(value)
            environment[variable_of(name)] = clear
        elif _is_file(type(settings), name):
            environment[variable_of(name)] = ""  # none, whatever the environment or the file of the child says
    return environment


def check_names(model: type[BaseModel], environment: Mapping[str, str], document: Mapping[str, Any]) -> None:
    """Refuse every FOOTFALL_ variable and every key of the file that names no setting."""
    known = list(leaves(model))
    open_ended = [name for name in known if _is_mapping(model, name)]
    for given in environment:
        upper = given.upper()
        if not upper.startswith(PREFIX) or upper == CONFIG_VARIABLE:
            continue
        name = tuple(upper.removeprefix(PREFIX).lower().split("__"))
        if name not in known and name[:-1] not in open_ended:
            hint = _suggest(variable_of(name), map(variable_of, known))
            raise ConfigurationError(f"The environment variable {given} names no setting: {hint}.")
    for name in _document_names(document, open_ended):
        if name not in known:
            dotted = ".".join(name)
            hint = _suggest(dotted, map(".".join, known))
            raise ConfigurationError(f"{config_file()} sets {dotted}, which is no setting: {hint}.")


def explain(
    model: type[BaseModel], error: ValidationError, environment: Mapping[str, str], document: Mapping[str, Any]
) -> ConfigurationError:
    """The first of the errors as one sentence: setting, value unless secret, place, what to do."""
    first, *others = error.errors(include_url=False, include_context=False)
    name = tuple(str(part) for part in first["loc"])
    while name and name not in set(leaves(model)) and _field(model, name) is None:
        name = name[:-1]
    reason = str(first["msg"]).removeprefix("Value error, ")
    more = f" ({len(others)} more to correct)" if others else ""
    return ConfigurationError(
        f"The setting {'.'.join(name)}{_given(model, name, environment, document)} is not valid: {_lower(reason)}; "
        f"correct it there or remove it to use the default{more}."
    )


def explain_unparsable(model: type[BaseModel], error: Exception, environment: Mapping[str, str]) -> ConfigurationError:
    """A variable that should hold JSON and does not."""
    variables = [variable_of(name) for name in leaves(model) if _is_mapping(model, name) or _is_list(model, name)]
    for given, value in environment.items():
        if given.upper() in variables and not _is_json(value):
            return ConfigurationError(
                f"The environment variable {given} = {value!r} is not JSON: a table is written as "
                '{"EUR": 1.1}, a list as [1, 2].'
            )
    return ConfigurationError(
        f"An environment variable is not readable: {error}; a table or a list is written as JSON."
    )


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _given(model: type[BaseModel], name: Name, environment: Mapping[str, str], document: Mapping[str, Any]) -> str:
    source = source_of(name, environment, document)
    place = "an argument" if source == "default" else source
    field = _field(model, name)
    if field is not None and _is_group(field):
        return ""  # two of its settings do not go together, whichever came from where
    if field is None or field.annotation is SecretStr:
        return f" (in {place})"
    value: Any = environment.get(source)
    if value is None:
        value = document
        for part in name:
            value = value.get(part) if isinstance(value, Mapping) else None
    value = without_password(value) if isinstance(value, str) else value
    return f" = {value!r} (in {place})" if value is not None else f" (in {place})"


def _is_group(field: Any) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _field(model: type[BaseModel], name: Name) -> Any:
    field: Any = None
    for part in name:
        if field is not None:
            if not _is_group(field):
                return None
            model = field.annotation
        field = model.model_fields.get(part)
        if field is None:
            return None
    return field


def _is_file(model: type[BaseModel], name: Name) -> bool:
    return "Path" in str(_field(model, name).annotation)


def _is_mapping(model: type[BaseModel], name: Name) -> bool:
    return str(_field(model, name).annotation).startswith("dict")


def _is_list(model: type[BaseModel], name: Name) -> bool:
    return str(_field(model, name).annotation).startswith("tuple")


def _document_names(document: Mapping[str, Any], open_ended: list[Name], above: Name = ()) -> Iterator[Name]:
    for key, value in document.items():
        name = (*above, key)
        if isinstance(value, Mapping) and name not in open_ended:
            yield from _document_names(value, open_ended, name)
        else:
            yield name


def _suggest(wrong: str, known: Iterator[str]) -> str:
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}" if close else "`footfall config show` lists all of them"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
