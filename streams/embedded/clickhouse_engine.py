"""The ClickHouse engine in this process (chdb): one statement with its settings, parameters and insert data.

A chdb handle keeps settings and the current database for good, and opening one costs 0.7 ms. So handles are kept
by (database, settings) and reused only for the same pair: nothing of one request shows in another.
"""

from __future__ import annotations

import re
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chdb

_IDLE_HANDLES = 8
_ENGINE_DEFAULTS = {"implicit_select": "0"}  # chdb guesses SELECT in front of anything; a server does not
_NAME = re.compile(r"[A-Za-z_]\w*\Z")
_TOKEN = re.compile(
    rb"""\s+|--[^\n]*|\#!?[^\n]*|/\*.*?\*/"""
    rb"""|'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`"""
    rb"""|[A-Za-z_]\w*|.""",
    re.DOTALL | re.VERBOSE,
)
_STATEMENTS_WITH_ROWS = frozenset({b"SELECT", b"WITH", b"SHOW", b"DESCRIBE", b"DESC", b"EXISTS", b"EXPLAIN", b"CHECK"})
_SESSION_STATEMENTS = frozenset({b"SET", b"USE"})
_CODE = re.compile(r"Code: (\d+)\.")


@dataclass(frozen=True)
class Statement:
    """What one HTTP request asks the engine for; `text` may end with an INSERT's data."""

    text: bytes
    database: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    default_format: str = "TabSeparated"


@dataclass(frozen=True)
class Answer:
    """A result: its bytes, the format they are in (empty: a statement without rows) and the statistics."""

    body: bytes
    format: str
    summary: Mapping[str, str]


class EngineError(Exception):
    """ClickHouse's own error, with its numeric code (0: unknown)."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        found = _CODE.search(message)
        self.code = int(found[1]) if found else 0


@dataclass(frozen=True)
class SplitInsert:
    """An INSERT cut where FROM INFILE goes: `head`, then settings and format in `tail`, then the data."""

    head: bytes
    tail: bytes
    data: bytes


def words_at_top(text: bytes, limit: int = 65_536) -> list[tuple[bytes, int, int]]:
    """(WORD, start, end) outside quotes, comments and parentheses, in the first `limit` bytes."""
    depth = 0
    words = []
    for token in _TOKEN.finditer(text, 0, limit):
        first = token[0][:1]
        if first == b"(":
            depth += 1
        elif first == b")":
            depth -= 1
        elif depth == 0 and (first.isalpha() or first == b"_"):
            words.append((token[0].upper(), token.start(), token.end()))
            if words[-1][0] == b"VALUES":  # what follows is data of any size
                break
    return words


def split_insert(text: bytes) -> SplitInsert | None:
    """The parts of an `INSERT ... FORMAT x data` or `INSERT ... VALUES data`; None for any other statement."""
    words = words_at_top(text)
    if not words or words[0][0] != b"INSERT":
        return None
    cut = 0
    for i, (word, start, end) in enumerate(words):
        if word in {b"SELECT", b"WITH", b"INFILE"}:
            return None
        if word == b"SETTINGS" and not cut:
            cut = start
        if word == b"VALUES":
            return SplitInsert(text[: cut or start], text[cut:start] if cut else b"", text[end:])
        if word == b"FORMAT" and i + 1 < len(words):
            return _split_at_format(text, cut or start, words[i + 1][2])
    return None


def _split_at_format(text: bytes, cut: int, end: int) -> SplitInsert:
    data = text[end:]
    newline = re.match(rb"[ \t;]*\r?\n|\s", data)  # Native and Arrow data may begin with any byte
    return SplitInsert(text[:cut], text[cut:end], data[newline.end() if newline else 0 :])


class Engine:
    """The engine on one data path; safe to call from several threads. One process may hold the path."""

    def __init__(self, path: Path) -> None:
        self._path = str(path.resolve())
        self._idle: OrderedDict[object, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._scratch = tempfile.TemporaryDirectory(prefix="footfall-insert-")
        self._keeper = chdb.connect(self._path)  # the engine lives while one handle does
        self.version = self._keeper.query("SELECT version()", "TabSeparated").bytes().decode().strip()

    def run(self, statement: Statement) -> Answer:
        """Run one statement.

        Raises:
            EngineError: what ClickHouse answered instead.

        """
        words = words_at_top(statement.text)
        first = words[0][0] if words else b""
        key, handle = self._take(statement)
        try:
            answer = self._execute(handle, statement, first)
        except RuntimeError as error:
            handle.close()
            raise EngineError(_bare(str(error))) from error
        except BaseException:
            handle.close()
            raise
        self._give_back(key, handle, reusable=first not in _SESSION_STATEMENTS)
        return answer

    def close(self) -> None:
        """Close every handle; the engine ends with the last one."""
        with self._lock:
            for handle in self._idle.values():
                handle.close()
            self._idle.clear()
        self._keeper.close()
        self._scratch.cleanup()

    def _execute(self, handle: Any, statement: Statement, first: bytes) -> Answer:
        started = time.perf_counter_ns()
        insert = split_insert(statement.text) if first == b"INSERT" else None
        if insert is not None:
            result = self._insert(handle, insert)
            return Answer(b"", "", _summary("written", result, started))
        result = handle.query(statement.text, statement.default_format, params=dict(statement.parameters))
        has_rows = first in _STATEMENTS_WITH_ROWS or statement.text.lstrip().startswith(b"(")
        answer_format = _explicit_format(statement.text) or statement.default_format
        return Answer(result.bytes() or b"", answer_format if has_rows else "", _summary("read", result, started))

    def _insert(self, handle: Any, insert: SplitInsert) -> Any:
        # inline data is read only up to max_query_size; a file has no limit and counts the rows it wrote
        with tempfile.NamedTemporaryFile(dir=self._scratch.name) as data:
            data.write(insert.data)
            data.flush()
            format_clause = b"" if re.search(rb"\bFORMAT\s+\w+\s*\Z", insert.tail, re.IGNORECASE) else b" FORMAT Values"
            infile = b"FROM INFILE '%b' " % data.name.encode()
            return handle.query(insert.head + infile + insert.tail + format_clause, "TabSeparated")

    def _take(self, statement: Statement) -> tuple[object, Any]:
        settings = {**_ENGINE_DEFAULTS, **statement.settings}
        key = (statement.database, tuple(sorted(settings.items())))
        with self._lock:
            handle = self._idle.pop(key, None)
        return key, handle or self._open(statement.database, settings)

    def _open(self, database: str, settings: Mapping[str, str]) -> Any:
        try:
            handle = chdb.connect(self._path)
            if database:
                handle.query("USE `" + database.replace("\\", "\\\\").replace("`", "\\`") + "`")
            handle.query("SET " + ", ".join(f"{_name(name)} = {_literal(value)}" for name, value in settings.items()))
        except RuntimeError as error:
            raise EngineError(_bare(str(error))) from error
        return handle

    def _give_back(self, key: object, handle: Any, *, reusable: bool) -> None:
        with self._lock:
            crowded_out = handle
            if reusable:
                crowded_out = self._idle.pop(key, None)
                self._idle[key] = handle
                if len(self._idle) > _IDLE_HANDLES:
                    crowded_out = self._idle.popitem(last=False)[1]
        if crowded_out is not None:
            crowded_out.close()


def _summary(direction: str, result: Any, started_ns: int) -> dict[str, str]:
    return {
        "read_rows": str(result.rows_read()),
        "read_bytes": str(result.bytes_read()),
        "written_rows": str(result.rows_read()) if direction == "written" else "0",
        "written_bytes": str(result.bytes_read()) if direction == "written" else "0",
        "elapsed_ns": str(time.perf_counter_ns() - started_ns),
    }


def _explicit_format(text: bytes) -> str:
    found = re.search(rb"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b.*)?;?\s*\Z", text[-65_536:], re.IGNORECASE | re.DOTALL)
    return found[1].decode() if found else ""


def _bare(message: str) -> str:
    return message[max(0, message.find("Code: ")) :].strip()


def _name(setting: str) -> str:
    if not _NAME.match(setting):
        raise EngineError(f"Code: 115. DB::Exception: Setting {setting[:64]!r} is not a name. (UNKNOWN_SETTING)")
    return setting


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
