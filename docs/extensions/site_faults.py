"""What is wrong with the pages of a built site: links that lead nowhere, loads from the network."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser loads by itself when it shows a page.
LOADED = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}


class _Page(HTMLParser):
    """The anchors, links and loaded files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names."""
        found = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := found.get(key))}
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        target = found.get(LOADED.get(tag, ""))
        if target:
            self.loaded.append(target)


@cache
def page(path: Path) -> _Page:
    """Return a page, read once."""
    return _Page(path.read_text(encoding="utf-8"))


def faults(folder: Path) -> list[str]:
    """Return what is wrong with the pages in a folder."""
    found = []
    for path in sorted(folder.rglob("*.html")):
        if "_static" in path.parts:
            continue
        here = path.relative_to(folder)
        for target in page(path).loaded:
            if urlsplit(target).netloc:
                found.append(f"{here} loads {target} from the network")
        for target in [*page(path).links, *page(path).loaded]:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            file = file / "index.html" if file.is_dir() else file
            anchor = unquote(parts.fragment)
            if not file.exists():
                found.append(f"{here} links to {target}: there is no such file")
            elif anchor and file.suffix == ".html" and anchor not in page(file).anchors:
                found.append(f"{here} links to {target}: there is no such anchor")
    for path in sorted(folder.rglob("*.css")):
        text = path.read_text(encoding="utf-8", errors="replace")
        if "url(http" in text or "url(//" in text or 'url("http' in text or '@import "http' in text:
            found.append(f"{path.relative_to(folder)} loads from the network")
    return found
