"""The examples as a gallery: their order, the folder of their pictures, and their pictures."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PICTURES = Path(tempfile.gettempdir()) / "deltarule-gallery"


def listed() -> list[str]:
    """Return the files of examples/README.md, in its order."""
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([a-z_]+\.py)` \|", text, flags=re.MULTILINE)


class ExampleOrder:
    """The order of the list of examples in examples/README.md."""

    def __init__(self, source: str) -> None:
        self._order = listed()

    def __call__(self, file: str) -> int:
        """Return the place of a file."""
        return self._order.index(file)


def example_arguments(conf: dict[str, Any], block_vars: dict[str, Any]) -> list[str]:
    """Return the command line of an example: an empty folder for its picture."""
    shutil.rmtree(PICTURES, ignore_errors=True)
    return [str(PICTURES)]


def scrape_pictures(block: Any, block_vars: dict[str, Any], conf: dict[str, Any]) -> str:
    """Return the directive that shows what an example has drawn."""
    names = []
    for path in sorted(PICTURES.glob("*.png")):
        target = next(block_vars["image_path_iterator"])
        shutil.move(path, target)
        names.append(target)
    return figure_rst(names, conf["src_dir"])


def _get_sg_image_scraper() -> Any:
    """Return the scraper, under the name by which Sphinx-Gallery finds it."""
    return scrape_pictures
