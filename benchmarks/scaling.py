"""Growth of the time per step and of a fit's memory: ``python benchmarks/scaling.py [--quick]``.

Batch size, width, depth, number of threads and number of rows are varied one at a time; every point
is measured in its own processes. The full form writes ``docs/performance.md`` and ``docs/images/``,
the quick form the same files in ``build/scaling/``. A time is that of a complete fit divided by its
number of steps, the shortest of several, measured alternately with scikit-learn and the BLAS
baseline. Memory is the peak of a fit beyond what the process used before (interpreter, libraries,
loaded kernels, data).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from speed.cases import CASES, Case
from speed.interleaved_timing import ENGINES, Engine, WorkerError, time_interleaved, worker
from speed.machine import describe, load_average
from speed.pictures import Line, Panel, draw
from speed.report import Table, console, mark, put

from deltarule.engine.thread_pool import available_cores

DOCS = Path(__file__).resolve().parent.parent / "docs"
QUICK = Path("build") / "scaling"

COMPARED = ("deltarule", "scikit-learn", "BLAS baseline")
MIB = 2**20
# Upper bound on the memory of a fit: a multiple of θ (the state, its gradient and parts of it, the
# copies that training can restore), a multiple of one batch in all layers, and a constant.
THETAS, BATCHES, CONSTANT = 17, 3, 2 * MIB
WORK = 2e10  # approximate floating-point operations of an epoch


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    every: int  # 1: all points, 2: every second point, …
    leave: int  # number of largest points that are skipped
    rounds: int
    seconds: float  # of a repetition
    cases: tuple[str, ...]  # measured with several numbers of threads
    largest_rows: int

    def of(self, points: Iterable[int]) -> list[int]:
        """Return the points that are measured."""
        known = list(points)
        return known[: len(known) - self.leave : self.every]


FULL = Effort(1, 0, 3, 0.3, ("S", "S2", "M", "L"), 10_000_000)
SHORT = Effort(3, 2, 1, 0.05, ("S", "M"), 100_000)


@dataclass
class Point:
    """One measured case: seconds per step by engine, and the peak memory of deltarule's fit."""

    x: int
    case: Case
    seconds: dict[str, float] = field(default_factory=dict)
    bytes: int | None = None
    note: str = ""

    @property
    def theta(self) -> int:
        """Bytes of the parameters."""
        return self.case.n_parameters * (4 if self.case.dtype == "float32" else 8)

    @property
    def activations(self) -> int:
        """Bytes of a batch in all layers, including the inputs."""
        return self.case.batch * sum(self.case.widths) * (4 if self.case.dtype == "float32" else 8)

    @property
    def bound(self) -> int:
        """Upper bound on the bytes of a fit."""
        return THETAS * self.theta + BATCHES * self.activations + CONSTANT

    @property
    def times(self) -> list[str]:
        """Table cells with the engines' times."""
        return [micro(self.seconds.get(name)) for name in COMPARED]

    @property
    def sizes(self) -> list[str]:
        """Table cells with the sizes."""
        met = None if self.bytes is None else self.bytes <= self.bound
        return [*map(mib, (self.theta, self.activations, self.bytes)), mib(self.bound) + mark(met)]


def micro(seconds: float | None) -> str:
    """Return seconds as microseconds, to three significant digits."""
    return "–" if seconds is None else f"{float(f'{seconds * 1e6:.3g}'):,g}"


def mib(size: int | None) -> str:
    """Return bytes as MiB."""
    return "–" if size is None else f"{size / MIB:,.2f}"


def sized(case: Case) -> Case:
    """Return the case with so many rows that the fixed cost of a fit is negligible."""
    work = 6 * case.batch * case.n_parameters
    steps = max(16, min(256, round(WORK / work)))
    return replace(case, rows=steps * case.batch)


def sweeps(effort: Effort) -> dict[str, list[Point]]:
    """Return the cases of every sweep."""
    batches = effort.of(2**k for k in range(3, 13))
    widths = effort.of(2**k for k in range(4, 13))
    depths = effort.of(2**k for k in range(6))
    return {
        "batch": [Point(b, sized(Case("batch", (784, 128, 10), b, 0))) for b in batches],
        "width": [Point(w, sized(Case("width", (64, w, w, 10), 128, 0))) for w in widths],
        "depth": [
            Point(d, sized(Case("depth", (128, *[128] * d, 10), 128, 0))) for d in depths
        ],
    }  # fmt: skip


def measure(point: Point, effort: Effort) -> None:
    """Measure a point's times and memory."""
    entries = {name: (ENGINES[name], point.case) for name in COMPARED}
    for name, seen in time_interleaved(entries, effort.rounds, seconds=effort.seconds).items():
        if seen.best is not None:
            point.seconds[name] = seen.best
        else:
            point.note += f"{name}: {seen.failed}. "
    try:
        few = replace(
            point.case, rows=2 * point.case.batch
        )  # encoded targets grow with the number of rows
        with worker("ours", few.spec()) as process:
            point.bytes = process.ask(epochs=3, threads=None, memory=True)["bytes"]
    except WorkerError as error:
        point.note += f"memory: {error}."


def threads(effort: Effort) -> dict[str, dict[int, float]]:
    """Return the seconds per step of every case, by number of threads."""
    counts = sorted({2**k for k in range(available_cores().bit_length())} | {available_cores()})
    counts = [count for count in counts if count <= available_cores()]
    found: dict[str, dict[int, float]] = {}
    for name in effort.cases:
        case = CASES[name]
        entries = {str(count): (Engine("ours", (count,)), case) for count in counts}
        measured = time_interleaved(entries, effort.rounds, seconds=effort.seconds)
        found[name] = {int(count): seen.best for count, seen in measured.items() if seen.best}
    return found


def streamed(effort: Effort) -> list[Point]:
    """Return the points of growing numbers of rows, streamed through the network of S2."""
    points = []
    for rows in (10**k for k in range(3, 8)):
        if rows > effort.largest_rows:
            break
        point = Point(rows, replace(CASES["S2"], rows=rows))
        try:
            with worker("stream", point.case.spec()) as process:
                point.bytes = process.ask(memory=True)["bytes"]
                passes = max(1, 1_000_000 // rows)
                runs = [process.ask(epochs=passes) for _ in range(effort.rounds)]
                point.seconds["deltarule"] = min(r["seconds"] / r["steps"] for r in runs)
        except WorkerError as error:
            point.note = str(error)
        points.append(point)
    return points


SIZES = ("θ, MiB", "batch, MiB", "peak, MiB", "bound, MiB")
SIZES_NOTE = (
    "θ: the parameters. batch: one batch in all layers, including the inputs. peak: peak memory of "
    f"a fit. bound: {THETAS} θ + {BATCHES} batch + {CONSTANT / MIB:g} MiB."
)


def tables(
    swept: dict[str, list[Point]], by_threads: dict[str, dict[int, float]], rows: list[Point]
) -> dict[str, Table]:
    """Return the tables, by the quantity that is varied."""
    titles = {
        "batch": "Batch size, network 784-128-10",
        "width": "Width w, network 64-w-w-10, batch 128",
        "depth": "Number of hidden layers of 128 units, 128 inputs, batch 128",
    }
    found = {}
    for name, points in swept.items():
        columns = (name, *(f"{engine}, µs" for engine in COMPARED), *SIZES)
        lines = [(f"{p.x:,}", *p.times, *p.sizes) for p in points]
        found[name] = Table(titles[name], columns, lines, " ".join([SIZES_NOTE, *notes(points)]))
    counts = sorted({count for times in by_threads.values() for count in times})
    lines = []
    for name, times in by_threads.items():
        gain = times[1] / times[max(times)] if 1 in times else None
        cells = [micro(times.get(count)) for count in counts]
        lines.append((name, *cells, "–" if gain is None else f"{gain:.2f}×"))
    columns = ("case", *(f"n_threads={count}, µs" for count in counts), "speed-up")
    found["threads"] = Table("Number of threads, cases of `make bench`", columns, lines)
    columns = ("rows", "deltarule, µs", *SIZES)
    lines = [(f"{p.x:,}", p.times[0], *p.sizes) for p in rows]
    text = "peak: peak memory of one pass, beyond the chunk of rows in memory; bound: as above."
    title = "Number of rows, streamed through 30-64-64-1, batch 200"
    found["rows"] = Table(title, columns, lines, " ".join([text, *notes(rows)]))
    return found


def notes(points: list[Point]) -> list[str]:
    """Return a sentence for each measurement that failed."""
    return [f"At {point.x:,}: {point.note}" for point in points if point.note]


def pictures(
    swept: dict[str, list[Point]],
    by_threads: dict[str, dict[int, float]],
    rows: list[Point],
    folder: Path,
) -> dict[str, str]:
    """Draw the pictures; return the caption of each, by file name."""
    labels = {
        "batch": ("784-128-10", "rows in a batch"),
        "width": ("64-w-w-10, batch 128", "width w of the two hidden layers"),
        "depth": ("hidden layers of 128, batch 128", "number of hidden layers"),
    }
    time_panels, memory_panels = [], []
    for name, points in swept.items():
        title, xlabel = labels[name]
        curves = [_line(engine, points, lambda p, e=engine: p.seconds.get(e))
                  for engine in COMPARED]  # fmt: skip
        time_panels.append(Panel(title, xlabel, "time per step", curves, "s"))
        sizes = [
            _line("deltarule", points, lambda p: p.bytes, 1 / MIB),
            _line("bound", points, lambda p: p.bound, 1 / MIB, dashed=True),
        ]
        memory_panels.append(Panel(title, xlabel, "peak memory of a fit, MiB", sizes))
    gains = [
        Line(name, list(times), [times[1] / t for t in times.values()])
        for name, times in by_threads.items()
        if 1 in times
    ]
    counts = max((line.x for line in gains), key=len, default=[1])
    ideal = Line("ideal", counts, counts, dashed=True)
    stream = [
        Panel("30-64-64-1, batch 200", "rows, streamed", "time per step",
              [_line("deltarule", rows, lambda p: p.seconds.get("deltarule"))], "s", 10, True),
        Panel("30-64-64-1, batch 200", "rows, streamed", "peak memory beyond the chunk, MiB",
              [_line("deltarule", rows, lambda p: p.bytes, 1 / MIB)], "", 10, True),
    ]  # fmt: skip
    draw(time_panels, folder / "scaling-time.png")
    draw(memory_panels, folder / "scaling-memory.png")
    speed_up = Panel("cases of make bench", "threads", "speed relative to one thread",
                     [*gains, ideal], base=1, from_zero=True)  # fmt: skip
    draw([speed_up], folder / "scaling-threads.png")
    draw(stream, folder / "scaling-rows.png")
    return {
        "scaling-time.png": "Time per step against batch size, width and depth",
        "scaling-memory.png": "Peak memory of a fit against batch size, width and depth",
        "scaling-threads.png": "Speed against the number of threads",
        "scaling-rows.png": "Time per step and peak memory against the number of rows",
    }


def _line(
    name: str, points: list[Point], of: Any, scale: float = 1.0, dashed: bool = False
) -> Line:
    pairs = [(point.x, of(point)) for point in points]
    measured = [(x, y * scale) for x, y in pairs if y is not None]
    return Line(name, [x for x, _ in measured], [y for _, y in measured], dashed)


def main() -> None:
    """Measure, print, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="measure few points, once each")
    parser.add_argument("--output", type=Path, help="folder for performance.md and images/")
    parser.add_argument("--json", type=Path, help="write all measurements to this file")
    chosen = parser.parse_args()
    effort = SHORT if chosen.quick else FULL
    folder: Path = chosen.output or (QUICK if chosen.quick else DOCS)
    screen = console()
    machine = describe() | {"load average at the start": f"{load_average():.2f}"}
    swept = sweeps(effort)
    for name, points in swept.items():
        for point in points:
            screen.print(f"{name} {point.x} …", highlight=False)
            measure(point, effort)
    screen.print("threads …")
    by_threads = threads(effort)
    screen.print("rows …")
    rows = streamed(effort)
    machine["load average at the end"] = f"{load_average():.2f}"
    made = tables(swept, by_threads, rows)
    for table in made.values():
        table.show(screen)
    shown = pictures(swept, by_threads, rows, folder / "images")
    parts = [Table("Measured on", ("machine", ""), list(machine.items())).markdown()]
    parts += [table.markdown() for table in made.values()]
    parts += [f"![{text}](images/{file})" for file, text in shown.items()]
    put(folder / "performance.md", "scaling", "\n\n".join(parts))
    screen.print(f"wrote {folder / 'performance.md'} and its pictures", highlight=False)
    if chosen.json:
        everything = {
            "machine": machine,
            "sweeps": {n: [[p.x, p.seconds, p.bytes] for p in ps] for n, ps in swept.items()},
            "threads": by_threads,
            "rows": [[p.x, p.seconds, p.bytes] for p in rows],
        }
        chosen.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
