"""Computational graphs against closed forms and difference quotients in high precision."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import mpmath
import pytest
from hypothesis import strategies as st

from deltarule import Dense, Network, check_gradients, graph
from deltarule.errors import SpecError
from support.networks import proves


def test_the_worked_example() -> None:
    """Mebsout §4: (x + y)z at (−2, 5, −4)."""
    g = graph("(x + y) * z", x=-2, y=5, z=-4)
    assert g.value == -12
    assert g.gradients == {"x": -4, "y": -4, "z": 3}


def test_paths_add_up() -> None:
    assert graph("x*x*x", x=2).gradients == {"x": 12}
    assert graph("x - x", x=2).gradients == {"x": 0}
    assert graph("x^3 + 2^x", x=2).gradients["x"] == pytest.approx(12 + 4 * mpmath.log(2))


ATOMS = st.sampled_from(["x", "y", "1.5", "3"])
FUNCTIONS = {"sigmoid": lambda a: 1 / (1 + mpmath.exp(-a)), "tanh": mpmath.tanh,
             "exp": mpmath.exp, "sin": mpmath.sin, "cos": mpmath.cos}  # fmt: skip
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map("({0[0]} {0[1]} {0[2]})".format),
        st.tuples(st.sampled_from(sorted(FUNCTIONS)), inner).map("{0[0]}(0.1*{0[1]})".format),
        inner.map("(-{})".format),
        inner.map("({} / (2 + x*x))".format),
        inner.map("({})**2".format),
    ),
    max_leaves=6,
)  # fmt: skip


@proves(short=20, full=3000, text=EXPRESSIONS, x=st.floats(-2, 2), y=st.floats(-2, 2))
def test_gradients_are_derivatives(text: str, x: float, y: float) -> None:
    text = f"{text} + 0*x*y"
    g = graph(text, x=x, y=y)
    with mpmath.workdps(60):

        def f(a: object, b: object) -> object:
            return eval(text, {"__builtins__": {}}, {**FUNCTIONS, "x": a, "y": b})

        exact = f(mpmath.mpf(x), mpmath.mpf(y))
        slopes = [mpmath.diff(f, (mpmath.mpf(x), mpmath.mpf(y)), n) for n in ((1, 0), (0, 1))]
    size = max(1.0, *(abs(float(node.gradient * node.value)) for node in g.nodes))
    assert g.value == pytest.approx(float(exact), rel=1e-9, abs=1e-9 * size)
    for name, slope in zip("xy", slopes, strict=True):
        assert g.gradients[name] == pytest.approx(float(slope), rel=1e-8, abs=1e-8 * size)


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        ("(x + y", {"x": 1, "y": 1}, "is not an expression"),
        ("x + y", {"x": 1}, "needs a value for 'y'"),
        ("x", {"x": 1, "y": 2}, "does not use y"),
        ("x / y", {"x": 1, "y": 0}, "/ of 1, 0 is not defined"),
        ("log(x)", {"x": -1}, "log of -1 is not defined"),
        ("x ** 0.5", {"x": -1}, "to the power 0.5"),
        ("exp(x)", {"x": 1e6}, None),
        ("__import__('os')", {}, "not known"),
        ("x.real", {"x": 1}, "cannot be part"),
        ("f(x)", {"x": 1}, "the function 'f' is not known"),
        ("x if x else x", {"x": 1}, "cannot be part"),
        ("[x]", {"x": 1}, "cannot be part"),
        ("x", {"x": "a"}, "x must be a number"),
        ("-" * 500 + "x", {"x": 1}, "nested"),
        ("(" * 5000, {}, "is not an expression"),
        (3, {}, "must be a text"),
    ],
)
def test_what_is_no_expression_is_refused(text: str, values: dict, message: str | None) -> None:
    if message is None:
        assert graph(text, **values).value == float("inf")
        return
    with pytest.raises(SpecError, match=message):
        graph(text, **values)


def test_drawings_are_well_formed_and_hold_the_numbers() -> None:
    g = graph("sigmoid(w*x + b) * (x - 2)**2", w=2, x=-1, b=0.5)
    texts = [e.text for e in ET.fromstring(g.svg()).iter("{http://www.w3.org/2000/svg}text")]
    for node in g.nodes:
        assert node.label in texts
        assert f"{node.value:.4g}" in texts
    assert "nan" not in g.svg()
    assert g._repr_html_() == g.svg()


def test_a_network_is_drawn_with_weights_values_and_deltas() -> None:
    net = Network(2, [Dense(2, "tanh"), Dense(1)])
    state = net.initialize(0)
    trace = net.trace(state, [[1.0, 2.0]], [0.5])
    svg = net.graph(state, [[1.0, 2.0]], [0.5]).svg()
    texts = [e.text for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    for w in net.parameters(state)["W1"].ravel():
        assert f"{w:.3g}" in texts
    for a, delta in zip(trace["A1"][0], trace["delta1"][0], strict=True):
        assert f"{a:.4g}" in texts
        assert f"δ {delta:.4g}" in texts
    wide = Network(100, [Dense(50), Dense(1)]).graph().svg()
    assert "… 93 more" in wide
    assert len(wide) < 100_000
    with pytest.raises(SpecError, match="need state"):
        net.graph(X=[[1.0, 2.0]])
    with pytest.raises(SpecError, match="y needs X"):
        net.graph(state, y=[1.0])


def test_a_notebook_shows_networks_and_checks() -> None:
    net = Network(2, [Dense(2, "tanh"), Dense(1)])
    shown = ET.fromstring(f"<div>{net._repr_html_()}</div>")
    assert "2 → 2" in "".join(shown.itertext())
    check = check_gradients(net, net.initialize(0), [[1.0, 2.0], [0.5, -1.0]], [1.0, 2.0])
    said = "".join(ET.fromstring(check._repr_html_()).itertext())
    assert said.startswith("Gradients: right")
    assert "Compared: 9 of 9 parameters" in said
