"""Saving with faults: the old file or the new one is complete, whichever call fails."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltarule import load
from deltarule.errors import OutputError
from deltarule.storage import atomic_write
from support.faults import report
from support.storage import model_files

CALLS = (
    *("stat", "lstat", "fstat", "access", "open", "write", "fchmod", "fsync", "link", "replace"),
    *("unlink", "close", "scandir"),
)
"""What a save may ask of the system."""


class Fault:
    """Counts the system calls of a save, and makes one of them fail."""

    def __init__(self, number: int, spoil: Callable[[], Any]) -> None:
        self.number, self.spoil = number, spoil
        self.made: list[str] = []

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in CALLS:
            patch.setattr(os, name, self._wrap(name, getattr(os, name)))
        patch.setattr(atomic_write.fcntl, "flock", self._wrap("flock", atomic_write.fcntl.flock))

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.made.append(name)
            result = real(*args, **kwargs) if name == "close" else None  # closed all the same
            if len(self.made) == self.number:
                self.spoil()
            return result if name == "close" else real(*args, **kwargs)

        return call


@pytest.fixture
def files(tmp_path: Path) -> tuple[bytes, bytes, Path]:
    """Return two models' bytes, and a path."""
    found = model_files()
    return found["classifier"], found["regressor"], tmp_path / "model"


def save(path: Path, data: bytes, old: bytes | None) -> None:
    atomic_write.write_atomically(path, data, overwrite=old is not None)


def count_calls(path: Path, data: bytes, old: bytes | None) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        fault = Fault(0, lambda: None)
        fault.install(patch)
        save(path, data, old)
    return fault.made


def put(path: Path, old: bytes | None) -> None:
    for other in path.parent.iterdir():
        other.unlink()
    if old is not None:
        path.write_bytes(old)


def check_whole(path: Path, new: bytes, old: bytes | None) -> None:
    """Assert that the target is the old file or the new one, and can be loaded."""
    found = path.read_bytes() if path.exists() else None
    assert found in (new, old)
    if found is not None:
        load(path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("overwrite", [False, True])
def test_every_failing_call(files: tuple[bytes, bytes, Path], number: int, overwrite: bool) -> None:
    first, new, path = files
    old = first if overwrite else None
    put(path, old)
    calls = count_calls(path, new, old)
    assert {"open", "write", "fsync", "unlink", "close"} < set(calls)

    def fail() -> None:
        raise OSError(number, os.strerror(number))

    refused = 0
    for at in range(1, len(calls) + 1):
        put(path, old)
        with pytest.MonkeyPatch.context() as patch:
            Fault(at, fail).install(patch)
            try:
                save(path, new, old)
            except OutputError as error:
                refused += 1
                message = str(error)
            else:
                message = ""
        check_whole(path, new, old)
        if message:
            assert str(path) in message
            assert "\n" not in message
            last = calls[at - 1] == "fsync" and "fsync" not in calls[at:]  # the folder's
            assert last == ("was written, but its folder" in message)
            assert (path.read_bytes() if path.exists() else None) == (new if last else old)
        else:
            assert path.read_bytes() == new
        save(path, new, new)  # the next run leaves nothing else behind
        assert [found.name for found in path.parent.iterdir()] == ["model"]
    assert refused > len(calls) / 3
    report("failing calls", tried=len(calls))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_before_every_call(files: tuple[bytes, bytes, Path], overwrite: bool) -> None:
    first, new, path = files
    old = first if overwrite else None
    put(path, old)
    calls = count_calls(path, new, old)
    for at in range(1, len(calls) + 1):
        put(path, old)
        child = os.fork()
        if child == 0:
            with pytest.MonkeyPatch.context() as patch:
                Fault(at, lambda: os.kill(os.getpid(), signal.SIGKILL)).install(patch)
                save(path, new, old)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        check_whole(path, new, old)
        save(path, new, new)
        assert [found.name for found in path.parent.iterdir()] == ["model"]
    report("killed, in Python", kills=len(calls))


def test_the_file_is_flushed_then_renamed_then_the_folder_flushed(
    files: tuple[bytes, bytes, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, new, path = files
    flushed: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        kind = "folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"
        flushed.append(f"{kind} {'named' if path.exists() and path.read_bytes() == new else ''}")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    for old in (None, first):
        put(path, old)
        save(path, new, old)
    assert flushed == ["file ", "folder named"] * 2
    report("order", saves=2)


# --- the real system: strace, and a full disk ----------------------------------------------------

CHILD = """
import sys
from deltarule.storage.atomic_write import write_atomically
data = open(sys.argv[2], "rb").read()
try:
    open("/begin")
except OSError:
    write_atomically(sys.argv[1], data, overwrite=sys.argv[3] == "1")
try:
    open("/end")
except OSError:
    pass
"""
_CALL = re.compile(r"^(?:\[pid +\d+\] )?(\w+)\(")


def strace(log: Path, *words: object, inject: str = "") -> subprocess.CompletedProcess[str]:
    tool = shutil.which("strace")
    options = ["-f", "-o", str(log), *(["-e", f"inject={inject}"] if inject else [])]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [str(tool), *options, sys.executable, "-c", CHILD, *map(str, words)],
        capture_output=True, text=True, check=False, env=environment, timeout=1200,
    )  # fmt: skip


def calls_of_a_save(log: Path) -> tuple[Counter[str], list[tuple[str, int]]]:
    """Return (call, number) for every call between the marks, numbered from the process's start."""
    seen: Counter[str] = Counter()
    during: list[tuple[str, int]] = []
    inside = False
    for line in log.read_text(errors="replace").splitlines():
        found = _CALL.match(line.split(" ", 1)[-1].lstrip())
        if not found:
            continue
        name = found.group(1)
        seen[name] += 1
        if '"/begin"' in line:
            inside = True
        elif '"/end"' in line:
            inside = False
        elif inside:
            during.append((name, seen[name]))
    return seen, during


def can_trace(folder: Path) -> bool:
    if shutil.which("strace") is None:
        return False
    return strace(folder / "log", folder / "probe", os.devnull, 0).returncode == 0


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_every_system_call(tmp_path: Path, overwrite: bool) -> None:
    if not can_trace(tmp_path):
        pytest.skip("needs strace and the right to trace")
    first, new = model_files()["classifier"], model_files()["regressor"]
    folder = tmp_path / "models"
    folder.mkdir()
    path, source, old = folder / "model", tmp_path / "new", first if overwrite else None
    source.write_bytes(new)
    put(path, old)
    done = strace(tmp_path / "log", path, source, int(overwrite))
    assert done.returncode == 0, done.stderr
    during = calls_of_a_save(tmp_path / "log")[1]
    names = {name for name, _ in during}
    assert {"fsync", "write", "close"} <= names
    assert names & {"rename", "link", "linkat", "renameat", "renameat2"}
    killed = 0
    for name, number in during:
        put(path, old)
        done = strace(
            tmp_path / "log", path, source, int(overwrite),
            inject=f"{name}:signal=SIGKILL:when={number}",
        )  # fmt: skip
        killed += done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
        check_whole(path, new, old)
        save(path, new, new)
        assert [found.name for found in folder.iterdir()] == ["model"]
    assert killed == len(during)
    report("killed, by strace", kills=killed)


@pytest.mark.long
@pytest.mark.parametrize("number", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.timeout(1800)
def test_every_system_call_fails(tmp_path: Path, overwrite: bool, number: str) -> None:
    if not can_trace(tmp_path):
        pytest.skip("needs strace and the right to trace")
    first, new = model_files()["classifier"], model_files()["regressor"]
    folder = tmp_path / "models"
    folder.mkdir()
    path, source, old = folder / "model", tmp_path / "new", first if overwrite else None
    source.write_bytes(new)
    put(path, old)
    strace(tmp_path / "log", path, source, int(overwrite))
    during = [
        call for call in calls_of_a_save(tmp_path / "log")[1]
        if call[0] not in ("mmap", "munmap", "brk", "mprotect", "mremap", "madvise", "rt_sigaction")
    ]  # fmt: skip
    for name, at in during:
        put(path, old)
        done = strace(
            tmp_path / "log",
            path,
            source,
            int(overwrite),
            inject=f"{name}:error={number}:when={at}",
        )
        check_whole(path, new, old)
        if done.returncode:
            assert "OutputError" in done.stderr, done.stderr
        else:
            assert path.read_bytes() == new
        save(path, new, new)
        assert [found.name for found in folder.iterdir()] == ["model"]
    report("failing calls", tried=len(during))


def test_a_full_disk(tmp_path: Path) -> None:
    """A file system of 1 MB in its own namespace; skipped where that is not allowed."""
    new = model_files()["regressor"]
    (tmp_path / "disk").mkdir()
    (tmp_path / "big").write_bytes(bytes(2_000_000))
    (tmp_path / "old").write_bytes(new)
    script = f"""
        mount -t tmpfs -o size=1m none disk || exit 99
        cp old disk/model
        "$0" -c '{CHILD}' disk/model big 1 2> error && exit 98
        ls -A disk > names; cmp old disk/model
    """
    tool = shutil.which("unshare")
    if tool is None:
        pytest.skip("needs unshare")
    done = subprocess.run(
        [tool, "-rm", "sh", "-c", script, sys.executable],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=1200,
    )  # fmt: skip
    if done.returncode in (1, 99) and not (tmp_path / "names").exists():
        pytest.skip("mounting in a namespace is not allowed here")
    assert done.returncode == 0, done.stderr
    assert "OutputError" in (tmp_path / "error").read_text()
    assert "No space left on device" in (tmp_path / "error").read_text()
    assert (tmp_path / "names").read_text() == "model\n"
    report("full disk", disks=1)
