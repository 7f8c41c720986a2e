"""Why a server does not let us in: one sentence that names the server and the setting, and never a password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas.errors import ConfigurationError, UnreachableError
from streams.tls import Greeting, greet

_UNTRUSTED: Final = re.compile(r"certificate verify failed: ([^(:]+?)(?:, verify that| *[(:]|$)", re.IGNORECASE)
_OLD: Final = re.compile(r"alert.protocol.version|unsupported.protocol", re.IGNORECASE)
_WANTS_CERTIFICATE: Final = re.compile(r"certificate.required", re.IGNORECASE)
_DEEPEST: Final = 8


@dataclass(frozen=True, slots=True)
class Door:
    """A server as the settings name it.

    `address` is shown and holds no secret; `variables` is what its variables begin with; `tls` and `login` name those
    that switch TLS on and that say who we are.
    """

    server: str
    address: str
    place: tuple[str, int] | None
    """Host and port; null for a socket in the file system."""
    encrypted: bool
    variables: str
    tls: str
    login: str


def refused(door: Door, said: str) -> ConfigurationError:
    """The sentence for a server that does not accept our user, or what it is about to do."""
    return ConfigurationError(f"{door.server} at {door.address} refuses this user ({said}): check {door.login}.")


def not_entered(door: Door, error: BaseException | str, otherwise: str) -> UnreachableError:
    """The error for a connection that did not come about; it says `otherwise` where TLS is not the reason.

    It may pass like any outage: certificates are renewed, and a server that restarts hangs up on whoever greets it.
    """
    said = error if isinstance(error, str) else " ".join(_texts(error))
    fault = tls_fault(door, said) or _misunderstanding(door)
    return UnreachableError(otherwise if fault is None else f"{door.server} at {door.address} {fault}.")


def tls_fault(door: Door, said: str) -> str | None:
    """What an error says of TLS, as the end of a sentence about the server; null where it says nothing of it."""
    untrusted = _UNTRUSTED.search(said)
    if untrusted is not None:
        return (
            f"shows a certificate that is not accepted ({untrusted[1].strip()}): {door.variables}__CA_FILE must name "
            "the authority that signed it, and the address must be a name in it"
        )
    if _WANTS_CERTIFICATE.search(said):
        return f"demands a certificate of ours: set {door.variables}__CERTIFICATE_FILE and __KEY_FILE"
    if _OLD.search(said):
        return "speaks only TLS older than 1.2, which is not safe: let it speak 1.2 or 1.3"
    return None


def _misunderstanding(door: Door) -> str | None:
    """The same from how the server takes to TLS: one of us may speak it and the other not."""
    greeting = Greeting.ABSENT if door.place is None else greet(*door.place)
    if door.encrypted and greeting is Greeting.PLAIN:
        return f"does not speak TLS: check its port, and {door.tls}"
    if door.encrypted and greeting is Greeting.SILENT:
        return f"takes connections and does not answer: check that it is well, that it speaks TLS, and {door.tls}"
    if not door.encrypted and greeting is Greeting.TLS:
        return f"speaks TLS, and we were told to speak without: check its port, and {door.tls}"
    return None


def _texts(error: BaseException) -> Iterator[str]:
    """What the error and those behind it say: HTTP libraries wrap the one that matters."""
    link: BaseException | None = error
    for _ in range(_DEEPEST):
        if link is None:
            return
        yield str(link)
        link = link.__cause__ or link.__context__
