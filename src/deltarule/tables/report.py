"""What a notebook shows of a model of a table: target, columns, and how networks were trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from deltarule.estimators.fit_report import fit_report
from deltarule.estimators.fitted_model import FittedModel
from deltarule.tables.record import Classes
from deltarule.utils.charts import facts_html, report_html

if TYPE_CHECKING:
    from deltarule.tables.model import TableModel

__all__ = ["model_report"]

_MOST, _NETWORKS = 12, 8


def model_report(model: TableModel) -> str:
    """Return the report of a model of a table as HTML."""
    target, columns = model.target, model.preprocessing.columns
    facts = [("target", target.name)]
    if isinstance(target, Classes):
        facts.append((f"{len(target.labels)} classes", _some(target.labels)))
    else:
        facts.append((f"mean of {target.learned}", f"{target.mean:.6g}"))
    facts.append((f"{len(columns)} columns", _some([f"{c.name} ({c.kind})" for c in columns])))
    networks = "".join(_networks(model))
    task = "classification" if isinstance(target, Classes) else "regression"
    return report_html(f"Model of a table: {task}", facts_html(facts), networks)


def _networks(model: TableModel) -> Iterator[str]:
    """Yield the report of each network, of many only those of the first."""
    count = len(model.networks)
    for number in range(1, min(count, _NETWORKS) + 1):
        fitted = vars(model.member(number).estimator).get("_model")
        if isinstance(fitted, FittedModel):
            yield fit_report("Network" if count == 1 else f"Network {number} of {count}", fitted)


def _some(names: list[str]) -> str:
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f", … and {more} more" if more > 0 else "")
