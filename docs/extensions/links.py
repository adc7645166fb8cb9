"""Links that lead out of docs/, which work in the source tree, lead to the site's page instead.

Pages of the site that show a file of the root (README's neighbours) are in docs/project.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from sphinx.application import Sphinx

# A file of the source tree, and the page of the site that shows it.
PAGES = {
    "ARCHITECTURE.md": "docs/project/architecture.md",
    "CHANGELOG.md": "docs/project/changelog.md",
    "CONTRIBUTING.md": "docs/project/contributing.md",
    "README.md": "docs/index.md",
    "examples/README.md": "docs/gallery/index.rst",
    "docs/decisions": "docs/project/decisions.md",
    "src/deltarule/datasets/README.md": "docs/api/deltarule.datasets.rst",
}
INCLUDE = re.compile(r"^```{include} (\S+\.md)\n```$", flags=re.MULTILINE)
LINK = re.compile(r"(?<!!)\]\((?!https?:|#|/)([^)#\s]+)(#[^)\s]*)?\)")


def rewritten(text: str, source: str, page: str) -> str:
    """Return the text of ``source`` with links that hold on ``page``; both relative to the root."""

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        target = PAGES.get(target, target)
        return f"]({posixpath.relpath(target, posixpath.dirname(page))}{match[2] or ''})"

    return LINK.sub(link, text)


def on_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Rewrite the links of a Markdown page, and of a file that it includes."""
    if app.env.doc2path(docname).suffix != ".md":
        return
    page, root = f"docs/{docname}.md", Path(app.srcdir).parent

    def included(match: re.Match[str]) -> str:
        file = posixpath.normpath(posixpath.join(posixpath.dirname(page), match[1]))
        app.env.note_dependency(str(root / file), docname=docname)
        return rewritten((root / file).read_text(encoding="utf-8"), file, page)

    source[0] = INCLUDE.sub(included, rewritten(source[0], page, page))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the rewriting."""
    app.connect("source-read", on_source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
