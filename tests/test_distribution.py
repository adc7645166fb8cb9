"""Installation: version bounds, locks, and the wheel in an empty environment."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from deltarule import __version__
from support.paths import ROOT

DEMO_LOCK = ROOT / "requirements" / "demo.txt"
DEV_LOCK = ROOT / "requirements" / "dev.txt"
DOCS_LOCK = ROOT / "requirements" / "docs.txt"
LOCKS = [DEMO_LOCK, DEV_LOCK, DOCS_LOCK]
PYTHONS = ["3.11.0", "3.12.0", "3.13.0", "3.14.0"]
SYSTEMS = {  # what markers ask about a platform
    "Linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "macOS": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    "Windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]


def runtime() -> list[Requirement]:
    return [Requirement(line) for line in PROJECT["project"]["dependencies"]]


def named_by(*extras: str) -> list[Requirement]:
    """Return the requirements of the extras, and of the extras that they include."""
    found = []
    for extra in extras:
        for requirement in map(Requirement, EXTRAS[extra]):
            if requirement.name == "deltarule":
                found += named_by(*sorted(requirement.extras))
            else:
                found.append(requirement)
    return found


def entries(lock: Path) -> list[Requirement]:
    """Return the locked requirements, without their hashes."""
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (line.split("--hash")[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def applies(marker: Marker | None, python: str, system: str = "Linux") -> bool:
    if marker is None:
        return True
    here = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    return marker.evaluate(SYSTEMS[system] | here)


def pins(lock: Path, python: str, system: str = "Linux") -> dict[str, Version]:
    """Return the one version of each package that the lock installs on this Python."""
    found: dict[str, Version] = {}
    for entry in entries(lock):
        if applies(entry.marker, python, system):
            name = canonicalize_name(entry.name)
            assert name not in found, f"{lock.name} pins {name} twice on Python {python}"
            (specifier,) = entry.specifier
            assert specifier.operator == "=="
            found[name] = Version(specifier.version)
    return found


def test_every_dependency_has_a_lower_bound() -> None:
    for requirement in [*runtime(), *named_by(*EXTRAS)]:
        operators = {specifier.operator for specifier in requirement.specifier}
        assert ">=" in operators, f"{requirement} has no lower bound"


def test_the_build_tools_are_locked_too() -> None:
    tools = {Requirement(line).name for line in PROJECT["dependency-groups"]["build"]}
    needed = {Requirement(line).name for line in PROJECT["build-system"]["requires"]}
    assert needed <= tools
    assert tools <= {entry.name for entry in entries(DEMO_LOCK)}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("lock", "extras"),
    [(DEMO_LOCK, ["plots"]), (DEV_LOCK, ["dev"]), (DOCS_LOCK, ["docs"])],
    ids=["demo", "dev", "docs"],
)
def test_lock_satisfies_the_bounds(lock: Path, extras: list[str], python: str) -> None:
    locked = pins(lock, python)
    for requirement in [*runtime(), *named_by(*extras)]:
        name = canonicalize_name(requirement.name)
        assert name in locked, f"{lock.name} lacks {name}: run `make lock`"
        assert locked[name] in requirement.specifier, f"{name} {locked[name]}: run `make lock`"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_locks_agree(python: str) -> None:
    demo, dev, docs = (pins(lock, python) for lock in LOCKS)
    assert demo.items() <= dev.items()
    assert demo.items() <= docs.items()
    assert {name: dev[name] for name in dev.keys() & docs} == {
        name: docs[name] for name in dev.keys() & docs
    }


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_lock_names_packages_only(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*-", text.replace("    --hash=sha256:", ""), flags=re.MULTILINE)
    unwanted = {entry.name for entry in entries(lock) if re.match(r"torch|nvidia", entry.name)}
    assert not unwanted


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_locked_package_has_a_hash(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        assert not line or line.startswith("#") or "--hash=sha256:" in line


# --- only the lock decides: pip resolves nothing ------------------------------------------------


def required_by(name: str, extra: str, environment: dict[str, str]) -> list[Requirement]:
    """Return the requirements of the package there, with or without one of its extras.

    The metadata are those of the installed package; what only another platform installs is not
    known here.
    """
    try:
        requirements = map(Requirement, importlib.metadata.requires(name) or [])
    except importlib.metadata.PackageNotFoundError:
        return []
    where = environment | {"extra": extra}
    return [r for r in requirements if r.marker is None or r.marker.evaluate(where)]


def missing_from(
    locked: dict[str, Version], asked: list[Requirement], environment: dict[str, str]
) -> list[str]:
    """Follow every requirement, extras included; return those that the lock does not meet."""
    missing, queue, seen = [], [("pyproject.toml", r) for r in asked], set()
    while queue:
        source, requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        if name not in locked:
            missing.append(f"{source} asks for {requirement}, which is not locked")
            continue
        if locked[name] not in requirement.specifier:
            missing.append(f"{source} asks for {requirement}, but {locked[name]} is locked")
        for extra in ("", *requirement.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                queue += [(name, r) for r in required_by(name, extra, environment)]
    return missing


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("lock", "extras"),
    [(DEMO_LOCK, ["plots"]), (DEV_LOCK, ["dev"]), (DOCS_LOCK, ["docs"])],
    ids=["demo", "dev", "docs"],
)
def test_the_lock_is_closed(lock: Path, extras: list[str], python: str, system: str) -> None:
    """Every requirement of every locked package is locked, so no newer release can get in."""
    short = python.rpartition(".")[0]
    environment = SYSTEMS[system] | {"python_full_version": python, "python_version": short}
    locked = pins(lock, python, system)
    if Version(importlib.metadata.version("numpy")) != locked["numpy"]:
        pytest.skip("the metadata installed here are not those of the lock")
    tools = [Requirement(line) for line in PROJECT["dependency-groups"]["build"]]
    assert missing_from(locked, [*runtime(), *named_by(*extras), *tools], environment) == []


def test_a_package_that_the_lock_lacks_is_noticed() -> None:
    environment = SYSTEMS["Linux"] | {"python_full_version": "3.11.0", "python_version": "3.11"}
    locked = pins(DEV_LOCK, "3.11.0")
    for absent in ("coverage", "numpy"):
        rest = {name: version for name, version in locked.items() if name != absent}
        assert any(absent in line for line in missing_from(rest, named_by("dev"), environment))
    older = locked | {"coverage": Version("1.0")}
    assert any(
        "coverage[toml]" in line for line in missing_from(older, named_by("dev"), environment)
    )


def test_every_install_of_the_lock_lets_pip_resolve_nothing() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    installs = [line for line in text.splitlines() if "-r requirements/" in line]
    assert len(installs) == 4  # demo, dev, docs, lowest
    assert all("--no-deps --require-hashes" in line for line in installs)


def test_penguins_path_exists() -> None:
    from deltarule.datasets import penguins_path

    lines = penguins_path().read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("species,island,bill_length_mm,")
    assert len(lines) == 1 + 344


# --- the wheel -----------------------------------------------------------------------------------


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command away from the source tree; return what it printed."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    env["PYTHONUTF8"] = "1"
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build_wheel(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "--wheel-dir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("deltarule-*.whl")
    return wheel


def readme_example() -> str:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^```python\n(.*?)^```", readme, flags=re.DOTALL | re.MULTILINE)
    assert block, "README.md has no ```python block"
    return block.group(1)


@pytest.mark.long
def test_wheel_holds_what_users_need(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_wheel(tmp_path)) as archive:
        names = set(archive.namelist())
    info = f"deltarule-{__version__}.dist-info"
    assert {
        "deltarule/__init__.py",
        "deltarule/py.typed",
        "deltarule/datasets/penguins.csv",
        "deltarule/datasets/README.md",
        f"{info}/licenses/LICENSE",
        f"{info}/entry_points.txt",
    } <= names
    assert {name.split("/")[0] for name in names} == {"deltarule", info}
    source = ROOT / "src"
    files = [*source.rglob("*.py"), *source.rglob("*.pyi")]
    modules = {str(p.relative_to(source).as_posix()) for p in files}
    assert modules <= names


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_wheel_alone_trains_and_runs_the_readme(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    home = tmp_path / "empty"
    venv.create(home, with_pip=True)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    python, deltarule = scripts / "python", scripts / "deltarule"

    # The locked versions, as constraints: only what the wheel itself asks for is installed.
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("".join(f"{entry}\n" for entry in entries(DEMO_LOCK)), encoding="utf-8")
    run(python, "-m", "pip", "install", "--quiet", "-c", constraints, wheel, cwd=tmp_path)
    installed = run(python, "-m", "pip", "list", "--format=freeze", cwd=tmp_path)
    assert "matplotlib==" not in installed

    assert __version__ in run(deltarule, "--version", cwd=tmp_path)

    where = "from deltarule.datasets import penguins_path; print(penguins_path())"
    table = run(python, "-c", where, cwd=tmp_path).strip()
    assert Path(table).is_relative_to(home)
    model = tmp_path / "m.deltarule"
    run(deltarule, "train", table, "--target", "species", "-o", model, cwd=tmp_path)
    assert model.exists()

    script = tmp_path / "readme_example.py"
    script.write_text(readme_example(), encoding="utf-8")
    run(python, script, cwd=tmp_path)
