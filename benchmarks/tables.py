"""Compare deltarule with scikit-learn's MLP and boosted trees on real tables.

    python benchmarks/tables.py [--tables iris,wine] [--seeds 5] [--again] [--document]

Every table is split into shuffled folds (five, or three from 3 000 rows on) for every seed. The
preprocessing is fitted on the training part and is the same for all models; the models are fitted
alternately, on one thread. Every fit is saved in a JSON file, so that an interrupted run resumes
where it stopped. Tables of packages that are not installed are skipped and named.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from speed.machine import describe, load_average
from speed.report import Table, console, put
from tabular.catalogue import CATALOGUE, INSTALL, is_installed
from tabular.measurements import Results, measure
from tabular.models import MODELS
from tabular.models import describe as arguments_of
from tabular.report import compare_defaults, ranks
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "tables.md"
RESULTS = ROOT / "build" / "tables.json"


def names(known: dict[str, object] | tuple[str, ...]) -> object:
    """Return a parser of an option that lists some of the known names."""

    def several(text: str) -> list[str]:
        given = [name.strip() for name in text.split(",")]
        if unknown := set(given) - set(known):
            raise argparse.ArgumentTypeError(
                f"{', '.join(sorted(unknown))}: choose from {', '.join(known)}"
            )
        return given

    return several


def main() -> None:
    """Measure what is missing, print both comparisons, and write the document if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=names(CATALOGUE), default=list(CATALOGUE))
    parser.add_argument("--only", type=names(MODELS), default=list(MODELS),
                        help="measure only these models")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds")
    parser.add_argument(
        "--json", type=Path, default=RESULTS, help="file in which every fit is saved"
    )
    parser.add_argument("--again", action="store_true", help="measure everything again")
    parser.add_argument("--document", action="store_true", help=f"also write {DOCUMENT.name}")
    chosen = parser.parse_args()
    screen = console()
    if chosen.again:
        chosen.json.unlink(missing_ok=True)
    results = Results(chosen.json)
    missing = [name for name in chosen.tables if not is_installed(CATALOGUE[name])]
    if missing:
        screen.print(f"skipped: {', '.join(missing)}. To install them: {INSTALL}")
    machine = describe() | {"load average at the start": f"{load_average():.2f}"}
    with threadpool_limits(1):
        for name in chosen.tables:
            if name not in missing:
                screen.print(f"{name} …")
                measure(CATALOGUE[name], chosen.only, range(chosen.seeds), results)
    pages = [compare_defaults(results), ranks(results)]
    pages.append(Table("Arguments", ("model", ""), [(n, arguments_of(n)) for n in chosen.only]))
    machine["load average at the end"] = f"{load_average():.2f}"
    pages.append(Table("Measured on", ("machine", ""), list(machine.items())))
    for page in pages:
        page.show(screen)
    if chosen.document:
        put(DOCUMENT, "tables", "\n\n".join(page.markdown() for page in pages))


if __name__ == "__main__":
    main()
