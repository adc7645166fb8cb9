"""What a notebook shows of a fitted estimator: its network, how the fit went, its curves."""

from __future__ import annotations

from html import escape

from deltarule.estimators.fitted_model import FittedModel
from deltarule.utils.charts import curves_svg, facts_html, report_html

__all__ = ["fit_report"]


def fit_report(title: str, model: FittedModel) -> str:
    """Return the report of a fit as HTML.

    Parameters
    ----------
    title : str
        Of what, such as "MLPClassifier".
    model : FittedModel
        What the fit left.
    """
    held, network = model.history, model.network
    widths = " → ".join(
        str(n) for n in [network.n_inputs, *(d.units for d in network.dense_layers)]
    )
    facts = [
        ("network", f"{widths}, {network.tape.n_parameters:,} parameters, {network.dtype}"),
        ("epochs", f"{held.n_iter:,}"),
    ]
    if held.loss is not None:
        facts.append(("last loss", f"{held.loss:.6g}"))
    scores = held.validation_scores
    best: int | None = None
    if scores and held.best_validation_score is not None:
        found = [i for i, score in enumerate(scores) if score == held.best_validation_score]
        best = found[0] + 1 if found else None
        at = "" if best is None else f", in epoch {best}"
        facts.append(("best validation score", f"{held.best_validation_score:.6g}{at}"))
    losses = {"loss": held.loss_curve}
    if held.validation_loss_curve:
        losses["validation loss"] = held.validation_loss_curve
    charts = [curves_svg("Loss by epoch", losses, mark=best)]
    if scores:
        name = "validation score"
        charts.append(curves_svg("Validation score by epoch", {name: scores}, mark=best))
    layers = (
        f"<details><summary>layers</summary>{network.graph().svg()}"
        f"<pre>{escape(network.summary())}</pre></details>"
    )
    return report_html(title, facts_html(facts), *charts, layers)
