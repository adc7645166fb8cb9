"""Atomic writes: the old file or the new one, and no temporary file left."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltarule.errors import OutputError
from deltarule.storage import atomic_write
from deltarule.storage.atomic_write import check_writable, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "model"
    assert write_atomically(path, b"one") == path
    assert path.read_bytes() == b"one"
    with pytest.raises(OutputError, match=r"already exists.*--overwrite"):
        write_atomically(path, b"two")
    assert path.read_bytes() == b"one"
    write_atomically(path, b"two", overwrite=True)
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["model"]


def test_keeps_permissions_and_obeys_the_umask(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "model", b"one")
    old = os.umask(0)
    os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o666 & ~old
    path.chmod(0o640)
    write_atomically(path, b"two", overwrite=True)
    assert path.stat().st_mode & 0o777 == 0o640


def test_symbolic_links_are_neither_followed_nor_replaced(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    for link, goal in (("link", victim), ("dangling", tmp_path / "nowhere")):
        (tmp_path / link).symlink_to(goal)
        with pytest.raises(OutputError, match="symbolic link"):
            write_atomically(tmp_path / link, b"new", overwrite=True)
        assert (tmp_path / link).is_symlink()
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


def test_check_writable_reports_before_writing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        check_writable(tmp_path / "none" / "model")
    with pytest.raises(OutputError, match="not a regular file"):
        check_writable(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match="names no file"):
        check_writable("..")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="not a regular file"):
        check_writable(tmp_path / "pipe", overwrite=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="read-only"):
        check_writable(tmp_path / "model")


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace", "link", "fchmod"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failing_system_call_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, overwrite: bool
) -> None:
    path = tmp_path / "model"
    if overwrite:
        path.write_bytes(b"old")
    elif call in ("replace", "fchmod"):
        pytest.skip("not called for a new file")
    if call == "link" and overwrite:
        pytest.skip("not called over an old file")
    real: Callable[..., Any] = getattr(os, call)

    def fail(*args: Any, **kwargs: Any) -> Any:
        if call == "open" and not str(args[0]).endswith(".tmp"):
            return real(*args, **kwargs)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic_write.os, call, fail)
    if call == "link":  # a file system without hard links: the rename takes its place
        write_atomically(path, b"new")
        assert path.read_bytes() == b"new"
        return
    with pytest.raises(OutputError, match=os.strerror(number)) as caught:
        write_atomically(path, b"new" * 1000, overwrite=overwrite)
    monkeypatch.undo()
    assert str(path) in str(caught.value)
    assert names(tmp_path) == (["model"] if overwrite else [])
    if overwrite:
        assert path.read_bytes() == b"old"


def test_the_file_is_flushed_then_renamed_then_the_folder_is_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for call in ("fsync", "replace", "link", "unlink"):
        real = getattr(os, call)
        monkeypatch.setattr(
            atomic_write.os,
            call,
            lambda *args, call=call, real=real: (calls.append(call), real(*args))[1],
        )
    write_atomically(tmp_path / "model", b"new")
    write_atomically(tmp_path / "model", b"newer", overwrite=True)
    assert calls == ["fsync", "link", "fsync", "unlink", "fsync", "replace", "fsync", "unlink"]


@pytest.mark.parametrize("old", [None, b"old"])
def test_the_new_file_exists_if_the_folder_cannot_be_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes | None
) -> None:
    path = tmp_path / "model"
    if old is not None:
        path.write_bytes(old)
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(atomic_write.os, "fsync", fsync)
    message = r"model was written, but its folder .*\(Input/output error\).*save it again"
    with pytest.raises(OutputError, match=message):
        write_atomically(path, b"new", overwrite=old is not None)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "a\0b/model", "a\ud800b/model"])
def test_invalid_file_names_are_refused(tmp_path: Path, name: str) -> None:
    for write in (check_writable, lambda path: write_atomically(path, b"new", overwrite=True)):
        with pytest.raises(OutputError, match=r"names no file|there is no folder") as caught:
            write(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_a_file_created_by_another_process_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    real = os.link

    def late(source: Any, target: Any) -> None:
        path.write_bytes(b"theirs")
        real(source, target)

    monkeypatch.setattr(atomic_write.os, "link", late)
    with pytest.raises(OutputError, match="already exists"):
        write_atomically(path, b"ours")
    assert path.read_bytes() == b"theirs"
    assert names(tmp_path) == ["model"]


def test_temporary_files_of_killed_writers_are_removed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from deltarule.storage import atomic_write\n"
        "atomic_write.os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic_write.write_atomically(sys.argv[1], b'x' * 1000)\n"
    )
    path = tmp_path / "model"
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60)
    assert done.returncode == -9
    assert len(names(tmp_path)) == 1
    write_atomically(path, b"new")
    assert names(tmp_path) == ["model"]


def test_temporary_files_of_running_writers_stay(tmp_path: Path) -> None:
    with atomic_write._temporary(tmp_path / "model") as (_, temporary):
        write_atomically(tmp_path / "model", b"new")
        assert temporary.exists()
    assert names(tmp_path) == ["model"]
