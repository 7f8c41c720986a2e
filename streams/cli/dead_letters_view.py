"""How dead letters look: what a customer wrote is data, shown as text and hex, never obeyed by the terminal."""

from __future__ import annotations

import heapq
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import Any, Final

from rich.text import Text

from schemas.codec import HEADER_BYTES, ParsedSchema, decode_body, schema_id_of
from schemas.errors import FootfallError
from schemas.reasons import MEANINGS, Meaning
from schemas.results import DeadLetter
from streams.cli.console import out, show_table
from streams.cli.plain import plain
from streams.letters.redrive import Plan
from streams.letters.shelf import Entry, Shelf

FIRST_BYTES: Final = 1_024
_SHORT_ID: Final = 8
_LINE: Final = 16
_MOST_FIELDS: Final = 60
Lookup = Callable[[int], ParsedSchema | None]


@dataclass(frozen=True, slots=True)
class Shown:
    """One letter to show, and the zone its times are shown in."""

    entry: Entry
    letter: DeadLetter
    redriven: int | None
    zone: tzinfo


# -- ls --------------------------------------------------------------------------------------------------


def show_listing(shelf: Shelf, limit: int, zone: tzinfo) -> None:
    """The counts by reason, then the newest letters."""
    if not shelf.entries:
        print("no dead letters" if not shelf.read else f"none of the {shelf.read} records in dead-letters is meant")
    else:
        show_table(("reason", "letters", "sent again", "newest"), list(_counts(shelf, zone)))
        print()
        headings = ("id", "refused", "reason", "from", "customer", "sent again", "detail")
        show_table(headings, [_row(entry, shelf, zone) for entry in _newest(shelf, limit)])
        if out.is_terminal and limit < len(shelf.entries):
            out.print(f"\n[dim]{limit} of {len(shelf.entries)}; more with --limit, fewer with --reason and --where[/]")
    if shelf.unread:
        places = ", ".join(f"{partition}/{offset}" for partition, offset in shelf.unreadable[:3])
        out.print(
            f"\n[yellow]{shelf.unread} records are no letters this release can read[/] (partition/offset {places})"
        )


def listing(shelf: Shelf, limit: int) -> dict[str, Any]:
    """The same for programs."""
    return {
        "counts": [
            {"reason": reason, "letters": len(entries), "redriven": sum(e.letter_id in shelf.redriven for e in entries)}
            for reason, entries in _by_reason(shelf)
        ],
        "letters": [_facts(entry, shelf.redriven.get(entry.letter_id)) for entry in _newest(shelf, limit)],
        "unreadable": shelf.unread,
    }


def _newest(shelf: Shelf, limit: int) -> list[Entry]:
    return heapq.nlargest(limit, shelf.entries.values(), key=lambda entry: (entry.refused, entry.place))


def _by_reason(shelf: Shelf) -> list[tuple[str, list[Entry]]]:
    groups: dict[str, list[Entry]] = {}
    for entry in shelf.entries.values():
        groups.setdefault(entry.reason, []).append(entry)
    return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))


def _counts(shelf: Shelf, zone: tzinfo) -> Iterator[tuple[str | Text, ...]]:
    for reason, entries in _by_reason(shelf):
        again = sum(entry.letter_id in shelf.redriven for entry in entries)
        newest = max(entry.refused for entry in entries)
        yield Text(plain(reason), "yellow"), f"{len(entries)}", f"{again}", _time(newest, zone)


def _row(entry: Entry, shelf: Shelf, zone: tzinfo) -> tuple[str | Text, ...]:
    again = shelf.redriven.get(entry.letter_id)
    return (
        Text(plain(entry.letter_id)[: _SHORT_ID if out.is_terminal else None], "bold"),
        _time(entry.refused, zone),
        Text(plain(entry.reason), "yellow"),
        f"{plain(entry.topic)}/{entry.partition}/{entry.offset}",
        "-" if entry.customer is None else plain(entry.customer),
        Text("-" if again is None else _time(again, zone), "dim" if again is None else "green"),
        plain(entry.detail),
    )


def _facts(entry: Entry, redriven: int | None) -> dict[str, Any]:
    return {
        "id": entry.letter_id, "reason": entry.reason, "detail": entry.detail, "topic": entry.topic,
        "partition": entry.partition, "offset": entry.offset, "customer": entry.customer, "bytes": entry.size,
        "whole": entry.whole, "refused": _iso(entry.refused), "redriven": None if redriven is None else _iso(redriven),
    }  # fmt: skip


# -- show ------------------------------------------------------------------------------------------------


def show_letter(shown: Shown, lookup: Lookup, *, whole: bool) -> None:
    """Everything of one letter."""
    letter = shown.letter
    meaning = _meaning(letter.reason)
    show_table(("letter", letter.letter_id), [*_lines(shown, meaning), *_header_lines(letter)])
    _dump("key", letter.key, whole=whole)
    _dump("value", letter.value, whole=whole)
    fields = list(islice(_event_lines(letter, lookup), _MOST_FIELDS))
    if fields:
        _title("the value, read under its schema")
        show_table(("field", "value"), fields)


def in_full(shown: Shown) -> dict[str, Any]:
    """The same for programs; bytes as base64."""
    letter = shown.letter
    meaning = _meaning(letter.reason)
    return {
        **_facts(shown.entry, shown.redriven),
        "meaning": meaning.text,
        "remedy": meaning.remedy,
        "timestamp": _iso(letter.timestamp),
        "key": _base64(letter.key),
        "value": _base64(letter.value),
        "headers": [{"name": name, "value": _base64(value)} for name, value in letter.headers],
        "cut": letter.cut,
        "value_sha256": letter.value_sha256,
    }


def hex_lines(content: bytes) -> Iterator[str]:
    """Offset, bytes in hex, and as ASCII with a dot for what is none: no byte reaches the terminal as it is."""
    for first in range(0, len(content), _LINE):
        some = content[first : first + _LINE]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in some)
        yield f"{first:08x}  {some.hex(' '):<{3 * _LINE}} |{text}|"


def _lines(shown: Shown, meaning: Meaning) -> Iterator[tuple[str, str | Text]]:
    entry, letter = shown.entry, shown.letter
    yield "reason", Text(plain(letter.reason), "yellow")
    yield "meaning", meaning.text
    yield "detail", plain(letter.detail)
    yield "what to do", meaning.remedy
    yield "from", f"topic {plain(letter.topic)}, partition {letter.partition}, offset {letter.offset}"
    yield "its time", _time(letter.timestamp, shown.zone)
    yield "refused", _time(entry.refused, shown.zone)
    yield "sent again", "-" if shown.redriven is None else _time(shown.redriven, shown.zone)
    yield "bytes", f"{entry.size}"
    if letter.cut:
        yield "cut", f"{', '.join(letter.cut)}: too large for a letter"
    if letter.value_sha256:
        yield "sha256", letter.value_sha256


def _header_lines(letter: DeadLetter) -> Iterator[tuple[str, str]]:
    for name, value in letter.headers:
        shown = "null" if value is None else plain(value[:500].decode("utf-8", "backslashreplace"))
        yield f"header {plain(name)}", shown


def _dump(name: str, content: bytes | None, *, whole: bool) -> None:
    _title(name)
    if content is None:
        print("null")
        return
    shown = content if whole else content[:FIRST_BYTES]
    for line in hex_lines(shown):
        print(line)
    if len(shown) < len(content):
        print(f"... {len(content) - len(shown)} more bytes: --all")


def _event_lines(letter: DeadLetter, lookup: Lookup) -> Iterator[tuple[str, str]]:
    """The fields of a value that can be read; none where it cannot."""
    schema_id = schema_id_of(letter.value or b"")
    try:
        schema = None if schema_id is None or letter.cut else lookup(schema_id)
        fields = decode_body(schema, (letter.value or b"")[HEADER_BYTES:]) if schema is not None else {}
    except FootfallError:
        raise
    except Exception:  # noqa: BLE001  fastavro raises nearly anything on bad bytes
        return
    for name, value in fields.items():
        yield name, plain(value if isinstance(value, str) else repr(value))


def _title(text: str) -> None:
    out.print(f"\n[bold]{text}[/]")


def _meaning(reason: str) -> Meaning:
    unknown = Meaning("A reason this release does not know.", "Use the release that wrote the letter.")
    return next((meaning for known, meaning in MEANINGS.items() if known == reason), unknown)


# -- redrive ---------------------------------------------------------------------------------------------


def show_plan(plan: Plan) -> None:
    """What would be sent, and what stays for which reason."""
    groups = _groups(plan)
    if groups:
        show_table(("topic", "reason", "records"), [(topic, reason, f"{n}") for (topic, reason), n in groups])
    if plan.sent_before:
        out.print(f"{plan.sent_before} sent again before: left out")
    for why, count in plan.obstacles.most_common():
        out.print(f"{count} stay: {plain(why)}", markup=False)


def _groups(plan: Plan) -> list[tuple[tuple[str, str], int]]:
    """(topic, reason) -> records to send, sorted."""
    return sorted(Counter((entry.topic, entry.reason) for entry in plan.chosen).items())


def show_sent(plan: Plan, sent: int, *, dry_run: bool) -> None:
    """How it ended."""
    if dry_run:
        print(f"dry run: {len(plan.chosen)} records would be sent, nothing was")
    elif not plan.chosen:
        print("nothing to send")
    else:
        print(f"sent again: {sent}")
        if 0 < sent < len(plan.chosen):
            print(f"gone: {len(plan.chosen) - sent}, retention has taken them meanwhile")


def planned(plan: Plan, sent: int, *, dry_run: bool) -> dict[str, Any]:
    """The same for programs."""
    return {
        "chosen": [{"topic": topic, "reason": reason, "records": n} for (topic, reason), n in _groups(plan)],
        "sent": sent,
        "sent_before": plan.sent_before,
        "stay": [{"why": why, "letters": n} for why, n in plan.obstacles.most_common()],
        "dry_run": dry_run,
    }


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on stdout, in ASCII: somebody may look at it on a terminal after all."""
    print(json.dumps(document, indent=2))


def _base64(content: bytes | None) -> str | None:
    return None if content is None else b64encode(content).decode()


def _time(instant: int, zone: tzinfo) -> str:
    moment = _moment(instant)
    return f"{instant} ms" if moment is None else moment.astimezone(zone).isoformat(" ", "seconds")


def _iso(instant: int) -> str | None:
    moment = _moment(instant)
    return None if moment is None else moment.isoformat(timespec="milliseconds")


def _moment(instant: int) -> datetime | None:
    """An instant (ms); a producer may have stamped its record with one that no calendar holds, or with none (-1)."""
    try:
        return datetime.fromtimestamp(instant / 1000, UTC) if instant >= 0 else None
    except (ValueError, OverflowError, OSError):
        return None
