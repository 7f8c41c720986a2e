"""The exception tree: what may stop a process. Bad input is never an exception but a `Rejected` value.

FootfallError
+-- ConfigurationError      the user's to fix; one sentence, exit code 2
|   +-- RulesError          segments.yaml, with line and column
+-- UnreachableError        a server does not answer; exit code 2 at start, retried later
+-- RetryableError          the same call may succeed when repeated
|   +-- StaleCommitError    a bucket's commit was refused: read again, fold again
|   +-- StalledError        nothing moves although something should; exit code 70, the next start goes on
+-- ProtocolError           a guarantee would be broken by going on; the process stops
    +-- RewoundError        Redis or Kafka holds less than it had confirmed
    +-- ClaimLostError      another worker has claimed the same buckets
    +-- NewGenerationError  readers follow another generation of keys since: begin anew with that one
    +-- ForeignTopicError   a topic is not the one the fences were written for
    +-- CodecVersionError   a profile was stored by another release, in a codec version this one does not read
    +-- PoisonLimitError    too large a share of the input is bad
"""

from __future__ import annotations


class FootfallError(Exception):
    """The root: every error Footfall raises on purpose."""


class ConfigurationError(FootfallError):
    """A setting or file is wrong: what, where, and what to do, in one sentence. Exit code 2."""


class RulesError(ConfigurationError):
    """A segments file is wrong; the message starts with `file:line:column`."""


class UnreachableError(FootfallError):
    """A server does not answer. The message names the server, its address and the setting. Exit code 2."""


class RetryableError(FootfallError):
    """The same call may succeed when it is repeated."""


class StaleCommitError(RetryableError):
    """A bucket's commit was refused because epoch, commit number, fence or version differ."""


class StalledError(RetryableError):
    """Nothing moves although something should. `kind` is one of a few words for metrics; exit code 70."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}; the process ends, so that its supervisor starts it again")
        self.kind = kind


class ProtocolError(FootfallError):
    """Going on would break a guarantee; the process stops and its supervisor decides."""


class RewoundError(ProtocolError):
    """A store holds less than it had confirmed (restart, failover, lost tail)."""


class ClaimLostError(ProtocolError):
    """Another worker has claimed a bucket since: this one may write it no more."""


class NewGenerationError(ProtocolError):
    """A switch has retired the generation of keys this worker writes: its process begins anew with the live one."""


class ForeignTopicError(ProtocolError):
    """A topic is not the one the fences were written for (recreated, or another installation)."""


class CodecVersionError(ProtocolError):
    """A profile is stored in a codec version this program does not read: it is whole, and another release's."""


class PoisonLimitError(ProtocolError):
    """Too large a share of the input is bad: a wrong deployment, not single bad records."""
