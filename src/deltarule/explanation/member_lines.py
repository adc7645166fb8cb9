"""The lines of a pass of k members with one W: their products, factors, heads and average (B2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deltarule.explanation.lines import Line, Quantity
from deltarule.explanation.network_lines import PassLines
from deltarule.program.opcodes import Op

__all__ = ["MemberLines"]


class MemberLines(PassLines):
    """Writes the lines of a pass of members, from its trace; see `PassLines`.

    A row of an array holds the members side by side: the units of member 1, then of member 2, ….
    """

    _unscaled = "A0"  # what the newest factors r were multiplied with

    def forward(self) -> Iterator[Line]:
        """Yield the lines of the forward pass."""
        yield self._inputs()
        layer, last = 0, "A0"
        for line in self.tape.instructions[:-1]:
            if line.op == Op.REPEAT:
                yield Line("B2", f"The inputs, once for each of the {self.tape.members} members",
                           "X_i = A0", "X_i = A_0")  # fmt: skip
            elif line.op in (Op.EXPAND, Op.HEADS) or line.op == Op.AFFINE:
                layer += 1
                self.before[layer] = last if line.op != Op.AFFINE else self._unscaled
                yield self._product(layer, last, line.op)
                last = f"Z{layer}" if line.op == Op.HEADS else f"P{layer}"
            elif line.op == Op.SCALE:
                name = self.names[line.weights]
                kind, number = name.rstrip("0123456789"), name.lstrip("abcdefghijklmnopqrstuvwxyz")
                if kind == "s":
                    yield self._scaled_sum(layer)
                    last = f"Z{layer}"
                elif kind == "r":
                    yield self._scaling(f"U{number}", last, name, "Members: factors of the inputs")
                    self._unscaled, last = last, f"U{number}"
                else:
                    yield self._scaling(f"S{number}", last, name, "Scale: a factor for each unit")
                    self.between.setdefault(layer + 1, []).append(f"S{number}")
                    last = f"S{number}"
            elif line.op == Op.ACTIVATE:
                yield self._activation(layer, last, line.code, line.constant)
                last = f"A{layer}"
            elif line.op == Op.AVERAGE:
                mean, a = self._q("mean"), self._q(last)
                yield Line("B2", "The prediction: the mean of the members' outputs",
                           f"mean = (1/k) Σ_i {a.text}_i",
                           rf"\overline{{A}} = \frac{{1}}{{k}} \sum_i {_of_each(a)}",
                           mean._replace(latex=r"\overline{A}"))  # fmt: skip
            elif self.training:
                yield self._dropout(layer, last, line.constant)
                self.between.setdefault(layer + 1, []).append(f"D{layer}")
                last = f"D{layer}"

    def _product(self, layer: int, last: str, op: int) -> Line:
        x, w = self._q(last), self._q(f"W{layer}")
        if op == Op.HEADS:
            z, b = self._q(f"Z{layer}"), self._q(f"b{layer}")
            return Line(
                "B1", f"Layer {layer}: weighted sums of each member's own output layer",
                f"{z.text}_i = {x.text}_i {w.text}_i + {b.text}_i",
                f"{_of_each(z)} = {_of_each(x)} {_of_each(w)} + {_of_each(b)}", z,
                operands=(x, w, b),
            )  # fmt: skip
        product = self._q(f"P{layer}")
        if op == Op.AFFINE:
            return Line("B1", f"Layer {layer}: the same W for every member",
                        f"{product.text}_i = {x.text}_i {w.text}",
                        f"{_of_each(product)} = {_of_each(x)} {w.latex}", product,
                        operands=(x, w))  # fmt: skip
        r = self._q(f"r{layer}")
        return Line(
            "B2", f"Layer {layer}: members' factors of the inputs, and the same W for all",
            f"{product.text}_i = ({x.text} ⊙ {r.text}_i) {w.text}",
            rf"{_of_each(product)} = ({x.latex} \odot {_of_each(r)}) {w.latex}", product,
            operands=(x, r, w),
        )  # fmt: skip

    def _scaled_sum(self, layer: int) -> Line:
        product, s, b, z = (self._q(f"{name}{layer}") for name in ("P", "s", "b", "Z"))
        return Line(
            "B2", f"Layer {layer}: members' factors and biases of the sums",
            f"{z.text}_i = {product.text}_i ⊙ {s.text}_i + {b.text}_i",
            rf"{_of_each(z)} = {_of_each(product)} \odot {_of_each(s)} + {_of_each(b)}", z,
            operands=(product, s, b),
        )  # fmt: skip

    def _output_delta(self, layer: int, delta: Quantity) -> Line:
        a, k = self._q(f"A{layer}"), self.tape.members
        return Line(
            "B1", "BP1: δ of every member's output, where loss and activation cancel",
            f"{delta.text}_i = ({a.text}_i − Y)/(n k)",
            rf"{_of_each(delta)} = ({_of_each(a)} - Y) / (n k), \quad k = {k}", delta,
        )  # fmt: skip

    def _below(self, layer: int, d_a: Quantity) -> Line:
        above, w = self._q(f"delta{layer + 1}"), self._q(f"W{layer + 1}")
        text, latex = self._undone(layer + 1)
        if layer + 1 == self._depth:
            said, numbers = (
                f"{above.text}_i {w.text}_iᵀ",
                rf"{_of_each(above)} {_of_each(w)}^{{\top}}",
            )
        else:
            r, s = self._q(f"r{layer + 1}"), self._q(f"s{layer + 1}")
            said = f"(({s.text}_i ⊙ {above.text}_i) {w.text}ᵀ) ⊙ {r.text}_i"
            numbers = (
                rf"(({_of_each(s)} \odot {_of_each(above)}) {w.latex}^{{\top}}) \odot {_of_each(r)}"
            )
        return Line("B1", f"BP2: back through the weights of layer {layer + 1}",
                    f"{d_a.text}_i = {said}{text}", f"{_of_each(d_a)} = {numbers}{latex}",
                    d_a)  # fmt: skip

    def _of_layer(self, layer: int) -> Iterator[Line]:
        """Yield the gradients of a layer's parameters."""
        x, delta, w = self.before[layer], self._q(f"delta{layer}"), self._q(f"W{layer}")
        dw = self._q(f"dW{layer}")
        from_x = self._q(x)
        if layer == self._depth:
            formulas: list[tuple[str, str, str, str]] = [
                ("dW", "BP4: weights of every member", f"{from_x.text}_iᵀ {delta.text}_i",
                 rf"{_of_each(from_x)}^{{\top}} {_of_each(delta)}"),
                ("db", "BP3: biases of every member", f"Σ_rows {delta.text}_i",
                 rf"\sum {_of_each(delta)}"),
            ]  # fmt: skip
        else:
            r, s, product = (self._q(f"{name}{layer}") for name in ("r", "s", "P"))
            back = f"({s.text}_i ⊙ {delta.text}_i)"
            latex = rf"({_of_each(s)} \odot {_of_each(delta)})"
            formulas = [
                ("dW", "BP4: the W that all share", f"Σ_i ({from_x.text}_i ⊙ {r.text}_i)ᵀ {back}",
                 rf"\sum_i ({_of_each(from_x)} \odot {_of_each(r)})^{{\top}} {latex}"),
                ("dr", "factors of the inputs", f"Σ_rows {from_x.text}_i ⊙ ({back} {w.text}ᵀ)",
                 rf"\sum {_of_each(from_x)} \odot ({latex} {w.latex}^{{\top}})"),
                ("ds", "factors of the sums", f"Σ_rows {delta.text}_i ⊙ {product.text}_i",
                 rf"\sum {_of_each(delta)} \odot {_of_each(product)}"),
                ("db", "BP3: biases", f"Σ_rows {delta.text}_i", rf"\sum {_of_each(delta)}"),
            ]  # fmt: skip
        for name, says, text, equation in formulas:
            found: Any = dw if name == "dW" else self._q(f"{name}{layer}")
            yield Line("B1" if name in ("dW", "db") else "B2", f"Layer {layer}: {says}",
                       f"{found.text} = {text}", f"{found.latex} = {equation}", found)  # fmt: skip


def _of_each(quantity: Quantity) -> str:
    """Return the LaTeX of the part of a quantity that belongs to member i."""
    latex = quantity.latex
    return f"{latex[:-1]},i}}" if latex.endswith("}") else f"{latex}_i"
