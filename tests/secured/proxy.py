"""Ends TLS in front of a server that has none: what arrives encrypted is handed on in the clear."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from streams.embedded.ports import HOST, choose_port

_BYTES: Final = 65_536
_PATIENCE: Final = 2.0


class TlsProxy:
    """Listens on `port` of the loopback interface while it is entered; a thread a connection.

    On blocking sockets, because asyncio hangs up on a client it refuses without the alert that says why.
    """

    def __init__(self, context: ssl.SSLContext, target: int) -> None:
        self.port = choose_port()
        self._context = context
        self._target = target
        self._listener = socket.create_server((HOST, self.port))

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            outside = self._context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            try:
                outside.do_handshake()
            except ssl.SSLError:
                _linger(outside)
                return
            with outside, socket.create_connection((HOST, self._target)) as inside:
                _pump(outside, inside)


def _pump(outside: ssl.SSLSocket, inside: socket.socket) -> None:
    """Both directions in one thread: OpenSSL's connections are not for two."""
    while True:
        ready = [outside] if outside.pending() else select.select([outside, inside], [], [])[0]
        for source in ready:
            data = source.recv(_BYTES)
            if not data:
                return
            (inside if source is outside else outside).sendall(data)


def _linger(refused: socket.socket) -> None:
    """Wait until the client has read the alert: closing over what it sent would take the alert away."""
    plain = socket.socket(fileno=refused.detach())
    with plain, suppress(OSError):
        plain.settimeout(_PATIENCE)
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(_BYTES):
            pass
