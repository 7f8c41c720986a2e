"""A segments file -> units, or every mistake in it with line, column and what to write instead."""

from __future__ import annotations

import re
from typing import Final

from yaml.nodes import Node, ScalarNode

from processors.calendar import DAY, HOUR, MINUTE
from processors.rules.compile import RuleSet, compile_rules
from processors.rules.conditions import Comparison, Condition, Junction, Literally, Membership, Read
from processors.rules.definitions import Segment, UnitDefinition
from processors.rules.expression import CLOSED, ExpressionError, parse_condition
from processors.rules.positions import Source, compose, entries, items, text

LANGUAGES: Final = ("en", "zh")
_SEGMENT_KEYS: Final = ("id", "name", "when", "exit_when", "min_dwell", "action", "quiet")
_GROUP_KEYS: Final = ("id", "name", "segments")
_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
_DURATION: Final = re.compile(r"(\d{1,4}) ?([dhm])")
_UNITS: Final = {"d": DAY, "h": HOUR, "m": MINUTE}


def parse_rules(content: str, source: str) -> RuleSet:
    """The compiled rules of a segments file; `source` is the file's name in messages.

    Raises:
        RulesError: every mistake, one line each: `file:line:column: what is wrong, what to write`.

    """
    file = Source(content, source)
    top = entries(file, compose(file), "the file", ("groups", "segments"))
    groups = items(file, top["groups"], "`groups`") if "groups" in top else []
    lone = items(file, top["segments"], "`segments`") if "segments" in top else []
    ids: set[str] = set()
    units = [_group(file, node, ids) for node in groups] + [_lone(file, node, ids) for node in lone]
    file.raise_problems()
    return compile_rules(tuple(unit for unit in units if unit is not None))


def _group(file: Source, node: Node, ids: set[str]) -> UnitDefinition | None:
    found = entries(file, node, "a group", _GROUP_KEYS)
    identifier = _identifier(file, node, found, "a group", ids)
    what = f"the group `{identifier}`"
    names = _names(file, node, found, what)
    if "segments" not in found:
        file.complain(node, f"{what} has no `segments`")
        return None
    nodes = items(file, found["segments"], f"`segments` of {what}")
    inner: set[str] = set()
    segments = [_segment(file, item, inner) for item in nodes]
    kept = tuple(segment for segment in segments if segment is not None)
    if len(kept) < len(nodes) or not kept:
        if not nodes:
            file.complain(found["segments"], f"{what} has no segment")
        return None
    _check_total(file, nodes, kept, what)
    return UnitDefinition(identifier, names, group=True, segments=kept)


def _lone(file: Source, node: Node, ids: set[str]) -> UnitDefinition | None:
    segment = _segment(file, node, ids)
    if segment is None:
        return None
    if segment.when is None:
        file.complain(node, f"the segment `{segment.id}` has no `when`: only the last segment of a group may omit it")
    return UnitDefinition(segment.id, segment.names, group=False, segments=(segment,))


def _segment(file: Source, node: Node, ids: set[str]) -> Segment | None:
    """A segment, or null when something in it is wrong (and noted)."""
    before = len(file.problems)
    found = entries(file, node, "a segment", _SEGMENT_KEYS)
    identifier = _identifier(file, node, found, "a segment", ids)
    what = f"the segment `{identifier}`"
    segment = Segment(
        identifier,
        _names(file, node, found, what),
        _condition(file, found.get("when"), f"`when` of {what}"),
        _condition(file, found.get("exit_when"), f"`exit_when` of {what}"),
        _duration(file, found.get("min_dwell"), f"`min_dwell` of {what}"),
        text(file, found["action"], f"`action` of {what}") if "action" in found else None,
        _flag(file, found.get("quiet"), f"`quiet` of {what}"),
        " ".join(str(found["when"].value).split()) if "when" in found else "",
    )
    return segment if len(file.problems) == before else None


def _identifier(file: Source, node: Node, found: dict[str, Node], what: str, ids: set[str]) -> str:
    if "id" not in found:
        if found:
            file.complain(node, f"{what} has no `id`")
        return "?"
    identifier = text(file, found["id"], f"`id` of {what}") or "?"
    if identifier == "?":
        return identifier
    if not _IDENTIFIER.fullmatch(identifier):
        file.complain(found["id"], f"`{identifier}` is no id: use up to 48 of a-z, 0-9 and _, a letter first")
    elif identifier in ids:
        file.complain(
            found["id"],
            f"the id `{identifier}` is taken: ids are unique among groups and lone segments, and inside a group",
        )
    ids.add(identifier)
    return identifier


def _names(file: Source, node: Node, found: dict[str, Node], what: str) -> dict[str, str]:
    if "name" not in found:
        if found:
            file.complain(node, f"{what} has no name: add `name: {{en: ..., zh: ...}}`")
        return {}
    languages = entries(file, found["name"], f"the name of {what}", LANGUAGES)
    names = {language: text(file, value, f"the name of {what}") or "" for language, value in languages.items()}
    for language in LANGUAGES:
        if languages and language not in names:
            file.complain(found["name"], f"the name of {what} lacks `{language}`")
    return names


def _condition(file: Source, node: Node | None, what: str) -> Condition | None:
    if node is None:
        return None
    if not isinstance(node, ScalarNode) or node.tag.endswith(":null"):
        file.complain(node, f"{what} must be a condition, such as `orders_90d >= 3`")
        return None
    try:
        return parse_condition(node.value)
    except ExpressionError as error:
        file.complain_inside(node, error.offset, str(error))
        return None


def _flag(file: Source, node: Node | None, what: str) -> bool:
    if node is None:
        return False
    if not isinstance(node, ScalarNode) or node.value not in ("true", "false"):
        file.complain(node, f"{what} must be true or false")
        return False
    return str(node.value) == "true"


def _duration(file: Source, node: Node | None, what: str) -> int:
    if node is None:
        return 0
    written = text(file, node, what)
    if written is None:
        return 0
    match = _DURATION.fullmatch(written)
    if not match:
        file.complain(node, f"{what} is `{written}`: write days, hours or minutes, as in 3d, 12h or 30m")
        return 0
    return int(match[1]) * _UNITS[match[2]]


def _check_total(file: Source, nodes: list[Node], segments: tuple[Segment, ...], what: str) -> None:
    for node, segment in zip(nodes[:-1], segments[:-1], strict=True):
        if segment.when is None:
            file.complain(
                node,
                f"the segment `{segment.id}` has no `when` but is not the last of {what}: the rest could never hold",
            )
    if segments[-1].when is not None and not _covers_all([segment.when for segment in segments if segment.when]):
        file.complain(
            nodes[-1],
            f"{what} has no segment for what is left: leave `when` out of the last, `{segments[-1].id}`, or add one",
        )


def _covers_all(conditions: list[Condition]) -> bool:
    """Whether plain comparisons name every value of one closed trait; anything else counts as not total."""
    named: dict[str, set[object]] = {}
    for condition in conditions:
        for trait, value in _named_values(condition):
            named.setdefault(trait, set()).add(value)
    return any(values >= set(CLOSED.get(trait, (None,))) for trait, values in named.items())


def _named_values(condition: Condition) -> list[tuple[str, object]]:
    match condition:
        case Comparison(Read(trait), "==", Literally(value)) | Comparison(Literally(value), "==", Read(trait)):
            return [(trait.name, value)]
        case Membership(Read(trait), values):
            return [(trait.name, value) for value in values]
        case Junction(False, parts):
            return [pair for part in parts for pair in _named_values(part)]
    return []
