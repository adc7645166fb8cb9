"""ARCHITECTURE.md names every file of the package, in the words of the file's own first line.

``python tests/docs/test_architecture.py`` prints the map as it should stand there.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "src" / "deltarule"


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring, without its last full stop."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].removesuffix(".")


def rooms() -> list[Path]:
    """Return the package's folders of code, the top first."""
    return sorted({path.parent for path in SOURCE.rglob("*.py")})


def lines_of(folder: Path) -> list[str]:
    """Return the lines of the map for one folder: its title, then one line for each file."""
    name = folder.relative_to(SOURCE).as_posix()
    title = "deltarule/" if folder == SOURCE else f"{name}/"
    lines = [f"**`{title}`** {first_line(folder / '__init__.py')}", ""]
    files = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    lines += [f"- `{path.name}`: {first_line(path)}" for path in files]
    return [*lines, ""] if files else lines


def expected_map() -> str:
    """Return the whole map."""
    return "\n".join(line for folder in rooms() for line in lines_of(folder))


def test_the_map_names_every_file_in_its_own_words() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    missing = [line for line in expected_map().splitlines() if line and line not in text]
    assert missing == [], "run `python tests/docs/test_architecture.py` and put its lines there"


def test_the_map_names_no_file_that_is_gone() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    start, end = text.index("## The map"), text.index("## How a number travels")
    lines = {line for line in text[start:end].splitlines() if line.startswith(("- `", "**`"))}
    assert lines <= set(expected_map().splitlines())


def test_every_file_has_a_line_of_its_own() -> None:
    lines = [first_line(path) for path in SOURCE.rglob("*.py")]
    assert all(lines)
    assert len(set(lines)) == len(lines)


if __name__ == "__main__":
    print(expected_map())
