"""`footfall dead-letters`: which records were refused and why, one of them in full, and sending them again."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Producer

from schemas.codec import OutputCodec
from schemas.errors import ConfigurationError, RetryableError
from schemas.reasons import REASONS
from schemas.results import DeadLetter
from schemas.topics import DEAD_LETTERS
from sinks.kafka import Publisher, build_producer_config
from streams.cli import dead_letters_view as view
from streams.cli.console import err
from streams.cli.plain import plain
from streams.kafka.config import KafkaConfig, kafka_config
from streams.kafka.reader import TopicReader
from streams.kafka.registry import Registry
from streams.kafka.topics import Topics, topic_specs
from streams.letters.redrive import Plan, plan_of
from streams.letters.redrive import redrive as send_again
from streams.letters.shelf import Entry, Shelf, letter_in, read_shelf
from streams.letters.where import parse_where
from streams.settings import Settings

SHORTEST_ID: Final = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """Which letters are meant: `--reason` (any of them) and `--where` (all of them)."""

    reasons: tuple[str, ...] = ()
    where: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class How:
    """How to send again."""

    dry_run: bool = False
    yes: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Desk:
    """What the commands read with."""

    settings: Settings
    kafka: KafkaConfig
    source: TopicReader
    registry: Registry

    @property
    def codec(self) -> OutputCodec:
        """Reads letters of any release."""
        return OutputCodec({}, self.registry.lookup)

    def shelf(self, wanted: Callable[[Entry], bool]) -> Shelf:
        """All letters that are wanted."""
        with _counting("records of dead-letters read") as note:
            return read_shelf(self.source, self.settings.kafka.partitions, self.codec, wanted, note)


def ls(settings: Settings, asked: Asked, *, limit: int, as_json: bool) -> int:
    """Print how many letters there are of each reason, and the newest `limit`; returns 0.

    Raises:
        ConfigurationError: an unknown reason, a filter that is none, or the topic is missing.
        UnreachableError: Kafka or the registry does not answer.

    """
    wanted = _wanted(asked, settings)
    with _opened(settings) as desk:
        shelf = desk.shelf(wanted)
    if as_json:
        view.print_json(view.listing(shelf, limit))
    else:
        view.show_listing(shelf, limit, settings.zone)
    return 0


def show(settings: Settings, letter_id: str, *, whole: bool, as_json: bool) -> int:
    """Print one letter; of its value the first 1024 bytes, or all; returns 0.

    Raises:
        ConfigurationError: no letter has this id, or several begin with it.
        UnreachableError: Kafka or the registry does not answer.

    """
    if len(letter_id) < SHORTEST_ID:
        raise ConfigurationError(
            f"{plain(letter_id)!r} is too short: give an id, or its first {SHORTEST_ID} characters."
        )
    with _opened(settings) as desk:
        shelf = desk.shelf(lambda entry: entry.letter_id.startswith(letter_id))
        entry = _only(list(shelf.entries.values()), letter_id)
        shown = view.Shown(entry, _letter_of(desk, entry), shelf.redriven.get(entry.letter_id), settings.zone)
        if as_json:
            view.print_json(view.in_full(shown))
        else:
            view.show_letter(shown, desk.registry.lookup, whole=whole)
    return 0


def redrive(settings: Settings, asked: Asked, how: How) -> int:
    """Send the letters' records again; returns 0, also when there is nothing to send or nobody agreed.

    Raises:
        ConfigurationError: as `ls`; or nobody can be asked and `--yes` is missing.
        UnreachableError: a server does not answer.
        RetryableError: Kafka did not confirm all of them; the command may be repeated.

    """
    wanted = _wanted(asked, settings)
    with _opened(settings) as desk:
        plan = plan_of(desk.shelf(wanted))
        if not how.as_json:
            view.show_plan(plan)
        sending = bool(plan.chosen) and not how.dry_run and (how.yes or _agreed(len(plan.chosen)))
        sent = _send(desk, plan) if sending else 0
    if how.as_json:
        view.print_json(view.planned(plan, sent, dry_run=how.dry_run))
    else:
        view.show_sent(plan, sent, dry_run=how.dry_run)
    return 0


@contextmanager
def _opened(settings: Settings) -> Iterator[Desk]:
    kafka = kafka_config(settings, "dead-letters")
    Topics(kafka).check(topic_specs(settings.kafka.partitions))
    with (
        closing(Registry.of(settings.registry)) as registry,
        closing(TopicReader.of(kafka, DEAD_LETTERS)) as source,
    ):
        yield Desk(settings, kafka, source, registry)


def _wanted(asked: Asked, settings: Settings) -> Callable[[Entry], bool]:
    for reason in asked.reasons:
        if reason not in REASONS:
            close = difflib.get_close_matches(reason, REASONS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the reasons are {', '.join(REASONS)}."
            raise ConfigurationError(f"--reason {plain(reason)!r} is none: {hint}")
    terms = parse_where(asked.where, settings.zone)

    def wanted(entry: Entry) -> bool:
        return (not asked.reasons or entry.reason in asked.reasons) and all(term.holds(entry) for term in terms)

    return wanted


def _only(found: Sequence[Entry], letter_id: str) -> Entry:
    if not found:
        raise ConfigurationError(
            f"There is no dead letter {plain(letter_id)!r}; `footfall dead-letters ls` shows which there are, and "
            "retention takes them after some days."
        )
    if len(found) > 1 and all(entry.letter_id != letter_id for entry in found):
        raise ConfigurationError(f"{len(found)} dead letters begin with {plain(letter_id)!r}: give more of the id.")
    return next((entry for entry in found if entry.letter_id == letter_id), found[0])


def _letter_of(desk: Desk, entry: Entry) -> DeadLetter:
    partition, offset = entry.place
    for records in desk.source.read({partition: offset}, limit=1):
        letter = letter_in(records[0], desk.codec) if records[0].offset == offset else None
        if letter is not None:
            return letter
        break
    raise ConfigurationError(f"The dead letter {entry.letter_id} is gone: retention has taken it just now.")


def _agreed(letters: int) -> bool:
    """Whether somebody at the terminal says yes."""
    if not (sys.stdin.isatty() and err.is_terminal):
        raise ConfigurationError(
            f"{letters} records would be sent, and nobody can be asked here: add --yes, or --dry-run."
        )
    err.print(f"Send again: {letters}. Go on? [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _send(desk: Desk, plan: Plan) -> int:
    publisher = Publisher(Producer(build_producer_config(desk.kafka.librdkafka())))
    try:
        with _counting(f"of {len(plan.chosen)} records sent") as note:
            return send_again(desk.source, plan, desk.codec, publisher, note)
    except RetryableError as error:
        raise RetryableError(
            f"{error}: give the same command again; what has arrived counts once, and marked letters are left out."
        ) from error


@contextmanager
def _counting(what: str) -> Iterator[Callable[[int], None]]:
    """Shows a growing number on a terminal's stderr; silent anywhere else."""
    if not err.is_terminal:
        yield lambda _n: None
        return
    with err.status(f"0 {what}") as status:
        yield lambda n: status.update(f"{n:,} {what}")
