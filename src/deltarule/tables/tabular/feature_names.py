"""Names for the network's inputs: the column, and what of it."""

from __future__ import annotations

from deltarule.tables.record import CategoryColumn, DateColumn, NumberColumn, PreprocessingRecord

__all__ = ["feature_names"]


def feature_names(record: PreprocessingRecord) -> list[str]:
    """Return the name of every input, in the order of `deltarule.tables.preprocessing.transform`.

    Those are ``age``, ``age_missing``, ``age_bin1``, ``city_Paris``, ``city_missing``,
    ``city_other`` for rare and unknown ones, ``day_elapsed``, ``day_sin_year``.
    """
    numbers, flags, bins, one_hot, dates = [], [], [], [], []
    for column in record.columns:
        name = column.name
        if isinstance(column, NumberColumn):
            numbers.append(name)
            flags += [f"{name}_missing"] * column.flag
            bins += [f"{name}_bin{number}" for number in range(1, column.bins + 1)]
        elif isinstance(column, DateColumn):
            dates += [f"{name}_{part.replace(' ', '_')}" for part in column.parts]
            dates += [f"{name}_missing"] * column.flag
        elif isinstance(column, CategoryColumn):
            one_hot += [f"{name}_{'missing' if text is None else text}" for text in column.kept]
            one_hot += [f"{name}_other"] * bool(column.rare)
    return [*numbers, *flags, *bins, *one_hot, *dates]
