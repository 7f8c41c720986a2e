"""A user and a password for the embedded HTTP servers, where others than this machine can reach them."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Login:
    """Who may come in. The password is never shown."""

    user: str
    password: str = field(repr=False)

    def admits(self, user: str, password: str) -> bool:
        """Whether these are the user and the password, in a time that tells nothing about them."""
        same_user = hmac.compare_digest(user.encode(), self.user.encode())
        return hmac.compare_digest(password.encode(), self.password.encode()) and same_user


def demand(login: Login, open_paths: frozenset[str], refuse: Callable[[], web.Response]) -> Any:
    """A middleware that answers `refuse()` to whoever does not log in; `open_paths` are for health checks."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in open_paths or login.admits(*given(request)):
            return await handler(request)
        return refuse()

    return check


def given(request: web.Request) -> tuple[str, str]:
    """User and password of a request: HTTP's basic authentication, or the headers that are ClickHouse's own."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return request.headers.get("X-ClickHouse-User", ""), request.headers.get("X-ClickHouse-Key", "")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
