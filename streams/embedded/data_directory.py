"""What an embedded installation keeps between runs, and the lock that gives it to one `up` at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from schemas.errors import ConfigurationError


class DataDirectory:
    """Paths under one folder; `lock` before anything is started in it."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.redis = self.root / "redis"
        self.clickhouse = self.root / "clickhouse"
        self.registry = self.root / "registry.json"
        self.broker_record = self.root / "broker.json"
        self.logs = self.root / "logs"
        self._lock: IO[str] | None = None

    def log(self, name: str) -> Path:
        """The log file of a child; that of the run before is kept beside it as `.1`."""
        file = self.logs / f"{name}.log"
        if file.exists():
            file.replace(file.with_suffix(".log.1"))
        return file

    def lock(self) -> None:
        """Take the directory, made where it is missing.

        Raises:
            ConfigurationError: another process holds it, or it cannot be written.

        """
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            lock = (self.root / "lock").open("a+")
        except OSError as error:
            raise ConfigurationError(
                f"The data directory {self.root} cannot be used ({error.strerror}): choose another with --data-dir."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise ConfigurationError(
                f"The data directory {self.root} is in use by process {holder}: "
                "stop that `footfall up` first, or choose another with --data-dir."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def unlock(self) -> None:
        """Give the directory up; the kernel does it for a process that dies."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
