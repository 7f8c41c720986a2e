"""What events of every history have in common: the fields of all topics, and ids that are equal at every reading."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, Final

Event = dict[str, Any]
"""One event under the field names of its topic's Avro schema; what is left out holds the schema's default."""
TopicEvent = tuple[str, Event]

_NAMESPACE: Final = uuid.NAMESPACE_URL.bytes


def envelope(file: str, line: int, customer: str, *, time: int, name: str, channel: str) -> Event:
    """The common fields of an event that stands in `file`, in a line or under a number of its own; `time` in ms."""
    return {
        "event_time": time,
        "received_time": time,
        "event_id": event_id(file, line),
        "customer_id": customer,
        "anonymous_id": None,
        "name": name,
        "session_id": None,
        "source": file.partition(".")[0],
        "channel": channel,
        "campaign": None,
        "properties": {},
    }


def event_id(file: str, line: int) -> str:
    """`str(uuid.uuid5(uuid.NAMESPACE_URL, ...))` at a third of its cost: it is half the cost of reading a row."""
    digest = bytearray(hashlib.sha1(_NAMESPACE + f"footfall:{file}:{line}".encode(), usedforsecurity=False).digest())
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"
