"""One round trip to Redis: scripts by their hash, many calls at once, and what its failures mean to us."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha1
from importlib import resources
from typing import Any, Final

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

_REFUSED_FOR_NOW: Final = ("OOM", "MISCONF", "READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN")


class Script:
    """A Lua file of this package. Redis forgets scripts when it restarts; then it is loaded again."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = (resources.files("sinks") / "lua" / f"{name}.lua").read_bytes()
        self.digest = sha1(self.source, usedforsecurity=False).hexdigest()

    def call_many(self, client: redis.Redis, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The answers to many calls `(number of keys, *keys, *arguments)` in one round trip.

        An error answer of a single call stands in its place. Calls that found no script did nothing; they are
        sent once more after it was loaded.
        """
        answers = pipelined(client, [("EVALSHA", self.digest, *call) for call in calls])
        missing = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if missing:
            client.script_load(self.source)
            again = pipelined(client, [("EVALSHA", self.digest, *calls[i]) for i in missing])
            for i, answer in zip(missing, again, strict=True):
                answers[i] = answer
        return answers


def pipelined(client: redis.Redis, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """The answers to independent commands, in one round trip; an error answer stands in its command's place."""
    if not commands:
        return []
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return pipeline.execute(raise_on_error=False)


def answered(answer: Any) -> Any:
    """The answer, or its error raised as ours."""
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
        raise ConfigurationError(f"Redis at {address_of(client)} refuses this user ({error}): check FOOTFALL_REDIS__URL") from error
    except (ConnectionError, TimeoutError) as error:
        raise UnreachableError(f"Redis at {address_of(client)} does not answer ({error}): check FOOTFALL_REDIS__URL") from error
    except ResponseError as error:
        raise _meaning_of(error, address_of(client)) from error


def _meaning_of(error: ResponseError, address: str) -> FootfallError:
    text = str(error)
    if text.startswith(_REFUSED_FOR_NOW):
        return RetryableError(f"Redis at {address} refuses for now: {text}")
    return ProtocolError(f"Redis at {address} answered with an error: {text}")


def address_of(client: redis.Redis) -> str:
    """Host and port, or the socket's path, for an error's text: never the password."""
    known = client.connection_pool.connection_kwargs
    return str(known.get("path") or f"{known.get('host', 'localhost')}:{known.get('port', 6379)}")
