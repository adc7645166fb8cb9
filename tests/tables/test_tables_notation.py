"""Numbers in every notation, read back to the bit; and what is no number."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from deltarule.tables.notation import NOTATIONS, PLAIN, NumberTexts, described
from deltarule.tables.record import NumberNotation
from support import networks as support

BLANKS = (" ", "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}", "\N{THIN SPACE}")


@st.composite
def written(draw: st.DrawFn) -> tuple[Decimal, str, NumberNotation]:
    """Return a number, how somebody writes it, and the notation."""
    notation = draw(st.sampled_from(NOTATIONS))
    places = draw(st.integers(0, 6))
    number = draw(
        st.decimals(-(10**12), 10**12, allow_nan=False, allow_infinity=False, places=places)
    )
    whole, _, fraction = f"{abs(number):f}".partition(".")
    if notation.thousands and draw(st.booleans()):
        mark = draw(
            st.sampled_from(
                {" ": BLANKS, "'": ("'", "’")}.get(notation.thousands, (notation.thousands,))
            )
        )
        whole = f"{int(whole):,}".replace(",", mark)
    body = whole + (notation.decimal + fraction if fraction else "")
    unit = draw(st.sampled_from(["", "", "%", "€", "$", "CHF"]))
    blank = draw(st.sampled_from(["", " ", BLANKS[1]]))
    before = draw(st.booleans()) and unit not in ("", "%")
    text = unit + blank * bool(unit) + body if before else body + blank * bool(unit) + unit
    if number < 0:
        text = draw(st.sampled_from([f"-{text}", f"−{text}", f"–{text}", f"({text})"]))
    elif draw(st.booleans()):
        text = f"+{text}"
    return number, text, notation.model_copy(update={"unit": unit})


@support.proves(short=100, full=20_000, example=written())
def test_a_number_in_any_notation_is_read_back_exactly(
    example: tuple[Decimal, str, NumberNotation],
) -> None:
    number, text, notation = example
    texts = NumberTexts(pa.array(["no number", text, None]))
    values, fits, plain = texts.read(notation)
    assert fits.tolist() == [False, True, False]
    assert values[1] == float(number)
    assert Decimal(plain[1]) == number


def _with_unit(text: str) -> NumberNotation:
    unit = next((unit for unit in "$€" if unit in text), "")
    return NOTATIONS[1].model_copy(update={"unit": unit})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,23,456.5", 123456.5),
        ("1,234-", -1234),
        ("1,234.5- €", -1234.5),
        ("$-5", -5),
        ("12,34,56,789", 123456789),
        ("1,234,567", 1234567),
        (".5", 0.5),
    ],
)
def test_indian_and_other_groups(text: str, value: float) -> None:
    assert NumberTexts(pa.array([text])).read(_with_unit(text)).values.tolist() == [value]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1.2.3",
        "1,2,3",
        "12,34",
        "0,123.5",
        "--5",
        "(-5)",
        "(5",
        "5)",
        "$5€",
        "5 %%",
        "1 2",
        "0x10",
        "1_000",
        "inf",
        "nan",
        "٣",
        "5 stones",
        "5A",
        "1e",
        "e5",
        ",",
        ".",
        "'",
        "1,234 567",
        "$",
        "%",
    ],
)
def test_what_is_no_number_with_thousands(text: str) -> None:
    assert not NumberTexts(pa.array([text])).fits(NOTATIONS[1]).any()


def test_plain_numbers_are_those_of_python() -> None:
    texts = ["0.1", "1e-320", "1.7976931348623157e308", "-0.0", "7.", "+.5", "6.02e23"]
    values = NumberTexts(pa.array(texts)).read(PLAIN).values
    np.testing.assert_array_equal(values, [float(text) for text in texts])
    assert np.signbit(values[3])


def test_notations_have_words() -> None:
    words = [described(notation) for notation in NOTATIONS]
    assert words[0] == ""
    assert len(set(words)) == len(NOTATIONS)
    assert described(NumberNotation(decimal=",", unit="€")) == "decimal comma, in €"
