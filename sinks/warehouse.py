"""The ClickHouse warehouse: blocks of rows, sent until they are in, byte for byte the same each time.

ClickHouse may apply a block whose answer is lost, and recognises a repeated one only within limits. So nothing here
counts on insert deduplication: every row has an identity, and the views show one row per identity however often a
block went in (deploy/clickhouse). The token only saves ReplicatedMergeTree a merge; it is the digest of the very
bytes, because a token used again for other rows would drop them silently.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.errors import PoisonLimitError, RetryableError

_SETTINGS: Final = {
    "async_insert": "0",  # acknowledged means written: asynchronous inserts have lost acknowledged rows
    "input_format_null_as_default": "1",
    "max_partitions_per_insert_block": "0",  # a replay spans years of months in one block
}

_DATA_ERRORS: Final = frozenset({
    6, 25, 26, 27, 38, 41, 53, 69, 70, 72, 117, 131, 321, 349, 407, 469,
})  # fmt: skip
"""Codes by which ClickHouse says that a value does not fit: parsing (6, 25-27, 38, 41, 72, 117), types and ranges
(53, 69, 70, 131, 321, 407), NULL in a plain column (349), a violated CONSTRAINT (469). All others are the server's."""

REFUSALS_ALWAYS_ALLOWED: Final = 10
REFUSED_SHARE_ALLOWED: Final = 0.01


@dataclass(frozen=True, slots=True)
class Block:
    """Rows for one table, frozen: a retry sends the same bytes under the same token."""

    table: str
    size: int
    payload: bytes
    """The rows as an Arrow stream; its column names are the table's."""
    token: str

    @classmethod
    def of(cls, table: str, rows: Any) -> Block:
        """The block of an Arrow table."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        payload = sink.getvalue().to_pybytes()
        return cls(table, rows.num_rows, payload, hashlib.sha256(payload).hexdigest())

    @property
    def rows(self) -> Any:
        """The Arrow table again; it shares the payload's memory."""
        return pa.ipc.open_stream(self.payload).read_all()

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(pa.ipc.open_stream(self.payload).schema.names)


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that ClickHouse does not take, by its position in the block, and why."""

    position: int
    detail: str


class Warehouse:
    """Writes blocks into one database through a ready `clickhouse_connect` client. Blocking: call it from a thread."""

    def __init__(self, client: Any, database: str) -> None:
        self._client = client
        self._database = database

    def insert(self, block: Block) -> list[Refused]:
        """Write every row ClickHouse takes; the rows it refuses.

        Where the server refuses the block for its data, the block is halved until the bad rows stand alone.

        Raises:
            RetryableError: the server does not answer or is in trouble; the block may or may not be in. Send it again.
            PoisonLimitError: more than 1 % of the rows (and more than 10) are refused: the table is wrong, not rows.

        """
        refused: list[Refused] = []
        allowed = max(REFUSALS_ALWAYS_ALLOWED, int(block.size * REFUSED_SHARE_ALLOWED))
        self._insert(block, 0, refused, allowed)
        return refused

    def _insert(self, block: Block, first: int, refused: list[Refused], allowed: int) -> None:
        problem = self._send(block)
        if problem is None:
            return
        if block.size == 1:
            refused.append(Refused(first, problem))
            if len(refused) > allowed:
                raise PoisonLimitError(
                    f"ClickHouse refuses more than {allowed} rows of one block for {block.table}; the last: {problem}"
                )
            return
        half, rows = block.size // 2, block.rows
        self._insert(Block.of(block.table, rows.slice(0, half)), first, refused, allowed)
        self._insert(Block.of(block.table, rows.slice(half)), first + half, refused, allowed)

    def _send(self, block: Block) -> str | None:
        """Insert; what ClickHouse says against the data, or None when it is in."""
        table = f"{self._database}.{block.table}"
        settings = _SETTINGS | {"insert_deduplication_token": block.token}
        try:
            self._client.raw_insert(table, block.columns, block.payload, settings=settings, fmt="ArrowStream")
        except ClickHouseError as error:
            if getattr(error, "code", None) in _DATA_ERRORS:
                return _brief(error)
            raise RetryableError(f"ClickHouse did not take a block for {table}: {_brief(error)}") from error
        except OSError as error:
            raise RetryableError(f"ClickHouse did not take a block for {table}: {_brief(error)}") from error
        return None


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
