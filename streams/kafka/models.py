"""Published models: every snapshot on `models`, to the end before scoring starts, then new ones between batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import structlog

from processors.scoring import ScorerHistory
from schemas.codec import OutputCodec
from schemas.errors import UnreachableError
from schemas.results import ModelSnapshot
from schemas.topics import MODELS
from streams.kafka.config import KafkaConfig
from streams.kafka.reader import LogRecord, PartitionReader
from streams.metrics import MODEL_LABEL_TIME, MODEL_REFUSED, MODEL_VERSION

log = structlog.get_logger(__name__)


class Reader(Protocol):
    """The part of `PartitionReader` that is used here."""

    def seek(self, offset: int) -> None: ...
    def read(self, limit: int, seconds: float) -> list[LogRecord]: ...
    def read_to_end(self) -> list[LogRecord]: ...
    def close(self) -> None: ...


class ModelsReader:
    """Snapshots in log order. `read_all` blocks, `poll_new` does not; one thread at a time."""

    def __init__(self, reader: Reader, codec: OutputCodec) -> None:
        """Read with this reader; nothing is read before `read_all`."""
        self._reader = reader
        self._codec = codec

    @classmethod
    def of(cls, config: KafkaConfig, codec: OutputCodec) -> ModelsReader:
        """A reader with a connection of its own."""
        return cls(PartitionReader.of(config, MODELS), codec)

    def read_all(self) -> list[ModelSnapshot]:
        """Every snapshot there is, from the first to the end of the log.

        Raises:
            UnreachableError: Kafka does not answer.

        """
        self._reader.seek(0)
        return self._decoded(self._reader.read_to_end())

    def poll_new(self) -> list[ModelSnapshot]:
        """Snapshots that have come since the last call; returns at once, mostly with none."""
        return self._decoded(self._reader.read(100, 0.0))

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()

    def _decoded(self, records: Iterable[LogRecord]) -> list[ModelSnapshot]:
        decoded = (self._decode(record) for record in records if record.value is not None)
        return [snapshot for snapshot in decoded if snapshot is not None]

    def _decode(self, record: LogRecord) -> ModelSnapshot | None:
        try:
            return self._codec.decode_model(record.value or b"")
        except UnreachableError:
            raise  # the registry is down, which says nothing about the snapshot
        except Exception as error:  # noqa: BLE001  fastavro raises whatever the bytes lead it to
            MODEL_REFUSED.inc()
            log.warning("model refused", offset=record.offset, reason=f"undecodable: {error}")
            return None


def load(snapshots: Iterable[ModelSnapshot], history: ScorerHistory) -> None:
    """Hand snapshots to the scorers; one that is refused is counted and said, and the last good one goes on."""
    for snapshot in snapshots:
        reason = history.accept(snapshot)
        if reason is not None:
            MODEL_REFUSED.inc()
            log.warning("model refused", reason=reason)
        elif snapshot.version == history.version:
            MODEL_VERSION.set(snapshot.version)
            MODEL_LABEL_TIME.set(snapshot.label_time_max / 1000)
