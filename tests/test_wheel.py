"""The wheel holds everything: built, installed into a clean environment, and used from there."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SMOKE = """
import streams
from schemas.codec import schema_of
from schemas.topics import INPUT_TOPICS, OUTPUT_TOPICS
from processors.rules import parse_rules
from streams.replay.datasets import dataset
from streams.resources import resource

for topic in (*INPUT_TOPICS, *OUTPUT_TOPICS):
    schema_of(topic)
assert len(parse_rules(resource("segments.yaml").read_text(encoding="utf-8"), "segments.yaml").units) > 5
assert len(list(resource("clickhouse").glob("*.sql"))) >= 4
assert next(iter(dataset("cdnow")))[0] == "purchase"
assert next(iter(dataset("ecom")))[0] == "clickstream"
from sinks.redis_calls import Script
Script("commit"), Script("claim")
print(streams.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, ROOT)
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    [file] = folder.glob("footfall-*.whl")
    return file


def test_the_wheel_holds_what_the_program_reads_and_nothing_of_the_tests(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "streams/deploy/segments.yaml",
        "streams/deploy/data/CDNOW_master.txt",
        "schemas/avro/purchase.avsc",
    } <= names
    assert any(name.endswith(".lua") for name in names)
    assert any(name.endswith("LICENSE") for name in names)
    assert any(name.endswith("NOTICE") for name in names)
    tops = {name.partition("/")[0] for name in names}
    assert tops <= {"schemas", "processors", "sinks", "streams", *(top for top in tops if top.endswith(".dist-info"))}


def test_an_installed_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    install = (
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(home / "bin" / "python"),
        "install",
        "--no-deps",
        "-q",
        wheel,
    )
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    # the dependencies of this environment, without its own Footfall: path entries only, so no .pth of it is followed
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    version = subprocess.run(
        (home / "bin" / "footfall", "version"), check=True, capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert version.stdout.startswith("footfall 0.")
    smoke = subprocess.run(
        (home / "bin" / "python", "-c", SMOKE), capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert smoke.returncode == 0, smoke.stderr
    assert smoke.stdout.strip().startswith(str(site))
