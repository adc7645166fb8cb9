"""Write a page for every public name, and one for every public module, into docs/api.

The names are those of ``deltarule/__init__.pyi`` and of the public modules' ``__all__``, so a new
name gets its page by being public. An object with two public names has one page, under the
shorter name.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from docstrings import escaped
from sphinx.application import Sphinx

import deltarule
from deltarule.functions import Activation, LossFunction

# The sections of the page of `deltarule`: the modules that define the names, as a prefix.
SECTIONS = {
    "Estimators": ("deltarule.estimators", "deltarule.tables"),
    "Networks and training": (
        "deltarule.network",
        "deltarule.trainer",
        "deltarule.training",
        "deltarule.program",
    ),
    "Layers, penalties, losses and initialisers": ("deltarule.spec",),
    "Optimisers and gradient clipping": (
        "deltarule.spec.optimizers",
        "deltarule.spec.gradient_clipping",
    ),
    "Learning-rate schedules": ("deltarule.schedules",),
    "Steps in view": ("deltarule.explanation", "deltarule.plots"),
    "Analysis": ("deltarule.analysis", "deltarule.program.folding", "deltarule.reference"),
    "Model files": ("deltarule.persistence",),
}


@dataclass(frozen=True)
class Entry:
    """A public name, and the name under which its object has a page."""

    name: str
    page: str
    value: Any

    @property
    def file(self) -> str:
        """The page's file name; names that differ only in case need different files."""
        last = self.page.rpartition(".")[2]
        instance = isinstance(self.value, Activation | LossFunction) or last == "softmax"
        return f"{self.page}-function" if instance else self.page

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring, on one line."""
        first = docstring(self.value, self.name).partition("\n\n")[0]
        return " ".join(" ".join(escaped(first.splitlines())).split())


# What a constant is; a dict has no docstring of its own.
CONSTANTS = {
    "ACTIVATIONS": "The activations by name.",
    "LOSSES": "The losses by name.",
    "SCHEDULES": "The schedules by name, as the argument ``learning_rate`` takes them.",
}


def docstring(value: Any, name: str) -> str:
    """Return the cleaned docstring of a public object; an alias of a type gets a sentence."""
    last = name.rpartition(".")[2]
    if last in CONSTANTS:
        return CONSTANTS[last]
    if not (inspect.isclass(value) or inspect.isroutine(value) or hasattr(value, "derivative")):
        return f"The type ``{value}``."
    return inspect.cleandoc(value.__doc__ or "")


def modules() -> list[ModuleType]:
    """Return the public submodules, in the order of the alphabet."""
    values = (getattr(deltarule, name) for name in deltarule.__all__)
    return sorted((v for v in values if isinstance(v, ModuleType)), key=lambda m: m.__name__)


def entries(module: ModuleType) -> Iterator[Entry]:
    """Yield the public names of a module, except its submodules."""
    top = {id(getattr(deltarule, name)): name for name in deltarule.__all__}
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, ModuleType):
            continue
        full = f"{module.__name__}.{name}"
        has_top_name = top.get(id(value)) == name
        yield Entry(full, f"deltarule.{name}" if has_top_name else full, value)


def heading(text: str, line: str) -> str:
    """Return a heading in reStructuredText."""
    return f"{text}\n{line * len(text)}\n"


def table(rows: list[Entry]) -> str:
    """Return a table of names and summaries, with links to the pages."""
    lines = [".. list-table::", "   :widths: 30 70", "   :class: names", ""]
    for row in sorted(rows, key=lambda row: row.name.lower()):
        lines.append(f"   * - :doc:`{row.name.rpartition('.')[2]} <{row.file}>`")
        lines.append(f"     - {row.summary}")
    return "\n".join(lines) + "\n"


def tree(files: list[str]) -> str:
    """Return a table of contents, for the sidebar alone."""
    rows = (f"   {title_of(file)} <{file}>" for file in files)
    return "\n".join([".. toctree::", "   :hidden:", "", *rows, ""])


def title_of(file: str) -> str:
    """Return the name of a page in the sidebar."""
    name = file.removesuffix("-function")
    modules_ = {module.__name__ for module in modules()}
    return name if name in modules_ else name.rpartition(".")[2]


def home(value: Any) -> str:
    """Return the section of an object of the top module."""
    where = getattr(value, "__module__", "")
    fits = [
        (len(prefix), section)
        for section, prefixes in SECTIONS.items()
        for prefix in prefixes
        if where == prefix or where.startswith(f"{prefix}.")
    ]
    if not fits:
        raise LookupError(f"no section of docs/extensions/api_pages.py fits {value!r}")
    return max(fits)[1]


def object_page(entry: Entry) -> str:
    """Return the page of one public object."""
    last = entry.page.rpartition(".")[2]
    lines = [heading(entry.page, "="), ".. currentmodule:: deltarule", ""]
    if hasattr(entry.value, "derivative") and not inspect.isclass(entry.value):
        lines += instance(entry)
    elif inspect.isclass(entry.value):
        lines += klass(entry)
    elif inspect.isroutine(entry.value):
        lines += [f".. autofunction:: {entry.page}", ""]
    else:
        lines += [f".. py:data:: {entry.page}", "", f"   {docstring(entry.value, entry.page)}", ""]
        if last in CONSTANTS:
            lines += [f"   The names are {', '.join(f'``{key}``' for key in entry.value)}.", ""]
    lines += [f".. minigallery:: {entry.page}", f"   :add-heading: Examples with {last}", ""]
    return "\n".join(lines)


def klass(entry: Entry) -> list[str]:
    """Return the directive of a class; methods of other packages' bases are theirs to document."""
    if issubclass(entry.value, BaseException):
        return [f".. autoexception:: {entry.page}", "   :show-inheritance:", ""]
    foreign = [b.__name__ for b in entry.value.__mro__ if not b.__module__.startswith("deltarule")]
    lines = [f".. autoclass:: {entry.page}", "   :members:"]
    lines.append(f"   :inherited-members: {', '.join(foreign)}")
    return [*lines, ""]


def instance(entry: Entry) -> list[str]:
    """Return the description of a function that is an object with derivatives."""
    arguments = "z" if hasattr(entry.value, "kinks") else "a, y"
    if entry.value.parameter is not None:
        arguments += f", {entry.value.parameter}={default_of(entry.value)}"
    kind = type(entry.value).__name__
    text = escaped(inspect.cleandoc(entry.value.__doc__ or "").splitlines())
    lines = [f".. py:function:: {entry.page}({arguments})", ""]
    lines += [f"   {line}".rstrip() for line in text]
    lines += ["", f"   Its derivatives are methods: see :class:`deltarule.functions.{kind}`.", ""]
    return lines


def default_of(function: Any) -> str:
    """Return the default of the one parameter of a function, which its class's docstring gives."""
    call = rf"{function.name}\([^)]*{function.parameter}=([^)]+)\)"
    found = re.search(call, type(function).__doc__ or "")
    if found is None:
        raise LookupError(f"no default of {function.parameter} of {function.name}")
    return found[1]


def skip_member(
    app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out what only repeats: fields of named tuples, and scikit-learn's metadata requests."""
    if type(value).__name__ == "_tuplegetter":
        return True
    if name.startswith("set_") and name.endswith("_request"):
        return True
    return None


def mend_links_to_pages(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Mend the links from source code to the pages.

    ``sphinx.ext.viewcode`` assumes that all names of a source file are public in one module.
    """

    def link(match: re.Match[str]) -> str:
        page, anchor = match[2].removesuffix("-function"), match[3].split(".")
        member = anchor[anchor.index(page.rpartition(".")[2]) + 1 :]
        return f'{match[1]}{match[2]}.html#{".".join([page, *member])}"'

    if pagename.startswith("_modules/deltarule"):
        context["body"] = re.sub(
            r'(href="[./]*/api/)([\w.-]+)\.html#([\w.]+)"', link, context["body"]
        )


def write(path: Path, text: str) -> None:
    """Write a page if it changed, so that Sphinx reads again only what is new."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def write_pages(app: Sphinx) -> None:
    """Write all pages, and delete those of names that are gone."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    pages: dict[str, str] = {}
    index = [heading("Public names", "="), f"{deltarule.__doc__.partition(chr(10))[0]}", ""]
    top = list(entries(deltarule))
    for title in SECTIONS:
        rows = [entry for entry in top if home(entry.value) == title]
        index += [heading(title, "-"), table(rows)]
    index += [heading("Modules", "-"), ".. list-table::", "   :widths: 30 70", ""]
    for module in modules():
        first = inspect.cleandoc(module.__doc__ or "").partition("\n\n")[0]
        index.append(f"   * - :doc:`{module.__name__} <{module.__name__}>`")
        index.append(f"     - {' '.join(first.split())}")
        rows = list(entries(module))
        own = [entry.file for entry in rows if entry.page == entry.name]
        text = inspect.cleandoc(module.__doc__ or "")
        body = [heading(module.__name__, "="), text, "", table(rows), tree(own)]
        pages[module.__name__] = "\n".join(body)
        pages |= {entry.file: object_page(entry) for entry in rows if entry.page == entry.name}
    names = sorted((entry.file for entry in top), key=str.lower)
    index += ["", tree([*(module.__name__ for module in modules()), *names])]
    pages["index"] = "\n".join(index)
    pages |= {entry.file: object_page(entry) for entry in top}
    for name, text in pages.items():
        write(folder / f"{name}.rst", text)
    for path in folder.glob("*.rst"):
        if path.stem not in pages:
            path.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the writer of the pages."""
    app.connect("builder-inited", write_pages, priority=100)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("html-page-context", mend_links_to_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
