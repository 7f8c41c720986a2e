"""What a program and everything it starts cost: processor time and memory of one process session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import cpu_seconds, memory_mib

_ENDED = "ZX"
"""Dead, and not waited for yet."""


def members(session: int) -> list[int]:
    """The processes of a session that are alive."""
    names = [entry.name for entry in Path("/proc").iterdir()]
    return [pid for pid in map(int, filter(str.isdecimal, names)) if _session_of(pid) == session]


def _session_of(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:  # gone, or going
        return -1
    return -1 if fields[0] in _ENDED else int(fields[3])


@dataclass(slots=True)
class Cost:
    """Looked at now and then; what ended between two looks counts as at the last one."""

    alive: Callable[[], list[int]]
    """The processes that count, asked at every look."""
    peak_mib: float = 0.0
    _spent: dict[int, float] = field(default_factory=dict)

    def look(self) -> None:
        """Take note of what is alive."""
        alive = self.alive()
        for pid in alive:
            self._spent[pid] = max(self._spent.get(pid, 0.0), cpu_seconds(pid))
        self.peak_mib = max(self.peak_mib, sum(map(memory_mib, alive)))

    @property
    def cpu(self) -> float:
        """Seconds of processor time up to the last look."""
        return sum(self._spent.values())
