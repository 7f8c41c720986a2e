"""The proxy does to a connection what it says, and nothing else."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing
from time import monotonic

import pytest

from streams.embedded.ports import HOST, choose_port
from tests.chaos.proxy import Proxies, Proxy


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.server.heard = b""  # type: ignore[attr-defined]
        while data := self.request.recv(1024):
            self.server.heard += data  # type: ignore[attr-defined]
            self.request.sendall(data)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    heard = b""


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server((HOST, 0), _Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def proxy(server: _Server) -> Iterator[Proxy]:
    proxy = Proxy(choose_port(), server.server_address[1])
    with Proxies(proxy):
        yield proxy


@pytest.fixture
def line(proxy: Proxy) -> Iterator[socket.socket]:
    with closing(socket.create_connection((HOST, proxy.port), 5)) as line:
        assert said(line, b"hello") == b"hello"
        yield line


def said(line: socket.socket, data: bytes) -> bytes:
    line.sendall(data)
    return line.recv(1024)


def seconds_of(line: socket.socket) -> float:
    began = monotonic()
    assert said(line, b"x") == b"x"
    return monotonic() - began


def ends(line: socket.socket) -> bool:
    try:
        return line.recv(1024) == b""
    except ConnectionResetError:
        return True


def test_a_cut_resets_the_connection_and_lets_new_ones_in(proxy: Proxy, line: socket.socket) -> None:
    proxy.cut()
    assert ends(line)
    with closing(socket.create_connection((HOST, proxy.port), 5)) as another:
        assert said(another, b"again") == b"again"


def test_a_stall_holds_everything_back_and_loses_nothing(proxy: Proxy, line: socket.socket) -> None:
    proxy.stall(0.3)
    assert 0.2 < seconds_of(line) < 2
    assert seconds_of(line) < 0.2


def test_a_slow_line_delays_every_piece_until_it_is_cleared(proxy: Proxy, line: socket.socket) -> None:
    proxy.slow(60)
    assert seconds_of(line) > 0.09
    proxy.clear()
    assert seconds_of(line) < 0.09


def test_a_lost_answer_was_a_delivered_request(proxy: Proxy, line: socket.socket, server: _Server) -> None:
    proxy.lose_answers(0.3)
    line.sendall(b"please")
    assert ends(line)
    assert server.heard == b"hello" + b"please"


def test_a_half_closed_connection_ends_for_the_server_and_then_for_the_client(
    proxy: Proxy, line: socket.socket, server: _Server
) -> None:
    proxy.half_close()
    assert ends(line)
    assert server.heard == b"hello"


def test_a_server_that_is_down_is_a_refused_connection() -> None:
    proxy = Proxy(choose_port(), choose_port())
    with Proxies(proxy), closing(socket.create_connection((HOST, proxy.port), 5)) as line:
        assert ends(line)
