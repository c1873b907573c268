"""What ships: the packages, their data, and a wheel that answers where there is no torch."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

import firstedge as fe
from firstedge.graph.vocabulary import Vocabulary
from tests.conftest import ROOT
from tests.models.bundles import random_bundle

ROOMS = ("graph", "loaders", "models", "serving")
# Items of the sample shop that the README's example names.
NAMED = ("20725", "22382", "22384")


def test_listed_packages_are_the_folders_with_an_init() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    found = {"firstedge"}
    for room in ROOMS:
        folders = [file.parent for file in (ROOT / room).rglob("__init__.py")]
        found |= {".".join(("firstedge", *path.relative_to(ROOT).parts)) for path in folders}
    assert set(setup["options"]["packages"].split()) == found
    mapped = dict(line.split(" = ") for line in setup["options"]["package_dir"].split("\n") if line)
    assert mapped == {f"firstedge.{room}": room for room in ROOMS}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that nothing is left in the source folder."""
    place = tmp_path_factory.mktemp("wheel")
    for name in (*ROOMS, "firstedge"):
        ignored = shutil.ignore_patterns("__pycache__", *ROOMS)
        shutil.copytree(ROOT / name, place / name, symlinks=True, ignore=ignored)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    command = ("-m", "build", "--wheel", "--no-isolation", "--outdir", place / "dist", place)
    run(sys.executable, *command)
    (built,) = (place / "dist").glob("*.whl")
    return built


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """What a command prints; its complaints are shown if it fails."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_wheel_holds_every_module_and_query(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            if path.suffix in (".py", ".cypher"):
                assert f"firstedge/{path.relative_to(ROOT)}" in names
    assert "firstedge/py.typed" in names
    assert not any(name.startswith(("tests/", "benchmarks/", *ROOMS)) for name in names)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and what it requires, and nothing else.

    The versions are those that are installed here, so that they come from the cache where there
    is one.
    """
    place = tmp_path_factory.mktemp("environment")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert uv, "uv is not installed: make install"
    python = place / "venv" / "bin" / "python"
    run(uv, "venv", "--quiet", "--python", sys.executable, place / "venv")
    frozen = run(uv, "pip", "freeze", "--exclude-editable", "--python", sys.executable)
    (place / "constraints.txt").write_text(frozen)
    constraint = ("--constraint", place / "constraints.txt")
    install = (uv, "pip", "install", "--quiet", "--python", python, wheel, *constraint)
    offline = subprocess.run((*install, "--offline"), capture_output=True, timeout=300)
    if offline.returncode:
        run(*install)
    return python


def readme_example() -> str:
    """The one Python block of the README."""
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return str(example)


def leave_what_the_demo_leaves(home: Path) -> None:
    """A bundle and a store where the README says they are, with the items that it names."""
    bundle = random_bundle()
    items = Vocabulary((*NAMED, *bundle.items.ids[len(NAMED) :]))
    fe.save_bundle(replace(bundle, items=items), home / "bundle")
    with fe.open_store(str(home / "shop.lbug"), bundle.schema) as store:
        store.write("items", pa.table({"id": list(items)}))


def test_the_readme_example_is_short() -> None:
    lines = [line for line in readme_example().splitlines() if line.strip()]
    assert len(lines) <= 15


def test_the_wheel_runs_the_readme_example_without_torch(environment: Path, tmp_path: Path) -> None:
    leave_what_the_demo_leaves(tmp_path / "demo")
    missing = "import sys\nassert not {'torch', 'transformers', 'sklearn'} & set(sys.modules)\n"
    (tmp_path / "example.py").write_text(readme_example() + missing)
    shown = run(environment, "-W", "error", "example.py", cwd=tmp_path).splitlines()
    assert [line.split()[0] for line in shown[:5]] == ["1", "2", "3", "4", "5"]
    assert not any(name in line.split() for line in shown[:5] for name in NAMED)
    assert shown[-1].startswith("(1, 16) {'users': 0, 'items': 30")
    tried = run(environment, "-c", "import importlib.util as u; print(u.find_spec('torch'))")
    assert tried.strip() == "None"


def test_the_wheel_installs_the_command(environment: Path) -> None:
    assert run(environment.parent / "firstedge", "--version").strip() == fe.__version__
