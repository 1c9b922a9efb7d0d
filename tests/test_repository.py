"""The repository itself: packaging, import cost, pins, and nothing that ties it to one machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "onnxruntime",
    "sklearn",
    "pandas",
    "matplotlib",
    "stable_baselines3",
)


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _packages_on_disk() -> set[str]:
    found = set()
    for top, package in (("sec_rl", "sec_rl"), ("envs", "sec_rl.envs"), ("agents", "sec_rl.agents")):
        for init in (ROOT / top).rglob("__init__.py"):
            inside = init.parent.relative_to(ROOT / top).parts
            name = ".".join((package, *inside))
            # Some Pythons' `rglob` walks through the links sec_rl/envs and sec_rl/agents: same names either way.
            found.add(name)
    return found


def _tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in files if path.is_file() and not path.is_symlink()]


def test_every_package_is_listed_for_setuptools() -> None:
    assert set(_pyproject()["tool"]["setuptools"]["packages"]) == _packages_on_disk()


def test_folders_of_modules_are_packages() -> None:
    """A folder without `__init__.py` works from the checkout and is missing from the wheel."""
    tops = (ROOT / "sec_rl", ROOT / "envs", ROOT / "agents")
    folders = {path.parent for top in tops for path in top.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("name", ["envs", "agents"])
def test_top_level_rooms_are_linked_into_the_package(name: str) -> None:
    assert (ROOT / "sec_rl" / name / "__init__.py").samefile(ROOT / name / "__init__.py")


def test_wheel_holds_every_module_and_works_alone(tmp_path: Path) -> None:
    build = (
        "import os, sys; os.chdir(sys.argv[1])\n"
        "import setuptools.build_meta as backend; print(backend.build_wheel(sys.argv[2]))"
    )
    setuptools = pytest.importorskip("setuptools")
    if int(setuptools.__version__.split(".")[0]) < 77:
        pytest.skip("the build backend needs setuptools >= 77")
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True, capture_output=True)
    (tmp_path / "dist").mkdir()
    subprocess.run(
        [sys.executable, "-c", build, str(source), str(tmp_path / "dist")], check=True, capture_output=True
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    expected = {
        path.relative_to(source).as_posix()
        for path in (source / "sec_rl").rglob("*.py")
        if not {"envs", "agents"} & set(path.relative_to(source / "sec_rl").parts[:1])
    }
    for room in ("envs", "agents"):
        expected |= {f"sec_rl/{path.relative_to(source).as_posix()}" for path in (source / room).rglob("*.py")}
    assert expected <= names
    assert "sec_rl/py.typed" in names
    assert not any(name.startswith(("envs/", "agents/", "tests/", "benchmarks/")) for name in names)
    code = "import sec_rl.envs, sec_rl.agents; print(sec_rl.envs.__file__)"
    # -S and -P: only the wheel's own files can answer, not the checkout installed in this environment.
    child = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); {code}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(child.stdout.strip()).is_relative_to(tmp_path / "site")


@pytest.mark.clock
def test_import_is_light() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import sec_rl; took = time.perf_counter() - start\n"
        "import json; print(json.dumps([took, sorted(sys.modules)]))"
    )
    seconds = []
    for _ in range(3):
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        took, modules = json.loads(child.stdout)
        seconds.append(took)
        assert [name for name in HEAVY if name in modules] == []
    assert min(seconds) < 0.5


def test_constraints_pin_every_dependency_for_any_machine() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin)] == []
    pinned = {re.sub(r"[-_.]+", "-", pin.split("==")[0]).lower() for pin in pins}
    assert "torch==2.13.0" in pins
    project = _pyproject()["project"]
    wanted = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; ]", need)[0]).lower() for need in wanted}
    assert names - pinned == set()


@pytest.mark.parametrize("name", ["requirements-data.txt", "requirements-mpnet.txt"])
def test_data_wheels_are_pinned_by_hash(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    needs = [line for line in lines if line and not line.startswith("#")]
    assert needs
    assert [x for x in needs if not re.fullmatch(r"[a-z0-9-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", x)] == []


def test_nothing_names_one_machine() -> None:
    """No absolute path of a home, a workplace or a temporary folder, and no local file address."""
    # Written in two halves, so that this file passes its own test.
    parts = ["/wo" + "rk/", "/ho" + "me/", "/ro" + "ot/", "/Us" + "ers/", "/tm" + "p/", "file:" + "///"]
    pattern = re.compile(r"(?<![\w.~*])(?:" + "|".join(parts) + ")")
    offenders = []
    for path in _tracked_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        offenders += [f"{path.relative_to(ROOT)}: {match.group()}" for match in pattern.finditer(text)]
    assert offenders == []


def test_no_tracked_file_is_large() -> None:
    limit_bytes = 2 * 1024 * 1024
    assert [path.name for path in _tracked_files() if path.stat().st_size > limit_bytes] == []


def test_version_stands_in_one_place() -> None:
    import sec_rl

    assert _pyproject()["project"]["version"] == sec_rl.__version__


def test_the_python_interface_is_there_and_lazy() -> None:
    import sec_rl

    for name in sec_rl.__all__:
        assert getattr(sec_rl, name) is not None
    assert set(sec_rl.__all__) <= set(dir(sec_rl))
    with pytest.raises(AttributeError, match="no attribute 'repaly'"):
        _ = sec_rl.repaly
