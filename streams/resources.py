"""Files that the program reads at run time: inside an installed wheel, or in the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError

_PACKAGE: Final = Path(__file__).resolve().parent
_CHECKOUT: Final = _PACKAGE.parent
_PLACES: Final = (_PACKAGE / "deploy", _CHECKOUT / "deploy", _CHECKOUT)


def resource(name: str) -> Path:
    """The path of a shipped file or folder: `segments.yaml`, `clickhouse`, `data/CDNOW_master.txt`.

    Raises:
        ConfigurationError: the installation lacks it.

    """
    for place in _PLACES:
        if (place / name).exists():
            return place / name
    raise ConfigurationError(f"The installation lacks {name}: reinstall footfall, or run it from a complete checkout.")
