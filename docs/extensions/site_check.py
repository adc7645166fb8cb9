"""After a build: every link within the site leads somewhere, and no page loads from the network."""

from __future__ import annotations

from pathlib import Path

import site_faults
from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)


def check(app: Sphinx, exception: Exception | None) -> None:
    """Warn of every fault, which fails a build by ``-W``."""
    if exception is None and app.builder.format == "html":
        site_faults.page.cache_clear()
        for fault in site_faults.faults(Path(app.outdir)):
            LOGGER.warning(fault, type="site")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the check, after every other step."""
    app.connect("build-finished", check, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
