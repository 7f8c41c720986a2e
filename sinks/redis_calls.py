"""One round trip to Redis: scripts by their hash, many calls at once, and what its failures mean to us."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha1
from importlib import resources
from itertools import chain
from typing import Any, Final

import hiredis
import redis
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,  # noqa: A004 -- redis-py's, which is what is raised here
    NoPermissionError,
    NoScriptError,
    ResponseError,
    TimeoutError,  # noqa: A004 -- likewise
)

from schemas.errors import ConfigurationError, FootfallError, ProtocolError, RetryableError, UnreachableError

Call = tuple[Any, ...]

_MULTI: Final = hiredis.pack_command((b"MULTI",))
_EXEC: Final = hiredis.pack_command((b"EXEC",))
_GROUP_BYTES: Final = 1 << 20
"""A write gives up Python's lock and must win it back from a busy main thread: few large writes, not many."""
_FOR_NOW: Final = ("OOM", "MISCONF", "READONLY", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "EXECABORT")
_SETTING: Final = "check FOOTFALL_REDIS__URL"


class Script:
    """A Lua file of this package. Redis forgets scripts when it restarts; then it is loaded again."""

    def __init__(self, name: str) -> None:
        self.source = (resources.files("sinks") / "lua" / f"{name}.lua").read_bytes()
        self.digest = sha1(self.source, usedforsecurity=False).hexdigest().encode()

    def call_many(self, client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
        """The answers to many calls `(number of keys, *keys, *arguments)`, in one round trip.

        An error answer of one call stands in its place. Calls that found no script did nothing; they are sent
        once more after it was loaded.
        """
        answers = transaction(client, [(b"EVALSHA", self.digest, *call) for call in calls])
        missing = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if missing:
            client.script_load(self.source)
            again = transaction(client, [(b"EVALSHA", self.digest, *calls[i]) for i in missing])
            for i, answer in zip(missing, again, strict=True):
                answers[i] = answer
        return answers


def pipelined(client: redis.Redis, commands: Sequence[Call]) -> list[Any]:
    """The answers to small independent commands, in one round trip; an error answer stands in its command's place."""
    if not commands:
        return []
    with _connection(client) as connection:
        connection.send_packed_command(_grouped(map(hiredis.pack_command, commands)))
        return [_answer(connection) for _ in commands]


def transaction(client: redis.Redis, commands: Sequence[Call]) -> list[Any]:
    """The answers to large commands, run together: MULTI makes it one fsync under `appendfsync always`.

    Without it the server writes and syncs its file once every 16 KB it reads: 180 times for 3 000 profiles.
    A transaction that gets no answer happened whole or not at all.
    """
    if not commands:
        return []
    with _connection(client) as connection:
        connection.send_packed_command(_grouped(chain((_MULTI,), map(hiredis.pack_command, commands), (_EXEC,))))
        queued = [_answer(connection) for _ in range(len(commands) + 1)]
        answers = _answer(connection)
    if isinstance(answers, ResponseError):  # refused whole: the first refusal says why
        raise next((answer for answer in queued if isinstance(answer, ResponseError)), answers)
    return list(answers)


def _grouped(packed: Iterable[bytes]) -> Iterator[bytes]:
    """Packed commands joined to pieces worth a system call each; one is on its way while the next is packed."""
    group: list[bytes] = []
    size = 0
    for command in packed:
        group.append(command)
        size += len(command)
        if size >= _GROUP_BYTES:
            yield b"".join(group)
            group, size = [], 0
    yield b"".join(group)


@contextmanager
def _connection(client: redis.Redis) -> Iterator[Any]:
    """One connection of the client's pool, for commands packed here.

    redis-py's own pipeline packs everything before it sends the first byte and costs 2 us more a command; here the
    server parses one command while the next is packed.
    """
    pool = client.connection_pool
    connection: Any = pool.get_connection()
    try:
        yield connection
    except BaseException:
        connection.disconnect()  # answers may still be on their way: nobody may take them for theirs
        raise
    finally:
        pool.release(connection)


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def answered(answer: Any) -> Any:
    """The answer, or its error raised."""
    if isinstance(answer, Exception):
        raise answer
    return answer


@contextmanager
def failures_of(client: redis.Redis) -> Iterator[None]:
    """Turns redis-py's errors into ours.

    UnreachableError: no answer; what was sent may have happened. RetryableError: Redis lives, but refuses for now
    (memory, disk, failover). ConfigurationError: it refuses this user. ProtocolError: it holds what we did not write.
    """
    try:
        yield
    except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
        raise ConfigurationError(f"Redis at {address_of(client)} refuses this user ({error}): {_SETTING}") from error
    except (ConnectionError, TimeoutError) as error:
        raise UnreachableError(f"Redis at {address_of(client)} does not answer ({error}): {_SETTING}") from error
    except ResponseError as error:
        raise _meaning_of(error, address_of(client)) from error


def _meaning_of(error: ResponseError, address: str) -> FootfallError:
    code = error.status_code or str(error).split(" ", 1)[0]
    text = str(error).removeprefix(code).strip()
    if code in _FOR_NOW:
        return RetryableError(f"Redis at {address} refuses for now: {code} {text}")
    return ProtocolError(f"Redis at {address} answered with an error: {code} {text}")


def address_of(client: redis.Redis) -> str:
    """Host and port, or the socket's path, for an error's text: never the password."""
    known = client.connection_pool.connection_kwargs
    return str(known.get("path") or f"{known.get('host', 'localhost')}:{known.get('port', 6379)}")
