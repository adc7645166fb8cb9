"""Explanations as plain text, as Markdown, and as HTML with MathML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from deltarule.explanation.lines import Line, Part, Quantity
from deltarule.explanation.numerals import latex_array, text_array

__all__ = ["html_fragment", "html_page", "markdown", "plain_text"]

_STYLE = """\
.deltarule { --line: color-mix(in srgb, currentColor 22%, transparent); line-height: 1.5;
  font-family: system-ui, sans-serif; max-width: 60rem }
.deltarule h1 { font-size: 1.4rem; line-height: 1.25 }
.deltarule h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem }
.deltarule ol { list-style: none; margin: 0; padding: 0 }
.deltarule ol > li { border-top: 1px solid var(--line); padding: .55rem 0 }
.deltarule .says { display: flex; flex-wrap: wrap; gap: .6rem; align-items: baseline }
.deltarule .item { font: 600 .78rem ui-monospace, monospace; border: 1px solid var(--line);
  border-radius: .3rem; padding: 0 .35rem }
.deltarule .shape { margin-left: auto; font: .8rem ui-monospace, monospace; opacity: .75 }
.deltarule .scroll { overflow: auto hidden; padding: .25rem 0 }
.deltarule .scroll:focus-visible { outline: 2px solid #4a90d9; outline-offset: 2px }
.deltarule math { font-size: 1.05rem; margin-left: 0; text-align: left; width: max-content }
.deltarule .matrix { border: solid; border-width: 0 1.5px; padding: .1em .35em; margin: 0 .15em;
  background: linear-gradient(currentColor 0 0) 0 0, linear-gradient(currentColor 0 0) 100% 0,
  linear-gradient(currentColor 0 0) 0 100%, linear-gradient(currentColor 0 0) 100% 100%;
  background-repeat: no-repeat; background-size: .35em 1.5px }
.deltarule nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; list-style: none }
.deltarule .note { border-left: 3px solid #4a90d9; padding-left: .7rem }
@media print { .deltarule nav { display: none } .deltarule ol > li { break-inside: avoid }
  .deltarule .scroll { overflow: visible } }"""

_PAGE_STYLE = """\
:root { color-scheme: light dark }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; color: #1b1f24; background: #fff }
a { color: #0b63c4 }
@media (prefers-color-scheme: dark) { body { color: #e6e8eb; background: #15181c }
  a { color: #7db4f5 } }
@media print { body { color: #000; background: #fff } }"""


def plain_text(title: str, notes: Sequence[str], parts: Sequence[Part]) -> str:
    """Return the explanation as lines of text."""
    lines = [title, *notes]
    for part in parts:
        lines += ["", part.title]
        width = max(len(line.item) for line in part.lines)
        for line in part.lines:
            lines += _text_of(line, width)
    return "\n".join(lines)


def _text_of(line: Line, width: int) -> Iterator[str]:
    margin = " " * (width + 4)
    yield f"  {line.item.ljust(width)}  {line.says}"
    yield f"{margin}{line.text}"
    # What a single operand is was shown by the line before.
    shown = [*line.operands, line.result] if len(line.operands) > 1 else [line.result]
    for quantity in shown:
        if quantity is None:
            continue
        head = f"{quantity.text} {quantity.shape} = " if quantity.shape else f"{quantity.text} = "
        for number, row in enumerate(text_array(quantity.value)):
            yield margin + (head if number == 0 else " " * len(head)) + row


def markdown(title: str, notes: Sequence[str], parts: Sequence[Part]) -> str:
    """Return the explanation in Markdown, equations as LaTeX between double dollar signs."""
    blocks = [f"# {title}", *notes]
    for part in parts:
        blocks.append(f"## {part.title}")
        for line in part.lines:
            shape = _shape(line.result)
            blocks.append(f"**{line.item}** {line.says}{f' `{shape}`' if shape else ''}")
            blocks += [f"$$\n{equation}\n$$" for equation in _equations(line)]
    return "\n\n".join(blocks) + "\n"


def html_fragment(title: str, notes: Sequence[str], parts: Sequence[Part]) -> str:
    """Return the explanation as HTML for a notebook; it takes the colours around it."""
    body = "\n".join(_html_of_part(part, number) for number, part in enumerate(parts))
    said = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return (
        f'<section class="deltarule"><style>{_STYLE}</style><h1>{escape(title)}</h1>{said}'
        f"{body}</section>"
    )


def html_page(title: str, notes: Sequence[str], parts: Sequence[Part]) -> str:
    """Return one page of HTML that loads nothing from anywhere."""
    links = "".join(
        f'<li><a href="#part{number}">{escape(part.title)}</a></li>'
        for number, part in enumerate(parts)
    )
    body = "\n".join(_html_of_part(part, number) for number, part in enumerate(parts))
    said = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{_PAGE_STYLE}
{_STYLE}
</style>
</head>
<body>
<main class="deltarule">
<h1>{escape(title)}</h1>
<nav aria-label="Parts"><ul>{links}</ul></nav>
{said}
{body}
</main>
</body>
</html>
"""


def _html_of_part(part: Part, number: int) -> str:
    lines = "\n".join(_html_of(line) for line in part.lines)
    return f'<h2 id="part{number}">{escape(part.title)}</h2>\n<ol>\n{lines}\n</ol>'


def _html_of(line: Line) -> str:
    shape = _shape(line.result)
    shown = f'<span class="shape">{escape(shape)}</span>' if shape else ""
    equations = "".join(
        f'<div class="scroll" tabindex="0">{_mathml(equation)}</div>'
        for equation in _equations(line)
    )
    return (
        f'<li><div class="says"><span class="item">{escape(line.item)}</span>'
        f"<span>{escape(line.says)}</span>{shown}</div>{equations}</li>"
    )


def _mathml(latex: str) -> str:
    """Return an equation as MathML; brackets of matrices are borders, which need no math font."""
    from latex2mathml.converter import convert

    converted: str = convert(latex, display="block")
    return converted.replace("<mo>&#x0005B;</mo><mtable>", '<mtable class="matrix">').replace(
        "</mtable><mo>&#x0005D;</mo>", "</mtable>"
    )


def _equations(line: Line) -> Iterator[str]:
    """Yield the equation in symbols, then with numbers."""
    yield line.latex
    if line.result is None:
        return
    numbers = line.numbers
    for number, operand in enumerate(line.operands):
        numbers = numbers.replace(f"{{{number}}}", latex_array(operand.value))
    result = latex_array(line.result.value)
    yield (
        f"{line.result.latex} = {numbers} = {result}"
        if numbers
        else (f"{line.result.latex} = {result}")
    )


def _shape(quantity: Quantity | None) -> str:
    if quantity is None or not quantity.shape:
        return ""
    return " × ".join(str(n) for n in quantity.shape)
