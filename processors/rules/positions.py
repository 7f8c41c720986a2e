"""YAML nodes with their places: every complaint about a segments file says file:line:column."""

from __future__ import annotations

from difflib import get_close_matches

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from schemas.errors import RulesError


class Source:
    """The text of one segments file, its name, and what was found wrong with it."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.problems: list[tuple[int, int, str]] = []

    def complain(self, node: Node, message: str) -> None:
        """Note what is wrong at a node."""
        self._complain_at_index(node.start_mark.index, message)

    def complain_inside(self, node: ScalarNode, offset: int, message: str) -> None:
        """Note what is wrong at a character (from 0) of a scalar's value."""
        self._complain_at_index(self._index_of(node, offset), message)

    def _complain_at_index(self, index: int, message: str) -> None:
        before = self.text[:index]
        self.complain_at(before.count("\n"), index - (before.rfind("\n") + 1), message)

    def complain_at(self, line: int, column: int, message: str) -> None:
        """Note what is wrong at a line and column, both from 0."""
        self.problems.append((line, column, message))

    def raise_problems(self) -> None:
        """Raise everything noted, one line each in the order of the file; nothing noted: return."""
        if self.problems:
            ordered = sorted(self.problems)
            raise RulesError(
                "\n".join(f"{self.name}:{line + 1}:{column + 1}: {text}" for line, column, text in ordered)
            )

    def _index_of(self, node: ScalarNode, offset: int) -> int:
        """Where a character of a scalar's value stands in the file: folding, quotes and escapes only add characters."""
        index, last = node.start_mark.index, node.end_mark.index
        if node.style in ("'", '"'):
            index += 1
        elif node.style in ("|", ">"):
            index = self.text.index("\n", index) + 1
        for position, character in enumerate(node.value[: offset + 1]):
            if character.isspace():
                continue
            found = self.text.find(character, index, last)
            if found < 0:
                break
            if position == offset:
                return found
            index = found + 1
        return min(index, last)


def compose(source: Source) -> Node:
    """The root node. Only nodes are built, so no tag of the file can construct anything.

    Raises:
        RulesError: where the text is not YAML, or holds nothing.

    """
    try:
        root = yaml.compose(source.text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        source.complain_at(line, column, f"this is not YAML ({error.problem or error.context})")
    except yaml.YAMLError as error:
        source.complain_at(0, 0, f"this is not YAML ({' '.join(str(error).split())})")
    except RecursionError:
        source.complain_at(0, 0, "this is nested too deeply")
    else:
        if root is not None:
            return root
        source.complain_at(0, 0, "the file is empty: it needs `groups` or `segments`")
    source.raise_problems()
    raise AssertionError("unreachable: something was noted above")


def entries(source: Source, node: Node, what: str, allowed: tuple[str, ...]) -> dict[str, Node]:
    """The values of a mapping by key; unknown and repeated keys are noted and left out."""
    if not isinstance(node, MappingNode):
        source.complain(node, f"{what} must be a mapping of {', '.join(allowed)}")
        return {}
    found: dict[str, Node] = {}
    for key, value in node.value:
        name = key.value if isinstance(key, ScalarNode) else None
        if name not in allowed:
            close = get_close_matches(str(name), allowed, n=1)
            hint = f": did you mean `{close[0]}`?" if close else f" (it has {', '.join(allowed)})"
            source.complain(key, f"{what} has no key `{name if name is not None else '?'}`{hint}")
        elif name in found:
            source.complain(key, f"{what} has `{name}` twice")
        else:
            found[name] = value
    return found


def items(source: Source, node: Node, what: str) -> list[Node]:
    """The items of a list; anything else is noted and has none."""
    if isinstance(node, SequenceNode):
        return list(node.value)
    source.complain(node, f"{what} must be a list")
    return []


def text(source: Source, node: Node, what: str) -> str | None:
    """The text of a scalar as written, stripped; null, with a note, when there is none."""
    if not isinstance(node, ScalarNode):
        source.complain(node, f"{what} must be a text")
    elif not node.value.strip() or node.tag.endswith(":null"):
        source.complain(node, f"{what} is empty")
    else:
        return str(node.value).strip()
    return None
