"""What a notebook shows of a model of a table: target, columns, and how the network was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltarule.estimators.fit_report import fit_report
from deltarule.estimators.fitted_model import FittedModel
from deltarule.tables.record import Classes
from deltarule.utils.charts import facts_html, report_html

if TYPE_CHECKING:
    from deltarule.tables.model import TableModel

__all__ = ["model_report"]

_MOST = 12


def model_report(model: TableModel) -> str:
    """Return the report of a model of a table as HTML."""
    target, columns = model.target, model.preprocessing.columns
    facts = [("target", target.name)]
    if isinstance(target, Classes):
        facts.append((f"{len(target.labels)} classes", _some(target.labels)))
    else:
        facts.append(("mean of the target", f"{target.mean:.6g}"))
    facts.append((f"{len(columns)} columns", _some([f"{c.name} ({c.kind})" for c in columns])))
    fitted = vars(model.estimator).get("_model")
    network = fit_report("Network", fitted) if isinstance(fitted, FittedModel) else ""
    task = "classification" if isinstance(target, Classes) else "regression"
    return report_html(f"Model of a table: {task}", facts_html(facts), network)


def _some(names: list[str]) -> str:
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f", … and {more} more" if more > 0 else "")
