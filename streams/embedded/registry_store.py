"""What the embedded schema registry knows: schemas by id, versions by subject, compatibility levels; one JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schemas import evolution
from schemas.errors import ConfigurationError

DEFAULT_LEVEL = "BACKWARD"


class RegistryError(Exception):
    """An answer of the registry: HTTP status, Confluent's error code, message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass
class Version:
    """One version of a subject."""

    version: int
    id: int
    deleted: bool = False


@dataclass
class State:
    """Everything persisted."""

    schemas: dict[int, str] = field(default_factory=dict)
    subjects: dict[str, list[Version]] = field(default_factory=dict)
    level: str = DEFAULT_LEVEL
    levels: dict[str, str] = field(default_factory=dict)


class RegistryStore:
    """The registry's rules over its state; every change is on disk before it is answered."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._state = _load(file)
        self._ids = {identity_of(text): id_ for id_, text in self._state.schemas.items()}

    def register(self, subject: str, text: str) -> Version:
        """The version of this schema, made where the subject does not have it; 409 when it is incompatible."""
        ensure_avro(text)
        found = self._find(subject, text)
        if found is not None:
            return found
        versions = self._state.subjects.get(subject, [])
        reasons = self._reasons(subject, text, [v for v in versions if not v.deleted])
        if reasons:
            raise RegistryError(409, 409, f"Schema being registered is incompatible with an earlier schema for subject "
                                f'"{subject}", details: {list(reasons)}')  # fmt: skip
        id_ = self._id_of(text)
        made = Version(max((v.version for v in versions), default=0) + 1, id_)
        self._state.subjects.setdefault(subject, []).append(made)
        self._save()
        return made

    def lookup(self, subject: str, text: str) -> Version:
        """The version of a subject that has this schema, or 40403."""
        ensure_avro(text)
        self.versions(subject)
        found = self._find(subject, text)
        if found is None:
            raise RegistryError(404, 40403, "Schema not found")
        return found

    def text(self, id_: int) -> str:
        """A schema by id, or 40403."""
        if id_ not in self._state.schemas:
            raise RegistryError(404, 40403, f"Schema {id_} not found")
        return self._state.schemas[id_]

    def subjects(self, *, deleted: bool = False) -> list[str]:
        """Subjects that have a version."""
        return [
            name for name, versions in self._state.subjects.items() if any(deleted or not v.deleted for v in versions)
        ]

    def versions(self, subject: str, *, deleted: bool = False) -> list[Version]:
        """Versions of a subject, oldest first, or 40401."""
        found = [v for v in self._state.subjects.get(subject, []) if deleted or not v.deleted]
        if not found:
            raise RegistryError(404, 40401, f"Subject '{subject}' not found.")
        return found

    def version(self, subject: str, wanted: str, *, deleted: bool = False) -> Version:
        """One version by number, `latest` or -1; 40402 where there is none, 42202 where it is no version."""
        found = self.versions(subject, deleted=deleted)
        if wanted in {"latest", "-1"}:
            return found[-1]
        if not wanted.isdecimal() or wanted == "0":
            raise RegistryError(422, 42202, f"The specified version '{wanted}' is not a valid version id.")
        for version in found:
            if version.version == int(wanted):
                return version
        raise RegistryError(404, 40402, f"Version {wanted} not found.")

    def uses(self, id_: int) -> list[tuple[str, int]]:
        """(subject, version) of every use of a schema id."""
        self.text(id_)
        return [(s, v.version) for s, versions in self._state.subjects.items() for v in versions if v.id == id_]

    def check(self, subject: str, text: str, wanted: str | None) -> list[str]:
        """Reasons why the schema is incompatible with one version (None: with those the subject's level names)."""
        ensure_avro(text)
        against = self.versions(subject) if wanted is None else [self.version(subject, wanted)]
        return list(self._reasons(subject, text, against))

    def level(self, subject: str | None = None, *, or_global: bool = True) -> str:
        """The compatibility level of a subject or of all; 40408 where a subject has none of its own."""
        if subject is None or (subject not in self._state.levels and or_global):
            return self._state.level
        if subject not in self._state.levels:
            raise RegistryError(404, 40408, f"Subject '{subject}' does not have subject-level compatibility configured")
        return self._state.levels[subject]

    def set_level(self, level: str, subject: str | None = None) -> None:
        """Set a level; 42203 where it is none."""
        if level not in evolution.LEVELS:
            raise RegistryError(
                422, 42203, f"Invalid compatibility level {level!r}. Valid values are {', '.join(evolution.LEVELS)}."
            )
        if subject is None:
            self._state.level = level
        else:
            self._state.levels[subject] = level
        self._save()

    def unset_level(self, subject: str) -> str:
        """Remove a subject's own level and return it."""
        level = self.level(subject, or_global=False)
        del self._state.levels[subject]
        self._save()
        return level

    def delete(self, subject: str, wanted: str | None = None, *, permanent: bool = False) -> list[int]:
        """Delete a version (None: all); softly, or for good what was deleted softly before."""
        every = self.versions(subject, deleted=permanent)
        chosen = every if wanted is None else [self.version(subject, wanted, deleted=permanent)]
        if not permanent:
            for version in chosen:
                version.deleted = True
        elif any(not version.deleted for version in chosen):
            raise RegistryError(
                404, 40405, f"Subject '{subject}' was not deleted first before being permanently deleted"
            )
        else:
            self._state.subjects[subject] = [v for v in self._state.subjects[subject] if v not in chosen]
        self._save()
        return [version.version for version in chosen]

    def _find(self, subject: str, text: str) -> Version | None:
        id_ = self._ids.get(identity_of(text))
        live = (v for v in self._state.subjects.get(subject, []) if not v.deleted)
        return next((v for v in live if v.id == id_), None)

    def _id_of(self, text: str) -> int:
        identity = identity_of(text)
        if identity not in self._ids:
            self._ids[identity] = max(self._state.schemas, default=0) + 1
            self._state.schemas[self._ids[identity]] = text
        return self._ids[identity]

    def _reasons(self, subject: str, text: str, against: Sequence[Version]) -> Sequence[str]:
        return evolution.check(text, [self.text(v.id) for v in against], self.level(subject))

    def _save(self) -> None:
        state = self._state
        document = {
            "level": state.level,
            "levels": state.levels,
            "schemas": {str(id_): text for id_, text in state.schemas.items()},
            "subjects": {
                name: [[v.version, v.id, v.deleted] for v in versions] for name, versions in state.subjects.items()
            },
        }
        write_atomically(self._file, json.dumps(document, indent=1).encode())


def ensure_avro(text: str) -> None:
    """42201 unless the JSON text is an Avro schema."""
    try:
        evolution.check(text, (), "NONE")
    except ValueError as error:
        raise RegistryError(422, 42201, f"Invalid schema: {error}") from error


def identity_of(text: str) -> str:
    """Texts with equal identity are one schema: the order of JSON keys and blanks do not matter."""
    return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def write_atomically(file: Path, data: bytes) -> None:
    """Replace a file by its new content or leave it as it was, also when the machine loses power."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    with draft.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)


def _load(file: Path) -> State:
    if not file.exists():
        return State()
    try:
        document = json.loads(file.read_bytes())
        return State(
            schemas={int(id_): text for id_, text in document["schemas"].items()},
            subjects={name: [Version(*row) for row in rows] for name, rows in document["subjects"].items()},
            level=document["level"],
            levels=document["levels"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"The schema registry's file {file} is not readable ({error}): restore it, or remove it to start empty."
        ) from error
