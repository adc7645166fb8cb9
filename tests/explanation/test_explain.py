"""Explanations: their numbers against the trace and the equations, and all their outputs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deltarule import (
    ELU,
    L1,
    L2,
    Adam,
    BatchNorm,
    Dense,
    Dropout,
    MLPClassifier,
    MLPRegressor,
    Network,
    Scale,
    explain,
    functions,
)
from deltarule.errors import DataError, OutputError, ShapeError, SpecError
from deltarule.explanation import formulas
from deltarule.explanation.numerals import latex_array, text_array
from deltarule.program.opcodes import LossCode
from deltarule.reference import Reference
from deltarule.spec.optimizers import OPTIMIZERS, Minimizer
from support.estimators import unconverged
from support.networks import ACTIVATIONS, HEADS, random_data, random_state

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
LABELS = np.where(X[:, 0] > 0, "yes", "no")


def results(explanation: Any) -> dict[str, Any]:
    found = {}
    for part in explanation.parts[:4]:
        found |= {line.result.text: line.result.value for line in part.lines if line.result}
    return found


def test_the_numbers_are_those_of_the_trace() -> None:
    net = Network(3, [Dense(4, "tanh"), Dense(2, "softmax")], "categorical_cross_entropy")
    state = random_state(net, 0)
    explanation, trace = explain(net, X[:2], [0, 1], state=state), net.trace(state, X[:2], [0, 1])
    found = results(explanation)
    for name, shown in {"Z1": "Z1", "A2": "A2", "delta1": "δ1", "delta2": "δ2", "dW1": "∂C/∂W1",
                        "db2": "∂C/∂b2", "loss": "C", "losses": "L"}.items():  # fmt: skip
        np.testing.assert_array_equal(found[shown], trace[name])
    assert [part.title for part in explanation.parts] == [
        "Forward", "Loss", "Backward", "Gradients", "One step of the optimiser",
    ]  # fmt: skip
    assert [part.title for part in explain(net, X[:1], state=state).parts] == ["Forward"]


@pytest.mark.parametrize("name", [n for n, kind in OPTIMIZERS.items()])
def test_one_step_is_the_optimisers(name: str) -> None:
    net = Network(3, [Dense(2, "tanh"), Dense(1)], penalties=[L2(0.1)])
    state, kind = random_state(net, 0), OPTIMIZERS[name]
    step = explain(net, X[:2], [1.0, 2.0], state=state, optimizer=name).parts[-1]
    if issubclass(kind, Minimizer):
        assert "takes no step" in step.lines[0].says
        return
    after = state.copy()
    reference = Reference(net.tape, kind())
    gradient = net.gradients(state, X[:2], [1.0, 2.0])  # without the penalty
    block = random_data(net, 2, 0).block._replace(x=X[:2], y=np.array([[1.0], [2.0]]), weight=None)
    reference.apply_gradient(after, reference.gradient(after, block), kind().learning_rate)
    for line, (parameter, view) in zip(step.lines[1:], net.parameters(after).items(), strict=True):
        assert line.result is not None
        np.testing.assert_allclose(line.result.value, view, rtol=1e-12)
        slope, before, change = line.operands
        np.testing.assert_allclose(before.value + change.value, line.result.value)
        if parameter.startswith("b"):
            np.testing.assert_allclose(slope.value, gradient[parameter], rtol=1e-12)
    assert np.array_equal(state.theta, random_state(net, 0).theta)  # unchanged


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_its_formula(activation: str) -> None:
    net = Network(3, [Dense(4, activation), Dense(1)])
    state = random_state(net, 1)
    explanation = explain(net, X[:2], [1.0, 2.0], state=state)
    assert formulas.ACTIVATIONS[activation].text in str(explanation)
    backward = next(part for part in explanation.parts if part.title == "Backward")
    if activation != "softmax":
        slope = functions.ACTIVATIONS[activation].derivative(net.trace(state, X[:2])["Z1"])
        shown = next(q for line in backward.lines for q in line.operands if q.text == "g'(Z1)")
        np.testing.assert_allclose(shown.value, slope, rtol=1e-12)
    _check_page(explanation.html())


@pytest.mark.parametrize(("loss", "output"), HEADS)
def test_every_loss_with_every_output(loss: str, output: str) -> None:
    net = Network(3, [Dense(4, "tanh"), Dense(2, output)], loss)
    data = random_data(net, 2, 0)
    explanation = explain(net, data.x, data.y, state=random_state(net, 0))
    for line in explanation.parts[2].lines:  # what a line says is what its numbers give
        if line.numbers == r"{0} \odot {1}":
            a, b = (np.asarray(q.value) for q in line.operands)
            assert line.result is not None
            np.testing.assert_allclose(a * b, line.result.value, rtol=1e-9, atol=1e-12)
    assert len(explanation.markdown()) > 1000


def test_products_and_sums_hold_as_they_are_written() -> None:
    net = Network(
        3,
        [Dropout(0.4), Dense(4, ELU(2.0), batch_norm=BatchNorm("post_activation")),
         Dense(3, "relu", batch_norm=BatchNorm()), Dropout(0.5), Dense(2, "softmax")],
        "categorical_cross_entropy", penalties=[L1(0.1), L2(0.2)],
    )  # fmt: skip
    state = random_state(net, 3)
    explanation = explain(net, X[:4], [0, 1, 1, 0], state=state, optimizer=Adam(), training=True)
    checked = 0
    for part in explanation.parts:
        for line in part.lines:
            values = [np.asarray(q.value) for q in line.operands]
            expected = {
                "{0} {1}": lambda a, b: a @ b,
                "{0} {1} + {2}": lambda a, b, c: a @ b + c,
                r"{0} \odot {1} + {2}": lambda a, b, c: a * b + c,
                r"{0} \odot {1}": lambda a, b: a * b,
                "{1} + {2}": lambda a, b, c: b + c,
            }.get(line.numbers)
            if expected is not None and line.result is not None:
                np.testing.assert_allclose(
                    expected(*values), line.result.value, rtol=1e-9, atol=1e-12
                )
                checked += 1
    assert checked > 15
    assert {"N1", "N2", "R3", "R1 R2"} <= {line.item for p in explanation.parts for line in p.lines}
    _check_page(explanation.html())


@pytest.mark.parametrize("position", ["pre_activation", "post_activation"])
def test_the_pass_that_predicts_is_the_default(position: Any) -> None:
    norm = BatchNorm(position)
    layers = [Dense(4, "tanh", batch_norm=norm), Dropout(0.5), Dense(1, "sigmoid")]
    net = Network(3, layers, "binary_cross_entropy")
    state, y = random_state(net, 4), np.array([0, 1, 1, 0])
    explanation = explain(net, X[:4], y, state=state)
    v = results(explanation)
    np.testing.assert_allclose(v["A2"], net.predict(state, X[:4]), rtol=1e-9)
    assert "D1" not in v
    assert explanation.title.endswith("forward and backward pass of 4 rows")
    assert "The pass that predicts" in explanation.notes[-1]
    # the way back through fixed statistics, as the lines say it
    p = net.parameters(state)
    factor, back = p["gamma1"] / np.sqrt(v["σ²1"] + norm.epsilon), v["δ2"] @ p["W2"].T
    if position == "pre_activation":
        np.testing.assert_allclose(v["δ1"], factor * back * (1 - v["A1"] ** 2), rtol=1e-9)
    else:
        np.testing.assert_allclose(v["∂C/∂A1"], factor * back, rtol=1e-9)
    assert any("γ/√(σ² + ε) ⊙ D, D = " in line.text for line in explanation.parts[2].lines)
    for name, slope in (("W1", v["∂C/∂W1"][1, 2]), ("gamma1", v["∂C/∂γ1"][2])):
        losses = []
        for step in (1e-6, -1e-6):
            moved = state.copy()
            array = net.parameters(moved)[name]
            array[(1, 2) if name == "W1" else 2] += step
            a = net.predict(moved, X[:4])[:, 0]
            losses.append(-np.mean(y * np.log(a) + (1 - y) * np.log(1 - a)))
        np.testing.assert_allclose(slope, (losses[0] - losses[1]) / 2e-6, rtol=1e-5, atol=1e-9)
    step = explain(net, X[:4], y, state=state, training=True)
    assert step.parts[-1].title == "One step of the optimiser"
    assert "A pass of training, with" in step.notes[-1]


def test_the_codes_are_those_of_the_rows_of_the_mathematics() -> None:
    """Every activation and loss stands in docs/maths.md in the row that its code names."""
    text = (Path(__file__).parents[2] / "docs" / "maths.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    functions_of = {LossCode[name.upper()]: name for name in (
        "squared_error", "absolute_error", "huber", "quantile", "poisson", "exp_poisson",
        "sigmoid_cross_entropy", "softmax_binary_cross_entropy", "softmax_cross_entropy",
    )}  # fmt: skip
    found = {f"losses.{functions_of[LossCode(code)]}": f for code, f in formulas.LOSSES.items()}
    for name, formula in formulas.ACTIVATIONS.items():
        place = "activations" if name == "softmax" else "scalar_functions"
        found[f"{place}.{'exp' if name == 'exp' else name}"] = formula
    assert len(found) == len(LossCode) + len(formulas.ACTIVATIONS)
    for name, formula in found.items():
        (row,) = [row for row in rows if f"`{name}`" in row and "g(z)" not in row]
        number, item = (cell.strip() for cell in row.split("|")[1:3])
        if formula.item.startswith("("):
            assert formula.item == f"({number})", name
            assert not re.match(r"[AL]\d", item), name
        else:
            assert formula.item in re.split(r"[ ,]+", item), name


def test_an_estimator_is_explained_by_its_own_solver(tmp_path: Path) -> None:
    with unconverged():
        model = MLPClassifier((30,), max_iter=3, standardize=True, batch_norm=True).fit(X, LABELS)
    one = explain(model, X[:1], LABELS[:1])
    assert "standardised" in one.notes[0]
    assert "with training=True (--training)" in one.notes[1]
    assert one.parts[-1].title == "Gradients"
    with pytest.raises(DataError, match="at least 2 rows"):
        explain(model, X[:1], LABELS[:1], training=True)
    two = explain(model, X[:2], LABELS[:2], training=True)
    assert two.parts[-1].lines[0].says.startswith("Adam: η = 0.001")
    assert "…" in str(two)
    assert r"\cdots" in two.markdown()
    page = two.save(tmp_path / "page.html")
    assert page.read_text(encoding="utf-8") == two.html()
    with pytest.raises(OutputError, match="exists"):
        two.save(page)
    assert (
        two.save(tmp_path / "a.md").read_text(encoding="utf-8").startswith("# MLPClassifier 3-30")
    )
    assert two.save(tmp_path / "a.txt").exists()
    with pytest.raises(SpecError, match=r"must end in .html, .md or .txt"):
        two.save(tmp_path / "a.pdf")
    with unconverged():
        whole = MLPRegressor(hidden_layer_sizes=(2,), solver="lbfgs", max_iter=2).fit(X, X[:, 0])
    assert "LBFGS minimises" in explain(whole, X[:1], X[:1, 0]).parts[-1].lines[0].says
    assert "SGD" in str(explain(whole, X[:1], X[:1, 0], optimizer="sgd"))
    assert explain(model, X[:1])._repr_html_().startswith('<section class="deltarule">')


def _check_page(page: str) -> None:
    """One page: no address of anything, and its mathematics well-formed."""
    bare = page.replace("http://www.w3.org/1998/Math/MathML", "")
    assert not re.search(r"https?:|src=|@import|url\(", bare)
    equations = re.findall(r"<math.*?</math>", page)
    assert len(equations) > 8
    for equation in equations:
        ET.fromstring(equation)
    assert page.count("<ol>") == page.count("</ol>") == page.count("<h2")


def test_arrays_are_cut_with_an_ellipsis() -> None:
    assert text_array(np.arange(20.0)[None]) == ["[ 0  1  2  3  …  19 ]"]
    assert text_array(-0.0) == ["0"]
    tall = text_array(np.arange(9.0)[:, None])
    assert tall == ["[ 0 ]", "[ 1 ]", "[ ⋮ ]", "[ 8 ]"]
    assert latex_array(1e-12) == r"1 \cdot 10^{-12}"
    assert latex_array(np.eye(2)) == r"\begin{bmatrix} 1 & 0 \\ 0 & 1 \end{bmatrix}"
    assert latex_array(float("inf")) == r"\infty"


def test_wrong_arguments_are_named() -> None:
    net = Network(3, [Dense(1)])
    with pytest.raises(SpecError, match="state must be the parameters"):
        explain(net, X[:1])
    with pytest.raises(SpecError, match="model must be a fitted"):
        explain(object(), X[:1])
    with pytest.raises(ShapeError, match=r"\(n, 3\)"):
        explain(net, [[1.0]], state=net.initialize(0))
    with pytest.raises(DataError, match="no rows"):
        explain(net, X[:0], [], state=net.initialize(0))
    with unconverged():
        model = MLPRegressor(hidden_layer_sizes=(2,), max_iter=2).fit(X, X[:, 0])
    with pytest.raises(SpecError, match="state goes with a Network"):
        explain(model, X[:1], state=net.initialize(0))


@pytest.mark.parametrize("members", [1, 3])
def test_scale_layers_and_members_have_the_numbers_of_the_trace(members: int) -> None:
    layers = [Scale(), Dense(4, "tanh"), Dropout(0.3), Scale(), Dense(3, "relu"), Dense(2)]
    net = Network(3, layers, members=members)
    state, y = random_state(net, 1), rng.normal(size=(5, 2))
    explanation = explain(net, X[:5], y, state=state, training=True)
    trace = net.trace(state, X[:5], y, training=True)
    found = results(explanation)
    for name, value in trace.items():
        if name.startswith("d") and not name.startswith("dA3"):
            shown = name.replace("delta", "δ") if "delta" in name else f"∂C/∂{name[1:]}"
            np.testing.assert_array_equal(found[shown], value, err_msg=name)
        elif name[0] in "ASPUZD":
            np.testing.assert_array_equal(found[name], value, err_msg=name)
    formulas = [line.text for part in explanation.parts for line in part.lines]
    if members == 1:
        assert "∂C/∂A1 = δ2 W2ᵀ ⊙ scale2 ⊙ M1/p" in formulas
        parts = net.parameters(state)
        below = trace["delta2"] @ parts["W2"].T * parts["scale2"] * trace["mask1"] / 0.7
        np.testing.assert_allclose(found["∂C/∂A1"], below, rtol=1e-12)
    else:
        assert any("members with the same W" in note for note in explanation.notes)
    for text in (explanation.html(), explanation.markdown(), str(explanation)):
        assert "scale2" in text or "scale_{2}" in text


def test_the_equations_of_members_hold_for_what_they_show() -> None:
    k, rows = 2, X[:4]
    layers = [Dense(4, "tanh"), Dense(3, "tanh"), Dense(1, "sigmoid")]
    net = Network(3, layers, "binary_cross_entropy", members=k)
    state, y = random_state(net, 2), np.array([0, 1, 1, 0])
    explanation = explain(net, rows, y, state=state)
    v = results(explanation) | {name: np.asarray(p) for name, p in net.parameters(state).items()}

    def of(name: str) -> Any:
        return np.reshape(v[name], (4, k, -1))

    texts = {line.text for part in explanation.parts for line in part.lines}
    assert "∂C/∂W2 = Σ_i (A1_i ⊙ r2_i)ᵀ (s2_i ⊙ δ2_i)" in texts
    each = [(of("A1")[:, i] * v["r2"][i]).T @ (v["s2"][i] * of("δ2")[:, i]) for i in range(k)]
    np.testing.assert_allclose(v["∂C/∂W2"], sum(each), rtol=1e-12)
    assert "∂C/∂A1_i = ((s2_i ⊙ δ2_i) W2ᵀ) ⊙ r2_i" in texts
    back = [(v["s2"][i] * of("δ2")[:, i]) @ v["W2"].T * v["r2"][i] for i in range(k)]
    np.testing.assert_allclose(of("∂C/∂A1"), np.stack(back, axis=1), rtol=1e-12)
    assert "δ3_i = (A3_i − Y)/(n k)" in texts
    np.testing.assert_allclose(v["δ3"], (v["A3"] - y[:, None]) / (4 * k), rtol=1e-12)
    assert "Z1_i = P1_i ⊙ s1_i + b1_i" in texts
    np.testing.assert_allclose(of("Z1"), of("P1") * v["s1"] + v["b1"], rtol=1e-12)
    np.testing.assert_allclose(
        of("P1"), np.stack([rows * v["r1"][i] @ v["W1"] for i in range(k)], axis=1), rtol=1e-12
    )
