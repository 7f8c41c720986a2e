"""Events as small and as large as senders make them, through the fields that events have."""

from __future__ import annotations

import random
from typing import Any, Final

SMALL: Final = "small"
"""What the schema demands and the job needs: no second id, campaign or properties; 200 bytes framed on average."""
USUAL: Final = "usual"
"""As the generator makes them: 260 bytes."""
LARGE: Final = "large"
"""Long addresses and words, and the properties of a sender that sends all it knows: 4 000 bytes."""
SIZES: Final = (SMALL, USUAL, LARGE)

_PROPERTIES: Final = 24
_PROPERTY_BYTES: Final = 128
_TEXT_BYTES: Final = 320


def resized(event: dict[str, Any], size: str) -> dict[str, Any]:
    """The event's fields in another size; what is counted of it stays the same."""
    if size == SMALL:
        return event | {"anonymous_id": None, "campaign": None, "properties": {}}
    return event | _long_fields(event) if size == LARGE else event


def _long_fields(event: dict[str, Any]) -> dict[str, Any]:
    rng = random.Random(event["session_id"])  # not the generator's: its other draws stay as they are
    long = {
        name: f"{event[name]}?q={_letters(rng, _TEXT_BYTES)}" for name in ("url", "referrer", "text") if name in event
    }
    more = {f"property-{number}": _letters(rng, _PROPERTY_BYTES) for number in range(_PROPERTIES)}
    return long | {"properties": event["properties"] | more}


def _letters(rng: random.Random, size: int) -> str:
    """Hexadecimal: compresses to half, as addresses and words do."""
    return f"{rng.getrandbits(4 * size):0{size}x}"
