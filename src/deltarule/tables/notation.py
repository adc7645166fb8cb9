"""Numbers as people write them: decimal marks, thousands, blanks, per cent and currencies.

A text is taken apart once (sign, currency, body, exponent, unit); its body is then compared with
each notation. What fits is rewritten as a plain decimal number, so that every notation is read to
the same bits.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from deltarule.tables.arrow import numbers_of, text_of, texts_of, to_numpy
from deltarule.tables.record import NumberNotation

__all__ = ["NOTATIONS", "PLAIN", "NumberTexts", "described", "is_currency"]

Mask = NDArray[np.bool_]

PLAIN = NumberNotation()
"""Digits and a decimal point, nothing else."""
_COMMA_THOUSANDS = NumberNotation(thousands=",")
_POINT_THOUSANDS = NumberNotation(decimal=",", thousands=".")
NOTATIONS = (
    PLAIN,
    _COMMA_THOUSANDS,
    _POINT_THOUSANDS,
    NumberNotation(thousands=" "),
    NumberNotation(decimal=",", thousands=" "),
    NumberNotation(thousands="'"),
    NumberNotation(decimal=",", thousands="'"),
)
"""The notations without units, in order of preference."""

_BLANK = r"[ \x{00A0}\x{2009}\x{202F}]"
_CURRENCY = (
    r"(?:US|CA|C|AU|A|NZ|HK|R)?\$|[€£¥₹₽₩₺₴₪฿]|kr\.?|zł|Kč|Fr\.?"
    r"|EUR|USD|GBP|CHF|JPY|CNY|INR|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RUB|TRY|BRL|MXN|ZAR|KRW"
)
_PLURAL = r"^(lb|hr|min|day|week|month|year|yr)s$"
_MEASURE = (
    r"[mcdkµ]?m[²³23]?|km/h|mph|kmpl|[mk]?g|lbs?|oz|[mc]?l|°[CF]?|[kM]?Hz|[KMGT]i?B|[kM]?Wh?|[kK]?cal"
    r"|bhp|hp|HP|CC|cc|px|ft|sq\.?ft|sq\.?m|ha|hrs?|h|mins?|ms|sec|s|days?|weeks?|months?|years?|yrs?"
)
"""Units that follow numbers; single capitals are left to codes such as 12A."""
_ANATOMY = (
    r"^(?P<open>\()?(?P<sign>[+\-−–])?"
    rf"(?:(?P<before>{_CURRENCY}){_BLANK}?)?(?P<inner>[+\-−–])?"
    r"(?P<body>[0-9.,](?:[0-9.,'’ \x{00A0}\x{2009}\x{202F}]*[0-9.,])?)"
    rf"(?P<exponent>[eE][+\-]?[0-9]+)?(?P<last>[\-−–])?(?:{_BLANK}?(?P<after>%|{_CURRENCY}|{_MEASURE}))?(?P<close>\))?$"
)
_FRACTION = {".": r"(?:\.[0-9]*)?$|^\.[0-9]+$", ",": r"(?:,[0-9]+)?$|^,[0-9]+$"}
_MARK = {",": ",", ".": r"\.", " ": _BLANK, "'": "['’]"}


def _body(notation: NumberNotation) -> str:
    """Return the regular expression of the digits of a notation; Indian groups are known, too."""
    whole = "[0-9]+"
    if notation.thousands:
        mark = _MARK[notation.thousands]
        whole += f"|[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{3}})+"
        if notation.thousands == ",":
            whole += "|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"
    return f"^(?:{whole}){_FRACTION[notation.decimal]}"


class NumberReading(NamedTuple):
    """Texts read in a notation."""

    values: NDArray[np.float64]  # NaN where a text does not fit
    fits: Mask
    plain: list[str | None]  # the same number as a plain decimal, None where it does not fit


class NumberTexts:
    """Texts that may be numbers, taken apart once.

    Attributes
    ----------
    units : list of str
        The different units: "%", currencies, and "" for none.
    unit : (n,) array of int
        The place of each text's unit in `units`, -1 for texts that are no number at all.
    """

    def __init__(self, texts: Any) -> None:
        self._n = len(texts)
        parts = pc.extract_regex(texts, _ANATOMY)
        found = np.asarray(to_numpy(pc.is_valid(parts), False))
        self._places = np.flatnonzero(found)
        kept = parts.filter(numbers_of(found))
        part = {name: kept.field(i) for i, name in enumerate(_names(kept))}
        given = {name: _numpy(pc.not_equal(part[name], text_of(""))) for name in part}
        sound = given["open"] == given["close"]
        sound &= ~(given["before"] & given["after"])
        signs = ("open", "sign", "inner", "last")
        sound &= np.sum([given[name] for name in signs], axis=0) <= 1
        plus = [pc.equal(part[name], text_of("+")) for name in ("sign", "inner")]
        some = np.logical_or.reduce([given[name] for name in signs])
        self._negative = some & ~_numpy(plus[0]) & ~_numpy(plus[1])
        self._body, self._exponent = part["body"], part["exponent"]
        joined = pc.binary_join_element_wise(part["before"], part["after"], text_of(""))
        joined = pc.replace_substring_regex(joined, _PLURAL, r"\1")
        coded = joined.dictionary_encode()
        self.units: list[str] = coded.dictionary.to_pylist()
        self.unit = np.full(self._n, -1)
        self.unit[self._places[sound]] = to_numpy(coded.indices)[sound]
        self._sound = sound

    @property
    def whole(self) -> Mask:
        """(n,) mask of the texts that are digits and a sign, without any mark or unit."""
        return self._spread(
            self._matches(r"^[0-9]+$") & _numpy(pc.equal(self._exponent, text_of("")))
        ) & self._has_unit("")

    @property
    def measured(self) -> Mask:
        """(n,) mask of the texts with a unit that is neither a per cent sign nor a currency."""
        places = [n for n, u in enumerate(self.units) if u not in ("", "%") and not is_currency(u)]
        return np.isin(self.unit, places)

    def fits(self, notation: NumberNotation, unit: str | None = None) -> Mask:
        """Return the mask of texts in a notation; None for any unit."""
        fits = self._spread(self._matches(_body(notation)))
        if unit is None:
            return fits
        fit_unit = self._has_unit(unit)
        if is_currency(unit):  # which may be left out
            fit_unit |= self._has_unit("")
        return fits & fit_unit

    def read(self, notation: NumberNotation) -> NumberReading:
        """Return the numbers of the texts in a notation, with its unit."""
        fits = self.fits(notation, notation.unit)
        chosen = fits[self._places]
        bodies, exponents = self._body.filter(numbers_of(chosen)), self._exponent
        if notation.thousands:
            pattern = _MARK[notation.thousands]
            bodies = pc.replace_substring_regex(bodies, pattern, "")
        if notation.decimal == ",":
            bodies = pc.replace_substring(bodies, ",", ".")
        signs = texts_of(np.where(self._negative[chosen], "-", "").tolist())
        exponents = exponents.filter(numbers_of(chosen))
        plain = pc.binary_join_element_wise(signs, bodies, exponents, text_of(""))
        values = np.full(self._n, np.nan)
        values[fits] = to_numpy(pc.cast(plain, pa.float64()))
        texts: list[str | None] = [None] * self._n
        for place, text in zip(np.flatnonzero(fits).tolist(), plain.to_pylist(), strict=True):
            texts[place] = text
        return NumberReading(values, fits, texts)

    def _matches(self, pattern: str) -> Mask:
        return _numpy(pc.match_substring_regex(self._body, pattern)) & self._sound

    def _has_unit(self, unit: str) -> Mask:
        place = self.units.index(unit) if unit in self.units else -2
        return np.asarray(self.unit == place)

    def _spread(self, mask: Mask) -> Mask:
        spread = np.zeros(self._n, dtype=bool)
        spread[self._places] = mask
        return spread


def is_currency(unit: str) -> bool:
    """Whether a unit is a currency, which a column's numbers may bear or not."""
    return re.fullmatch(_CURRENCY, unit) is not None


def described(notation: NumberNotation) -> str:
    """Return what is special about a notation in words, or an empty text."""
    words = []
    if notation.decimal == ",":
        words.append("decimal comma")
    if notation.thousands and (notation.decimal == "." or notation.thousands != "."):
        name = {",": "commas", ".": "points", " ": "blanks", "'": "apostrophes"}
        words.append(f"thousands with {name[notation.thousands]}")
    if notation.unit:
        words.append("per cent" if notation.unit == "%" else f"in {notation.unit}")
    return ", ".join(words)


def _names(parts: Any) -> list[str]:
    return [parts.type.field(i).name for i in range(parts.type.num_fields)]


def _numpy(values: Any) -> Mask:
    return np.asarray(to_numpy(values), dtype=bool)
