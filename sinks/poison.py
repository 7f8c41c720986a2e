"""What the limits of bad input have counted, kept over restarts: a supervisor starts a stopped worker again at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

import redis

from sinks.keys import DEFAULT_PREFIX, poison_key
from sinks.redis_calls import answered, failures_of, transaction

_BAD: Final = "bad:"


class PoisonSums(NamedTuple):
    """Bad records that went to `dead-letters`, and under which limits that was borne."""

    in_a_row: int
    """Limit: records."""
    share: float
    """Limit: of the last records."""
    row: int
    """Bad records in a row, up to the last one."""
    received: int
    """The last records."""
    bad: Mapping[str, int]
    """Reason -> how many of the last records are bad."""


class PoisonCounts:
    """One hash of the installation; the worker that wrote last counts. Raises what `ProfileStore` does."""

    def __init__(self, client: redis.Redis, prefix: str = DEFAULT_PREFIX) -> None:
        self._client = client
        self._key = poison_key(prefix)

    def load(self) -> PoisonSums | None:
        """What was saved last; null when nothing bad was ever buried, or the hash is not what we write."""
        with failures_of(self._client):
            found = cast("dict[bytes, bytes]", self._client.hgetall(self._key))
        held = {name.decode(): value.decode() for name, value in found.items()}
        try:
            bad = {name.removeprefix(_BAD): int(n) for name, n in held.items() if name.startswith(_BAD)}
            return PoisonSums(int(held["in_a_row"]), float(held["share"]), int(held["row"]), int(held["received"]), bad)
        except (KeyError, ValueError):
            return None

    def save(self, sums: PoisonSums) -> None:
        """In place of what was saved before, in one round trip."""
        fields: dict[str, Any] = {name: value for name, value in sums._asdict().items() if name != "bad"}
        fields |= {_BAD + reason: n for reason, n in sums.bad.items()}
        pairs = [part for pair in fields.items() for part in pair]
        with failures_of(self._client):
            for answer in transaction(self._client, [("DEL", self._key), ("HSET", self._key, *pairs)]):
                answered(answer)
