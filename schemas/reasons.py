"""Why a record is refused: the closed list of reasons, what each means and what to do about it.

docs/dead-letters.md shows the same table, and a test holds both equal. A new reason begins here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Reason = Literal[
    "undecodable",
    "unknown_schema",
    "invalid_field",
    "oversize",
    "null_key",
    "unknown_name",
    "unknown_currency",
    "wrong_partition",
    "id_conflict",
    "state_type_error",
    "sink_rejected",
]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What people are told about a reason."""

    text: str
    """What is wrong with the record."""
    remedy: str
    """What to do, and where."""
    redrive: bool = True
    """Whether sending the very same record again can help once that is done."""


MEANINGS: Final[Mapping[Reason, Meaning]] = {
    "undecodable": Meaning(
        "The value is not Confluent-framed Avro, or its body does not fit its schema.",
        "Correct the producer; redrive only after a release of Footfall that reads such bytes.",
    ),
    "unknown_schema": Meaning(
        "The registry does not know the schema id, or it is another topic's schema.",
        "Register the schema; redrive a minute later, when the workers ask the registry again.",
    ),
    "invalid_field": Meaning(
        "A value lies outside its range: money, time, an id.",
        "Correct the producer; redrive only after a release of Footfall that accepts the value.",
    ),
    "oversize": Meaning(
        "The value is larger than 1 MB; the letter keeps its beginning, its length and its sha256.",
        "Make the producer send less; the whole record is in its topic until retention takes it.",
        redrive=False,
    ),
    "null_key": Meaning(
        "The record has no key, so nobody knows whose partition it belongs to.",
        "Make the producer key its records by customer_id and send them again.",
        redrive=False,
    ),
    "unknown_name": Meaning(
        "The topic does not carry an event of this name.",
        "Correct the producer; redrive after a release of Footfall that knows the name.",
    ),
    "unknown_currency": Meaning(
        "The settings have no rate for the currency.",
        "Add it to `rates`, restart process and sink, redrive.",
    ),
    "wrong_partition": Meaning(
        "The record's key is not its customer_id, or its partition is not that customer's.",
        "Make the producer use the murmur2 partitioner; redrive puts records under the right key where they belong.",
    ),
    "id_conflict": Meaning(
        "The same customer sent this event_id before, with another payload; the first one counts.",
        "Make the producer give every event an id of its own and send this one under a new id.",
        redrive=False,
    ),
    "state_type_error": Meaning(
        "The customer's key in Redis holds something that is no profile of Footfall's, or a damaged one.",
        "Find out who writes under the prefix, rename or remove the key, redrive.",
    ),
    "sink_rejected": Meaning(
        "ClickHouse refuses the row; in the profile the event counts.",
        "Correct what the detail names in ClickHouse, redrive: the row is written, the profile stays as it is.",
    ),
}

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
