"""The lines of one pass through a network: forward, loss, backward, gradients (items B1-B4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from deltarule.explanation.feature_lines import (
    gradients_of_groups,
    line_of_groups,
    name_of_groups,
)
from deltarule.explanation.formulas import activation_of, loss_of
from deltarule.explanation.lines import Line, Part, Quantity
from deltarule.network import Network
from deltarule.network.trace import Trace
from deltarule.program.opcodes import Op
from deltarule.reference.custom import elementwise
from deltarule.spec.regularization import L1, L2
from deltarule.utils.arrays import is_sparse

__all__ = ["PassLines"]

_GREEK = {
    "delta": r"\delta",
    "alpha": r"\alpha",
    "gamma": r"\gamma",
    "beta": r"\beta",
    "mu": r"\mu",
}


def named(name: str, value: Any) -> Quantity:
    """Return a quantity of a trace with its name in LaTeX."""
    letters = name.rstrip("0123456789")
    number = name[len(letters) :]
    if letters == "var":
        return Quantity(f"σ²{number}", rf"\sigma^2_{{{number}}}", value)
    if letters == "Zhat":
        return Quantity(f"Ẑ{number}", rf"\hat{{Z}}_{{{number}}}", value)
    if letters.startswith("d") and letters not in ("delta",):
        of = named(name[1:], value)
        return Quantity(f"∂C/∂{of.text}", rf"\frac{{\partial C}}{{\partial {of.latex}}}", value)
    text = {"delta": "δ", "alpha": "α", "gamma": "γ", "beta": "β", "mu": "μ", "mask": "M"}.get(
        letters, letters
    )
    latex = _GREEK.get(letters, {"mask": "M"}.get(letters, letters))
    return Quantity(text + number, f"{latex}_{{{number}}}" if number else latex, value)


def transposed(quantity: Quantity) -> Quantity:
    """Return the transposed matrix, and its name."""
    text, latex, value = quantity
    return Quantity(f"{text}ᵀ", rf"{latex}^{{\top}}", np.asarray(value).T)


class PassLines:
    """Writes the lines of a pass, from its trace.

    Parameters
    ----------
    network : Network
        What ran.
    parameters : dict of str to array
        W1, b1, … of the pass.
    trace : Trace
        Its numbers.
    targets : array (n, k) or None
        What the loss compared with.
    training : bool
        Whether it was a pass of training.
    """

    def __init__(
        self,
        network: Network,
        parameters: dict[str, Any],
        trace: Trace,
        targets: Any,
        *,
        training: bool,
    ) -> None:
        self.tape, self.network, self.training = network.tape, network, training
        self.parameters = parameters
        self.trace = {**trace, "A0": _dense(trace["A0"])}
        self.targets = targets
        self.names = {p.start: p.name for p in network.tape.parameters}
        self.before: dict[int, str] = {}  # of each affine map: the name of what it reads
        self.between: dict[int, list[str]] = {}  # scalings and dropouts that precede it, in order

    def parts(self) -> list[Part]:
        """Return all parts: forward, and with targets the loss, the way back and the gradients."""
        parts = [Part("Forward", tuple(self.forward()))]
        if self.targets is not None:
            parts.append(Part("Loss", tuple(self.loss())))
            parts.append(Part("Backward", tuple(self.backward())))
            parts.append(Part("Gradients", tuple(self.gradients())))
        return parts

    def _q(self, name: str) -> Quantity:
        return named(name, self.trace[name] if name in self.trace else self.parameters[name])

    # --- forward --------------------------------------------------------------------------------

    def forward(self) -> Iterator[Line]:
        """Yield the lines of the forward pass."""
        yield self._inputs()
        layer, last = 0, "A0"
        for line in self.tape.instructions[:-1]:
            if line.op == Op.AFFINE:
                layer += 1
                self.before[layer] = last
                yield self._affine(layer, last, has_bias=line.bias >= 0)
                last = f"Z{layer}"
            elif line.op == Op.ACTIVATE:
                if line.weights >= 0:
                    yield self._parametric(layer, last, line.code)
                else:
                    yield self._activation(layer, last, line.code, line.constant)
                last = f"A{layer}"
            elif line.op == Op.NORMALIZE:
                yield from self._normalization(layer, last, line.constant)
                last = f"N{layer}"
            elif line.op == Op.SCALE:
                name = self.names[line.weights]
                scaled = name.replace("scale", "S")
                yield self._scaling(scaled, last, name, "Scale: a factor for each unit")
                self.between.setdefault(layer + 1, []).append(scaled)
                last = scaled
            elif line.op in (Op.PERIODIC, Op.BLOCKS):
                kept, last = last, name_of_groups(self.names[line.weights])
                yield line_of_groups(self._q, line, self.names, kept, last)
            elif self.training:
                yield self._dropout(layer, last, line.constant)
                self.between.setdefault(layer + 1, []).append(f"D{layer}")
                last = f"D{layer}"

    def _inputs(self) -> Line:
        x = self._q("A0")
        rows = "row" if x.shape[0] == 1 else "rows"
        return Line(
            "M4", f"The inputs, {x.shape[0]} {rows} of {x.shape[1]}", "A0 = X", "A_0 = X", x
        )

    def _scaling(self, to: str, last: str, factors: str, says: str) -> Line:
        """Return the line of γ ⊙ x."""
        out, x, gamma = self._q(to), self._q(last), self._q(factors)
        numbers = r"{0} \odot {1}" if self.tape.members == 1 else ""
        return Line(
            "B2", says, f"{out.text} = {gamma.text} ⊙ {x.text}",
            rf"{out.latex} = {gamma.latex} \odot {x.latex}", out, numbers, (gamma, x),
        )  # fmt: skip

    def _affine(self, layer: int, last: str, *, has_bias: bool) -> Line:
        x, w, z = self._q(last), self._q(f"W{layer}"), self._q(f"Z{layer}")
        text, latex, numbers = (
            f"{z.text} = {x.text} {w.text}",
            f"{z.latex} = {x.latex} {w.latex}",
            "{0} {1}",
        )
        operands = [x, w]
        if has_bias:
            b = self._q(f"b{layer}")
            text, latex, numbers = (
                f"{text} + {b.text}",
                f"{latex} + {b.latex}",
                f"{numbers} + {{2}}",
            )
            operands.append(b)
        return Line("B1", f"Layer {layer}: weighted sums", text, latex, z, numbers, tuple(operands))

    def _activation(self, layer: int, last: str, code: int, constant: float) -> Line:
        z, a = self._q(last), self._q(f"A{layer}")
        name, formula = activation_of(self.tape, code)
        given = f", parameter {constant:g}" if name in ("leaky_relu", "elu") else ""
        return Line(
            formula.item,
            f"Layer {layer}: activation {name}{given}",
            f"{a.text} = g({z.text}), {formula.text}",
            rf"{a.latex} = g({z.latex}), \quad {formula.latex}",
            a,
            r"g\left({0}\right)",
            (z,),
        )

    def _parametric(self, layer: int, last: str, code: int) -> Line:
        z, a, alpha = self._q(last), self._q(f"A{layer}"), self._q(f"alpha{layer}")
        name, formula = activation_of(self.tape, code)
        return Line(
            f"{formula.item} B2", f"Layer {layer}: activation {name}, mixed with z by a learned α",
            f"{a.text} = {z.text} + {alpha.text} ⊙ (g({z.text}) − {z.text}), {formula.text}",
            rf"{a.latex} = {z.latex} + {alpha.latex} \odot (g({z.latex}) - {z.latex}), \quad "
            rf"{formula.latex}", a, operands=(z, alpha),
        )  # fmt: skip

    def _normalization(self, layer: int, last: str, epsilon: float) -> Iterator[Line]:
        z, mu, var = self._q(last), self._q(f"mu{layer}"), self._q(f"var{layer}")
        hat, out = self._q(f"Zhat{layer}"), self._q(f"N{layer}")
        gamma, beta = self._q(f"gamma{layer}"), self._q(f"beta{layer}")
        if self.training:
            yield Line("N1", f"Layer {layer}: mean of the batch", f"{mu.text} = mean of {z.text}",
                       rf"{mu.latex} = \frac{{1}}{{n}} \sum_i {z.latex}", mu)  # fmt: skip
            yield Line(
                "N1", f"Layer {layer}: variance of the batch",
                f"{var.text} = mean of ({z.text} − {mu.text})²",
                rf"{var.latex} = \frac{{1}}{{n}} \sum_i ({z.latex} - {mu.latex})^2", var,
            )  # fmt: skip
        else:
            yield Line("N3", f"Layer {layer}: mean from training", mu.text, mu.latex, mu)
            yield Line("N3", f"Layer {layer}: variance from training", var.text, var.latex, var)
        yield Line(
            "N1", f"Layer {layer}: normalised, ε = {epsilon:g}",
            f"{hat.text} = ({z.text} − {mu.text})/√({var.text} + ε)",
            rf"{hat.latex} = \frac{{{z.latex} - {mu.latex}}}{{\sqrt{{{var.latex} + \varepsilon}}}}",
            hat,
        )  # fmt: skip
        yield Line(
            "N1", f"Layer {layer}: scaled and shifted",
            f"{out.text} = {gamma.text} ⊙ {hat.text} + {beta.text}",
            rf"{out.latex} = {gamma.latex} \odot {hat.latex} + {beta.latex}", out,
            r"{0} \odot {1} + {2}", (gamma, hat, beta),
        )  # fmt: skip

    def _dropout(self, layer: int, last: str, keep: float) -> Line:
        mask, a, out = self._q(f"mask{layer}"), self._q(last), self._q(f"D{layer}")
        mask = mask._replace(value=np.asarray(mask.value).astype(int))
        return Line(
            "R3", f"Dropout keeps each unit with probability p = {keep:g}",
            f"{out.text} = {a.text} ⊙ {mask.text} / p",
            rf"{out.latex} = {a.latex} \odot {mask.latex} / p", out,
            r"{0} \odot {1} / " + f"{keep:g}", (a, mask),
        )  # fmt: skip

    # --- the loss -------------------------------------------------------------------------------

    def loss(self) -> Iterator[Line]:
        """Yield the loss of the rows, their mean, and the penalty."""
        depth = self._depth
        formula, a = loss_of(self.tape), self._q(f"A{depth}")
        y = Quantity("Y", "Y", self.targets)
        yield Line(formula.item, "The targets", "Y", "Y", y)
        losses = Quantity("L", "L", self.trace["losses"])
        yield Line(
            formula.item, f"Loss of each row, of a = {a.text}", formula.text, formula.latex,
            losses, operands=(a, y),
        )  # fmt: skip
        cost = Quantity("C", "C", self.trace["loss"])
        yield Line(formula.item, "Mean loss", "C = mean of L", r"C = \frac{1}{n} \sum_i L_i", cost)
        if self.tape.penalties:
            found = Quantity("penalty", r"\Omega", self.trace["penalty"])
            terms = ", ".join(str(penalty) for penalty in self.network.penalties)
            kinds = {type(penalty) for penalty in self.network.penalties}
            yield Line(
                " ".join(code for code, kind in (("R1", L2), ("R2", L1)) if kind in kinds),
                f"Penalty on the weights: {terms}",
                "Ω = ½ s Σ w² (L2), s Σ |w| (L1)",
                r"\Omega = \tfrac{1}{2} s \sum w^2 \text{ (L2)}, \; s \sum |w| \text{ (L1)}",
                found,
            )  # fmt: skip

    @property
    def _depth(self) -> int:
        return len(self.network.dense_layers)

    # --- backward -------------------------------------------------------------------------------

    def backward(self) -> Iterator[Line]:
        """Yield δ of every layer, from the last to the first."""
        depth = self._depth
        for layer in range(depth, 0, -1):
            delta = self._q(f"delta{layer}")
            if layer == depth and f"dA{layer}" not in self.trace:
                yield self._output_delta(layer, delta)
                continue
            d_a = self._q(f"dA{layer}")
            if layer == depth:
                yield Line("B1", "BP1: derivative of the loss in the outputs", d_a.text, d_a.latex,
                           d_a)  # fmt: skip
            else:
                yield self._below(layer, d_a)
            yield self._delta(layer, d_a, delta)

    def _output_delta(self, layer: int, delta: Quantity) -> Line:
        a, y = self._q(f"A{layer}"), Quantity("Y", "Y", self.targets)
        return Line(
            "B1", "BP1: δ of the output, where loss and activation cancel",
            f"{delta.text} = ({a.text} − Y)/n", rf"{delta.latex} = ({a.latex} - Y) / n",
            delta, rf"({{0}} - {{1}}) / {a.shape[0]}", (a, y),
        )  # fmt: skip

    def _below(self, layer: int, d_a: Quantity) -> Line:
        above, w = self._q(f"delta{layer + 1}"), self._q(f"W{layer + 1}")
        text, latex = self._undone(layer + 1)
        text = f"{above.text} {w.text}ᵀ{text}"
        latex = rf"{above.latex} {w.latex}^{{\top}}{latex}"
        if self._normalizes_after(layer):
            text, latex = self._through_norm(text, latex)
            return Line(
                f"B1 {self._norm_item}",
                f"BP2: back through the weights of layer {layer + 1} and batch norm",
                f"{d_a.text} = {text}", f"{d_a.latex} = {latex}", d_a,
            )  # fmt: skip
        return Line(
            "B1", f"BP2: back through the weights of layer {layer + 1}",
            f"{d_a.text} = {text}", f"{d_a.latex} = {latex}", d_a,
            "" if self.between.get(layer + 1) else "{0} {1}", (above, transposed(w)),
        )  # fmt: skip

    @property
    def _norm_item(self) -> str:
        """The item of the way back through batch norm: with moments of the batch, or fixed ones."""
        return "N2" if self.training else "N3"

    def _through_norm(self, text: str, latex: str) -> tuple[str, str]:
        """Return the reverse derivative of batch norm for D, which text and latex say."""
        factor = r"\frac{\gamma}{\sqrt{\sigma^2 + \varepsilon}}"
        if not self.training:
            return (
                f"γ/√(σ² + ε) ⊙ D, D = {text}",
                rf"{factor} \odot D, \quad D = {latex}",
            )
        latex = (
            rf"{factor} \odot (D - \overline{{D}} - \hat{{Z}} \odot "
            rf"\overline{{D \odot \hat{{Z}}}}), \quad D = {latex}"
        )
        return f"γ/√(σ² + ε) ⊙ (D − mean D − Ẑ ⊙ mean(D ⊙ Ẑ)), D = {text}", latex

    def _undone(self, layer: int) -> tuple[str, str]:
        """Return the factors of the scalings and dropouts before a layer, the last one first."""
        text = latex = ""
        for name in reversed(self.between.get(layer, [])):
            mask = self._q(f"mask{name[1:]}" if name.startswith("D") else f"scale{name[1:]}")
            part = "/p" if name.startswith("D") else ""
            text, latex = f"{text} ⊙ {mask.text}{part}", rf"{latex} \odot {mask.latex}{part}"
        return text, latex

    def _delta(self, layer: int, d_a: Quantity, delta: Quantity) -> Line:
        line = next(line for line in self._of(layer) if line.op == Op.ACTIVATE)
        name, g = activation_of(self.tape, line.code)[0], elementwise(self.tape, line.code)
        if f"Zhat{layer}" in self.trace and not self._normalizes_after(layer):
            text, latex = self._through_norm(f"{d_a.text} ⊙ g'", rf"{d_a.latex} \odot g'")
            return Line(
                self._norm_item, f"BP2: back through {name} and batch norm",
                f"{delta.text} = {text}", f"{delta.latex} = {latex}", delta,
            )  # fmt: skip
        if g is None:
            return Line(
                "B1 A6", "BP1: back through softmax",
                f"{delta.text} = A ⊙ (∂C/∂A − Σ_j A_j ∂C/∂A_j)",
                rf"{delta.latex} = A \odot \left(\frac{{\partial C}}{{\partial A}} - "
                r"\sum_j A_j \frac{\partial C}{\partial A_j}\right)", delta,
            )  # fmt: skip
        z = self._q(f"N{layer}" if f"N{layer}" in self.trace and not self._normalizes_after(layer)
                    else f"Z{layer}")  # fmt: skip
        slope = Quantity(
            f"g'({z.text})", f"g'({z.latex})",
            g.derivative(z.value, line.constant),
        )  # fmt: skip
        if line.weights >= 0:
            alpha = self._q(f"alpha{layer}")
            slope = Quantity(
                f"(1 + {alpha.text} ⊙ ({slope.text} − 1))",
                rf"(1 + {alpha.latex} \odot ({slope.latex} - 1))",
                1 + np.asarray(alpha.value) * (np.asarray(slope.value) - 1),
            )
        code = "BP1" if layer == self._depth else "BP2"
        return Line(
            "B1", f"{code}: back through {name}",
            f"{delta.text} = {d_a.text} ⊙ {slope.text}",
            rf"{delta.latex} = {d_a.latex} \odot {slope.latex}", delta,
            r"{0} \odot {1}", (d_a, slope),
        )  # fmt: skip

    def _of(self, layer: int) -> list[Any]:
        """Return the tape's lines of a dense layer."""
        lines, count = [], 0
        for line in self.tape.instructions[:-1]:
            count += line.op in (Op.AFFINE, Op.EXPAND, Op.HEADS)
            if count == layer:
                lines.append(line)
        return lines

    def _normalizes_after(self, layer: int) -> bool:
        ops = [line.op for line in self._of(layer)]
        return Op.NORMALIZE in ops and ops.index(Op.NORMALIZE) > ops.index(Op.ACTIVATE)

    # --- gradients ------------------------------------------------------------------------------

    def gradients(self) -> Iterator[Line]:
        """Yield the gradient of every parameter."""
        for line in self.tape.instructions:
            if line.op in (Op.PERIODIC, Op.BLOCKS):
                yield from gradients_of_groups(self._q, line, self.names)
        for layer in range(1, self._depth + 1):
            for name in self.between.get(layer, []):
                if name.startswith("S"):
                    found = self._q(f"dscale{name[1:]}")
                    yield Line(
                        "B2", f"Scale before layer {layer}, x what it reads, D = ∂C/∂{name}",
                        f"{found.text} = Σ_rows x ⊙ D", rf"{found.latex} = \sum_i x \odot D", found,
                    )  # fmt: skip
            yield from self._of_layer(layer)

    def _of_layer(self, layer: int) -> Iterator[Line]:
        """Yield the gradients of a layer's parameters."""
        x, delta = self._q(self.before[layer]), self._q(f"delta{layer}")
        found = self._q(f"dW{layer}")
        yield Line(
            "B1", f"BP4: weights of layer {layer}",
            f"{found.text} = {x.text}ᵀ {delta.text}",
            rf"{found.latex} = {x.latex}^{{\top}} {delta.latex}", found,
            "{0} {1}", (transposed(x), delta),
        )  # fmt: skip
        if f"db{layer}" in self.trace:
            found = self._q(f"db{layer}")
            yield Line(
                "B1", f"BP3: biases of layer {layer}",
                f"{found.text} = Σ_rows {delta.text}",
                rf"{found.latex} = \sum_i {delta.latex}", found,
            )  # fmt: skip
        if f"dalpha{layer}" in self.trace:
            found = self._q(f"dalpha{layer}")
            yield Line(
                "B2", f"Slopes of layer {layer}'s activation, D = ∂C/∂A{layer}",
                f"{found.text} = Σ_rows (g(z) − z) ⊙ D",
                rf"{found.latex} = \sum_i (g(z) - z) \odot D", found,
            )  # fmt: skip
        if f"dgamma{layer}" in self.trace:
            for name, text, latex in (
                ("dgamma", "Σ_rows D ⊙ Ẑ", r"\sum_i D \odot \hat{Z}"),
                ("dbeta", "Σ_rows D", r"\sum_i D"),
            ):
                found = self._q(f"{name}{layer}")
                yield Line(
                    self._norm_item, f"Batch norm of layer {layer}, D = ∂C/∂N{layer}",
                    f"{found.text} = {text}", f"{found.latex} = {latex}", found,
                )  # fmt: skip


def _dense(array: Any) -> Any:
    return array.toarray() if is_sparse(array) else np.asarray(array)
