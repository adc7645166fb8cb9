"""The cache of compiled kernels: damaged or foreign files cost time and change no result."""

from __future__ import annotations

import ast
import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from deltarule.engine import compiler, kernel_cache
from deltarule.engine.numba_settings import settings_of_environment
from support.faults import report

POSIX = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")
JIT = pytest.mark.skipif(not compiler.is_compiled(), reason="nothing is compiled")
NOBODY = 54321  # a user id that no system has
AS_NOBODY = (
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
    # The other user may read everything, as if Python and the package were installed for all.
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search",
)  # fmt: skip


KERNELS = """
    import ctypes
    import numpy as np
    from deltarule.engine.compiler import kernel_address

    x, y = np.linspace(-2, 2, 12), np.zeros((4, 12))
    for name, row in zip(("identity", "relu", "sigmoid", "tanh"), y):
        call = ctypes.CFUNCTYPE(ctypes.c_int32)(kernel_address(name + "_forward", "float64"))
        given = [ctypes.c_int64(n) for n in (x.ctypes.data, row.ctypes.data, 1, 12, 12)]
        nothing, error = ctypes.c_void_p(), ctypes.c_void_p()
        call(ctypes.byref(nothing), ctypes.byref(error), *given, ctypes.c_double(0.0),
             ctypes.c_double(1.0))
    numbers = y.ravel()
"""
FIT = """
    import numpy as np
    from deltarule import SGD, Dense, Network, train

    X = np.linspace(-1, 1, 60).reshape(20, 3)
    net = Network(3, [Dense(4, "tanh"), Dense(1, "sigmoid")], loss="binary_cross_entropy")
    for _ in range(2):
        state = net.initialize(seed=0)
        train(
            net, state, X, (X[:, 0] > 0) * 1, optimizer=SGD(0.5), batch_size=8, epochs=3,
            engine="compiled",
        )
    numbers = state.theta
"""
# Four small kernels take two seconds to compile; those of a fit take ten, in the long form.
WORK = {"kernels": KERNELS, "fit": FIT}
PROGRAM = """
import json, os, sys, warnings

from resource import RLIMIT_FSIZE, setrlimit

if "LARGEST_FILE" in os.environ:
    setrlimit(RLIMIT_FSIZE, (int(os.environ["LARGEST_FILE"]),) * 2)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
{work}
print(json.dumps({{
    "numbers": [x.hex() for x in numbers],
    "numba": "numba" in sys.modules,
    "warnings": [str(w.message) for w in caught if w.category is RuntimeWarning],
}}))
"""


def python(script: str, *, without: tuple[str, ...] = (), cwd: Path | None = None,
           before: tuple[str, ...] = (), **env: Any) -> str:  # fmt: skip
    """Return what a new Python process prints."""
    where = {k: v for k, v in os.environ.items() if k not in without}
    done = subprocess.run(
        [*before, sys.executable, "-c", script],
        env=where | {name: str(value) for name, value in env.items()},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def run(work: str, folder: Path | None = None, **given: Any) -> dict[str, Any]:
    """Do one of ``WORK`` in a new Python process, with this folder as its cache."""
    if folder is not None:
        given["DELTARULE_CACHE_DIR"] = folder
    return json.loads(python(PROGRAM.format(work=WORK[work]), **given))


class First(NamedTuple):
    """A folder with every kernel that some work needs, and the numbers that it gives."""

    work: str
    folder: Path
    numbers: list[str]

    def again(self, folder: Path | None = None, **given: Any) -> dict[str, Any]:
        """Do the same work with another folder as the cache."""
        return run(self.work, folder, **given)


@pytest.fixture(scope="session", params=["kernels", pytest.param("fit", marks=pytest.mark.long)])
def first(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> First:
    folder = tmp_path_factory.mktemp("kernels")
    cold = run(request.param, folder)
    assert cold["numba"]
    assert cold["warnings"] == []
    return First(request.param, folder, cold["numbers"])


@pytest.fixture
def kept(first: First, tmp_path: Path) -> Path:
    """Return a copy of that folder, for tests that damage it."""
    return copied(first.folder, tmp_path / "kept")


def copied(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    os.chmod(target, 0o700)
    return target


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that this process uses as its cache."""
    path = tmp_path / "cache" / "kernels"
    monkeypatch.setenv("DELTARULE_CACHE_DIR", str(path))
    kernel_cache._usable_folder.cache_clear()
    return path


@pytest.fixture(autouse=True)
def _forget_folders() -> Iterator[None]:
    yield
    kernel_cache._usable_folder.cache_clear()


def assert_refused(folder: Path | str | None = None, match: str = "") -> None:
    """Assert that the folder is not used, and that one warning says so, with the remedy."""
    kernel_cache._usable_folder.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert kernel_cache.cache_folder() is None
        assert kernel_cache.read("a") is None
        kernel_cache.write("a", b"payload")
    assert len(caught) == 1
    assert caught[0].category is RuntimeWarning
    assert "Set DELTARULE_CACHE_DIR" in str(caught[0].message)
    assert match in str(caught[0].message)
    if folder is not None:
        assert str(folder) in str(caught[0].message)


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"\0", b"symbol\0code", bytes(range(256)) * 1000])
def test_a_kernel_is_read_as_it_was_written(folder: Path, payload: bytes) -> None:
    assert kernel_cache.read("a") is None
    kernel_cache.write("a", b"the one before")
    kernel_cache.write("a", payload)
    assert kernel_cache.read("a") == payload
    assert [file.name for file in folder.iterdir()] == ["a"]


@POSIX
def test_only_this_user_can_open_the_folder_and_new_parents(folder: Path) -> None:
    before = os.umask(0)
    try:
        kernel_cache.write("a", b"payload")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (folder.parent, folder, folder / "a")]
    assert modes == [0o700, 0o700, 0o600]


def test_every_truncation_and_every_flipped_bit_is_detected(folder: Path) -> None:
    kernel_cache.write("a", b"symbol\0" + bytes(range(40)))
    whole = (folder / "a").read_bytes()
    assert kernel_cache.read("a") is not None
    for length in range(len(whole)):
        (folder / "a").write_bytes(whole[:length])
        assert kernel_cache.read("a") is None
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        (folder / "a").write_bytes(flipped)
        assert kernel_cache.read("a") is None
    (folder / "a").write_bytes(whole + b"\0")
    assert kernel_cache.read("a") is None
    (folder / "a").write_bytes(whole)
    assert kernel_cache.read("a") is not None


@JIT
@pytest.mark.parametrize(
    "count", [pytest.param(10, id="short"), pytest.param(1000, id="full", marks=pytest.mark.long)]
)
def test_damage_to_real_kernels_is_detected(
    kept: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setenv("DELTARULE_CACHE_DIR", str(kept))
    rng = np.random.default_rng(0)
    for file in sorted(kept.iterdir()):
        whole = file.read_bytes()
        assert kernel_cache.read(file.name) is not None
        for _ in range(count):
            damage(file, rng)
            assert kernel_cache.read(file.name) is None
            if file.is_dir():
                file.rmdir()
            file.write_bytes(whole)
        assert kernel_cache.read(file.name) is not None


def damage(file: Path, rng: np.random.Generator, kind: int | None = None) -> None:
    """Damage a file in a way that disks or users may cause."""
    whole = file.read_bytes()
    kind = int(rng.integers(10)) if kind is None else kind
    if kind == 0:
        file.unlink()
        file.mkdir()
    elif kind == 1:
        file.write_bytes(b"")
    elif kind == 2:
        file.write_bytes(rng.bytes(len(whole)))
    elif kind < 6:
        file.write_bytes(whole[: rng.integers(len(whole))])
    else:  # the first 200 bytes hold the magic, the digest and the symbol
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole) if kind < 8 else 200)] ^= 1 << int(rng.integers(8))
        file.write_bytes(flipped)


def test_only_regular_files_are_read(folder: Path) -> None:
    kernel_cache.write("a", b"payload")
    (folder / "directory").mkdir()
    (folder / "empty").write_bytes(b"")
    assert kernel_cache.read("directory") is None
    assert kernel_cache.read("empty") is None
    assert kernel_cache.read("missing") is None
    kernel_cache.write("directory", b"payload")
    assert kernel_cache.read("directory") is None
    assert sorted(file.name for file in folder.iterdir()) == ["a", "directory", "empty"]


def test_a_kernel_under_another_name_is_not_read(folder: Path) -> None:
    kernel_cache.write("a", b"payload")
    os.rename(folder / "a", folder / "b")
    assert kernel_cache.read("b") is None


@POSIX
def test_a_file_that_others_may_have_written_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel_cache.write("a", b"payload")
    os.symlink("a", folder / "link")
    os.mkfifo(folder / "pipe", 0o600)  # it has no writer: opening it would block for ever
    assert kernel_cache.read("link") is None
    assert kernel_cache.read("pipe") is None
    for mode in (0o620, 0o602, 0o666, 0o777):
        os.chmod(folder / "a", mode)
        assert kernel_cache.read("a") is None
    os.chmod(folder / "a", 0o644)
    assert kernel_cache.read("a") == b"payload"
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert kernel_cache.read("a") is None


def test_replacing_the_path_while_it_is_read_has_no_effect(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks apply to the file that is read."""
    kernel_cache.write("a", b"payload")
    inspect = os.fstat

    def exchange(handle: int) -> os.stat_result:
        (folder / "b").write_bytes(b"another file")
        os.replace(folder / "b", folder / "a")
        return inspect(handle)

    monkeypatch.setattr(os, "fstat", exchange)
    assert kernel_cache.read("a") == b"payload"


def test_reading_leaves_no_file_open(folder: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("open files are counted in /proc")
    kernel_cache.write("a", b"payload")
    (folder / "directory").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        kernel_cache.read("a")
        kernel_cache.read("directory")
    assert len(os.listdir("/proc/self/fd")) == before


# --- what is written ------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["replace", "fdopen"])
def test_a_full_disk_leaves_no_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    kernel_cache.write("a", b"payload")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, broken, fail)
        kernel_cache.write("a", b"another")
    assert kernel_cache.read("a") == b"payload"
    assert [file.name for file in folder.iterdir()] == ["a"]


def test_an_interrupt_leaves_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel_cache.cache_folder() == folder

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        kernel_cache.write("a", b"payload")
    assert list(folder.iterdir()) == []


def test_a_deleted_folder_costs_only_time(folder: Path) -> None:
    kernel_cache.write("a", b"payload")
    shutil.rmtree(folder)
    kernel_cache.write("a", b"payload")
    assert kernel_cache.read("a") is None


# --- which folder ---------------------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_to_is_not_used(folder: Path, mode: int) -> None:
    kernel_cache.write("a", b"poison")  # its digest is right
    os.chmod(folder, mode)
    assert_refused(folder, "others can write to it")


@POSIX
def test_a_folder_of_another_user_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel_cache.write("a", b"poison")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert_refused(folder, "belongs to another user")


@POSIX
def test_a_link_is_not_used(folder: Path) -> None:
    kernel_cache.write("a", b"poison")
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")
    assert_refused(folder, "is not a folder")


@pytest.mark.parametrize("answer", ["", "~/.cache"])
def test_without_a_home_folder_the_cache_is_not_used(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer of platformdirs in this case differs from release to release."""
    import platformdirs

    def search(*_: Any, **__: Any) -> Path:
        if answer:
            return Path(answer)
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("DELTARULE_CACHE_DIR", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", search)
    monkeypatch.chdir(tmp_path)
    assert_refused(match="" if answer else "no home folder")
    assert list(tmp_path.iterdir()) == []


def test_a_file_instead_of_the_folder_or_a_parent(folder: Path) -> None:
    folder.parent.write_text("")
    assert_refused(folder, "cannot be made")
    folder.parent.unlink()
    folder.parent.mkdir()
    folder.write_text("")
    assert_refused(folder)


def test_a_folder_that_cannot_be_written_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True, mode=0o700)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert_refused(folder, "cannot be written to")


def test_a_read_only_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert_refused(folder, "Read-only file system")


@pytest.mark.parametrize("chosen", ["~/kernels", "kernels", "./kernels"])
def test_a_relative_folder_is_not_created(
    chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DELTARULE_CACHE_DIR", chosen)
    assert_refused(match="is not an absolute path")
    assert list(tmp_path.iterdir()) == []


# --- what a file was compiled for ----------------------------------------------------------------

SOURCES = Path(compiler.__file__).parent


def fingerprint(*, check_bounds: bool = False) -> str:
    settings = settings_of_environment()
    return compiler._fingerprint.__wrapped__(check_bounds, settings)


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the sources from which the fingerprint is computed."""
    package = tmp_path / "deltarule"
    shutil.copytree(SOURCES, package / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "program").mkdir()
    shutil.copy(SOURCES.parent / "program" / "opcodes.py", package / "program")
    monkeypatch.setattr(compiler, "__file__", str(package / "engine" / "compiler.py"))
    return package


def test_every_source_of_a_kernel_is_in_the_fingerprint(sources: Path) -> None:
    kernels = sorted((sources / "engine" / "kernels").glob("*.py"))
    assert len(kernels) > 10
    seen = {fingerprint()}
    for file in (*kernels, sources / "engine" / "records.py", sources / "program" / "opcodes.py"):
        file.write_bytes(file.read_bytes() + b"\n")
        seen.add(fingerprint())
    (sources / "engine" / "kernels" / "another.py").write_text("")
    seen.add(fingerprint())
    kernels[0].unlink()
    seen.add(fingerprint())
    assert len(seen) == len(kernels) + 5
    assert all(len(one) == 32 for one in seen)


def test_kernels_import_only_these_sources() -> None:
    ours = {"deltarule.program.opcodes", "deltarule.engine.records"}
    for file in (*(SOURCES / "kernels").rglob("*.py"), SOURCES / "records.py",
                 SOURCES.parent / "program" / "opcodes.py"):  # fmt: skip
        assert file.parent.name in ("kernels", "engine", "program")
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert (
                    not name.startswith("deltarule")
                    or name in ours
                    or name.startswith("deltarule.engine.kernels")
                ), (file.name, name)


def test_the_compilers_and_the_processor_are_in_the_fingerprint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import llvmlite
    import llvmlite.binding as llvm

    here = fingerprint()
    assert fingerprint() == here
    assert fingerprint(check_bounds=True) != here
    for name, value in {"NUMBA_OPT": "1", "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "",
                        "NUMBA_BOUNDSCHECK": "1", "NUMBA_LOOP_VECTORIZE": "0"}.items():  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setenv(name, value or ",")
            assert fingerprint() != here
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "_numba_version", lambda: "0")
        assert fingerprint() != here
    for package in (llvmlite, np):
        with monkeypatch.context() as patch:
            patch.setattr(package, "__version__", "0")
            assert fingerprint() != here
    for name in ("get_host_cpu_name", "get_process_triple"):
        with monkeypatch.context() as patch:
            patch.setattr(llvm, name, lambda: "another")
            assert fingerprint() != here
    with monkeypatch.context() as patch:
        features = llvm.get_host_cpu_features()
        features["avx"] = not features.get("avx")
        patch.setattr(llvm, "get_host_cpu_features", lambda: features)
        assert fingerprint() != here
    assert fingerprint() == here


# --- whole processes ------------------------------------------------------------------------------


def test_the_package_is_imported_without_compilers() -> None:
    script = "import sys, deltarule; print([m for m in ('numba', 'llvmlite') if m in sys.modules])"
    assert python(script).strip() == "[]"


@JIT
def test_a_warm_start_imports_no_compiler(first: First) -> None:
    folder = first.folder
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert first.again(folder) == {"numbers": first.numbers, "numba": False, "warnings": []}
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before


@JIT
def test_a_second_fit_imports_no_compiler() -> None:
    """With the cache of all tests, which the first fit completes."""
    numbers = run("fit")["numbers"]
    assert run("fit") == {"numbers": numbers, "numba": False, "warnings": []}


@JIT
@pytest.mark.parametrize(
    "count", [pytest.param(2, id="short"), pytest.param(8, id="full", marks=pytest.mark.long)]
)
def test_processes_that_start_together_with_an_empty_cache(
    first: First, tmp_path: Path, count: int
) -> None:
    folder = tmp_path / "new" / "kernels"
    with ThreadPoolExecutor(count) as pool:
        runs = list(pool.map(lambda _: first.again(folder), range(count)))
    assert [one["numbers"] for one in runs] == [first.numbers] * count
    assert [one["warnings"] for one in runs] == [[]] * count
    names = {file.name for file in folder.iterdir()}
    assert names == {file.name for file in first.folder.iterdir()}
    assert not first.again(folder)["numba"]
    report("cold cache", processes=count)


@JIT
@pytest.mark.parametrize(
    ("first", "seed"),
    [("kernels", 0), *(pytest.param("fit", s, marks=pytest.mark.long) for s in range(20))],
    indirect=["first"],
)
def test_damaged_kernels_are_compiled_again(first: First, kept: Path, seed: int) -> None:
    """Ten runs for each kind of damage; the short form is one run with every kernel damaged."""
    rng = np.random.default_rng(seed)
    files = sorted(kept.iterdir())
    damages = [files] if seed == 0 else [[files[i]] for i in rng.integers(len(files), size=10)]
    kinds = cycle([0, 1, 3, 8]) if first.work == "kernels" else cycle([None])
    for hurt in damages:
        for file in hurt:
            damage(file, rng, next(kinds))
        blocked = {file for file in hurt if file.is_dir()}
        assert first.again(kept) == {"numbers": first.numbers, "numba": True, "warnings": []}
        for file in blocked:
            file.rmdir()
        assert {file.name for file in kept.iterdir()} == {f.name for f in files if f not in blocked}
        if blocked:
            first.again(kept)
        assert not first.again(kept)["numba"]
    report("damaged cache", runs=len(damages))


@JIT
@POSIX
def test_kernels_in_a_shared_folder_are_never_loaded(
    first: First, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernels have valid digests, but every user can write to their folder."""
    monkeypatch.setenv("DELTARULE_CACHE_DIR", str(kept))
    for file in kept.iterdir():
        kernel_cache.write(file.name, b"marker\0this would end the process")
    poison = {file.name: file.read_bytes() for file in kept.iterdir()}
    os.chmod(kept, 0o777)
    done = first.again(kept)
    assert done["numbers"] == first.numbers
    assert done["numba"]
    assert len(done["warnings"]) == 1
    assert "others can write to it" in done["warnings"][0]
    assert {file.name: file.read_bytes() for file in kept.iterdir()} == poison
    report("poison", folders=1)


@JIT
@POSIX
def test_a_kernel_of_another_user_is_replaced(
    first: First, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DELTARULE_CACHE_DIR", str(kept))
    file = next(kept.glob("tanh_forward-*"))
    kernel_cache.write(file.name, b"marker\0this would end the process")
    if os.geteuid() == 0:
        os.chown(file, NOBODY, NOBODY)
    else:
        os.chmod(file, 0o666)
    assert first.again(kept) == {"numbers": first.numbers, "numba": True, "warnings": []}
    assert file.stat().st_uid == os.geteuid()
    assert first.again(kept) == {"numbers": first.numbers, "numba": False, "warnings": []}
    report("poison", folders=1)


@JIT
@POSIX
def test_without_a_home_kernels_are_compiled_in_memory(first: First, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "here").mkdir()
    done = first.again(
        HOME=tmp_path / "file" / "home",
        without=("DELTARULE_CACHE_DIR", "XDG_CACHE_HOME"),
        cwd=tmp_path / "here",
    )
    assert done["numbers"] == first.numbers
    assert done["numba"]
    assert len(done["warnings"]) == 1
    assert "Set DELTARULE_CACHE_DIR" in done["warnings"][0]
    assert list((tmp_path / "here").iterdir()) == []
    report("no home", runs=1, warnings=1)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that every user can access, unlike ``tmp_path``."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


@JIT
@POSIX
@pytest.mark.long
def test_a_user_without_a_name(first: First, open_folder: Path) -> None:
    """No home, no user name, and a read-only install: ``~`` cannot be expanded."""
    can = os.geteuid() == 0 and shutil.which("setpriv")
    if not can or subprocess.run([*AS_NOBODY, "true"], capture_output=True).returncode != 0:
        pytest.skip("only root can change to another user")
    (open_folder / "here").mkdir()
    (open_folder / "here").chmod(0o777)
    where = {
        "before": AS_NOBODY,
        "without": ("DELTARULE_CACHE_DIR", "XDG_CACHE_HOME", "HOME"),
        "cwd": open_folder / "here",
    }
    done = first.again(**where)
    assert done["numbers"] == first.numbers
    assert len(done["warnings"]) == 1
    assert "Set DELTARULE_CACHE_DIR" in done["warnings"][0]
    assert list((open_folder / "here").iterdir()) == []
    # A folder that belongs to root and is readable is not used, although its kernels are right.
    foreign = copied(first.folder, open_folder / "kernels")
    for path in (foreign, *foreign.iterdir()):
        path.chmod(0o755)
    done = first.again(foreign, **where)
    assert done["numbers"] == first.numbers
    assert done["numba"]
    assert len(done["warnings"]) == 1
    assert "belongs to another user" in done["warnings"][0]
    report("no home", runs=1, warnings=1)
    report("poison", folders=1)


@JIT
@POSIX
def test_a_full_disk_does_not_stop_the_work(first: First, tmp_path: Path) -> None:
    folder = tmp_path / "kernels"
    done = first.again(folder, LARGEST_FILE=1000)
    assert done == {"numbers": first.numbers, "numba": True, "warnings": []}
    assert list(folder.iterdir()) == []


# --- the debug mode -------------------------------------------------------------------------------

BEYOND = """
import os, threading
import numpy as np
from deltarule import Dense, Huber, Network
from deltarule.engine import Engine
from deltarule.engine.work_plan import Mode
from deltarule.program import Block

net = Network(64, [Dense(256, "relu"), Dense(3)], loss=Huber(0.5))
rng = np.random.default_rng(0)
block = Block(rng.normal(size=(512, 64)), rng.normal(size=(512, 3)))
engine, state = Engine(net.tape), net.initialize(seed=0)
sums = engine.gradient(state, block)
[buffers] = engine._free[Mode.SUMS, False]
assert not buffers.plan.is_small
kept = buffers.context.n_loss_constants
buffers.context.n_loss_constants = 0  # the loss reads a constant that does not exist
try:
    engine.gradient(state, block)
except IndexError as error:
    print(error)
buffers.context.n_loss_constants = kept
print(np.array_equal(engine.gradient(state, block).gradient, sums.gradient))
"""


@JIT
def test_the_debug_mode_has_its_own_kernels(first: First, kept: Path) -> None:
    names = {file.name for file in kept.iterdir()}
    done = first.again(kept, DELTARULE_CHECK_BOUNDS=1)
    assert done["numba"]
    found, expected = (
        np.array([float.fromhex(x) for x in numbers])
        for numbers in (done["numbers"], first.numbers)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    assert len(list(kept.iterdir())) == 2 * len(names)


@JIT
@pytest.mark.parametrize("threads", [1, 3])
def test_the_debug_mode_detects_bad_indices(threads: int) -> None:
    """With the cache of all tests: its kernels are compiled once."""
    said = python(BEYOND, DELTARULE_CHECK_BOUNDS=1, _DELTARULE_FORCE_THREADS=threads)
    assert said.splitlines() == [
        "a kernel left its arrays: this is a bug in deltarule, please report it.",
        "True",
    ]
