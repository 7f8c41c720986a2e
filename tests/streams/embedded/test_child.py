"""A child process: watched, stopped, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.embedded.child import Child, ChildFailedError, Launch, Service, tail


def python(code: str, log: Path) -> Launch:
    return Launch("the sample", (sys.executable, "-c", code), log)


class NeverReady(Service):
    startup_seconds = 0.3

    def ready(self) -> bool:
        return False


def test_a_child_that_ends_is_described_by_name_status_log_and_last_words(tmp_path: Path) -> None:
    child = Child(python("print('so long'); raise SystemExit(3)", tmp_path / "c.log"))
    child.start()
    assert child.wait(10)
    text = child.describe_death()
    assert "the sample ended with exit status 3" in text
    assert str(tmp_path / "c.log") in text
    assert text.endswith("so long")


def test_a_killed_child_names_the_signal(tmp_path: Path) -> None:
    child = Child(python("import time; time.sleep(60)", tmp_path / "c.log"))
    child.start()
    child.signal(signal.SIGKILL)
    assert child.wait(10)
    assert "was killed by SIGKILL" in child.describe_death()


def test_stop_ends_a_child_that_ignores_sigterm(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    child = Child(python(code, tmp_path / "c.log"))
    child.start()
    while "deaf" not in child.log_tail():
        time.sleep(0.01)
    child.stop(grace=0.2)
    assert child.returncode == -signal.SIGKILL


def test_a_service_that_dies_or_dawdles_while_starting_shows_its_log(tmp_path: Path) -> None:
    dead = NeverReady(python("print('no disk'); raise SystemExit(1)", tmp_path / "dead.log"))
    with pytest.raises(ChildFailedError, match=r"(?s)exit status 1.*no disk"), dead:
        pass
    slow = NeverReady(python("import time; print('warming up', flush=True); time.sleep(60)", tmp_path / "slow.log"))
    with pytest.raises(ChildFailedError, match=r"not ready on port"), slow:
        pass
    assert not slow.running


def test_a_program_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    child = Child(Launch("the ghost", ("/nonexistent/program",), tmp_path / "c.log"))
    with pytest.raises(ChildFailedError, match="the ghost cannot be started"):
        child.start()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from streams.embedded.child import Child, Launch\n"
        "child = Child(Launch('c', (sys.executable, '-c', 'import time; time.sleep(60)'), pathlib.Path(sys.argv[1])))\n"
        "child.start()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen((sys.executable, "-c", code, str(tmp_path / "c.log")), stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert ended_within(pid, seconds=5)


def ended_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    log.write_text("\n".join(f"line {i}" for i in range(5_000)))
    assert tail(log, 2) == "line 4998\nline 4999"
    assert tail(tmp_path / "none.log", 2) == "(no log)"
