"""What of a refused record a dead letter keeps: all of it, unless it is so large that Kafka would refuse the letter.

A producer can get a record of any size past the broker (compressed, it looks small), and a letter that Kafka refuses
would stop the worker for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from schemas.topics import MAX_RECORD_BYTES

KEY_BYTES: Final = 65_536
HEADER_BYTES: Final = 262_144
"""Names and values of all headers together."""
EXCERPT_BYTES: Final = 65_536
"""What is kept of a value that is too large: enough to see whose it is. It is refused for its size in any case."""


class Kept(NamedTuple):
    """Key, value and headers as a letter holds them."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    cut: list[str]
    value_bytes: int | None
    value_sha256: str | None


def keep(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> Kept:
    """A record whole; or its beginnings, with the names of what was cut and the value's length and sha256."""
    large = value is not None and len(value) > MAX_RECORD_BYTES
    fitting = _fitting(headers)
    long_key = key is not None and len(key) > KEY_BYTES
    parts = {"key": long_key, "value": large, "headers": len(fitting) < len(headers)}
    return Kept(
        key=key[:KEY_BYTES] if key is not None else None,
        value=value[:EXCERPT_BYTES] if value is not None and large else value,
        headers=fitting,
        cut=[name for name, cut in parts.items() if cut],
        value_bytes=None if value is None else len(value),
        value_sha256=sha256(value).hexdigest() if value is not None and large else None,
    )


def _fitting(headers: Sequence[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    """The first headers, as many as fit."""
    room = HEADER_BYTES
    for count, (name, value) in enumerate(headers):
        room -= len(name.encode()) + len(value or b"")
        if room < 0:
            return list(headers[:count])
    return list(headers)
