"""TLS as every client here speaks it: version 1.2 or newer, the server's certificate and its name verified, always."""

from __future__ import annotations

import socket
import ssl
from enum import Enum
from pathlib import Path
from typing import Final

_PROBE_SECONDS: Final = 2.0


def verifying_context(
    ca_file: Path | None = None, certificate_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """A client's context; without `ca_file` the system's authorities are trusted.

    Raises:
        ValueError: a file is missing, is no PEM, is locked by a passphrase, or key and certificate do not match.

    """
    check_ca(ca_file)
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate_file is not None:
        _load_chain(context, certificate_file, key_file)
    elif key_file is not None:
        raise ValueError("key_file needs certificate_file, the certificate that belongs to the key")
    return context


def check_ca(file: Path | None) -> None:
    """Make sure that the file, if any, holds certificates. Raises ValueError."""
    try:
        if file is not None:
            ssl.create_default_context(cafile=file)
    except ssl.SSLError:
        raise ValueError("it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)") from None
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from None


class Greeting(Enum):
    """What a server does when it is greeted in TLS."""

    TLS = "it answers in TLS"
    PLAIN = "it hangs up, or answers otherwise"
    SILENT = "it takes the connection, and says nothing"
    ABSENT = "it cannot be reached"


def greet(host: str, port: int) -> Greeting:
    """How a server takes to TLS: for an explanation only, so no certificate is asked for and nothing is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        plain = socket.create_connection((host, port), _PROBE_SECONDS)
    except OSError:
        return Greeting.ABSENT
    try:
        with plain, context.wrap_socket(plain):
            return Greeting.TLS
    except TimeoutError:
        return Greeting.SILENT
    except OSError as error:  # also a TLS server that refuses us, for want of a certificate for one
        return Greeting.TLS if "ALERT" in str(getattr(error, "reason", "")) else Greeting.PLAIN


def _load_chain(context: ssl.SSLContext, certificate_file: Path, key_file: Path | None) -> None:
    try:
        context.load_cert_chain(certificate_file, key_file, password="")  # an empty one: OpenSSL asks no terminal
    except ssl.SSLError:
        raise ValueError(
            "certificate_file and key_file must be PEM files that belong together, the key without a passphrase"
        ) from None
    except OSError as error:
        raise ValueError(f"certificate_file or key_file cannot be read ({error.strerror})") from None
