"""The formulas of activations, losses and optimisers, in plain text and in LaTeX."""

from __future__ import annotations

from typing import NamedTuple

from deltarule.program.opcodes import FIRST_FUNCTION, ActivationCode, LossCode
from deltarule.program.tape import Tape
from deltarule.spec import optimizers as o

__all__ = ["ACTIVATIONS", "LOSSES", "OPTIMIZERS", "Formula", "activation_of", "loss_of"]


OWN = "own"
"""The code of a user's function, which has no item."""


class Formula(NamedTuple):
    """A formula with the codes of its items, or the number of its equation in docs/maths.md."""

    item: str
    text: str
    latex: str


ACTIVATIONS: dict[str, Formula] = {
    "identity": Formula("A1", "g(z) = z", "g(z) = z"),
    "sigmoid": Formula("A2", "g(z) = 1/(1 + e^−z)", r"g(z) = \frac{1}{1 + e^{-z}}"),
    "tanh": Formula("A3", "g(z) = tanh z", r"g(z) = \tanh z"),
    "relu": Formula("A4", "g(z) = max(z, 0)", r"g(z) = \max(z, 0)"),
    "leaky_relu": Formula("A5", "g(z) = max(βz, z)", r"g(z) = \max(\beta z, z)"),
    "softmax": Formula(
        "A6", "g(z)_k = e^z_k / Σ_j e^z_j", r"g(z)_k = \frac{e^{z_k}}{\sum_j e^{z_j}}"
    ),
    "selu": Formula(
        "A7",
        "g(z) = λz for z > 0, λα(e^z − 1) otherwise",
        r"g(z) = \lambda \begin{cases} z & z > 0 \\ \alpha (e^z - 1) & z \le 0 \end{cases}",
    ),
    "elu": Formula(
        "(19)",
        "g(z) = z for z > 0, α(e^z − 1) otherwise",
        r"g(z) = \begin{cases} z & z > 0 \\ \alpha (e^z - 1) & z \le 0 \end{cases}",
    ),
    "exp": Formula("(27)", "g(z) = e^z", "g(z) = e^z"),
    "gelu": Formula("(20)", "g(z) = z Φ(z)", r"g(z) = z\, \Phi(z)"),
    "silu": Formula("(21)", "g(z) = z σ(z)", r"g(z) = z\, \sigma(z)"),
    "softplus": Formula("(22)", "g(z) = log(1 + e^z)", r"g(z) = \log(1 + e^z)"),
    "mish": Formula("(23)", "g(z) = z tanh(log(1 + e^z))", r"g(z) = z \tanh(\log(1 + e^z))"),
    "softsign": Formula("(24)", "g(z) = z/(1 + |z|)", r"g(z) = \frac{z}{1 + |z|}"),
    "hard_sigmoid": Formula(
        "(25)", "g(z) = min(max(z/6 + ½, 0), 1)", r"g(z) = \min(\max(z/6 + 1/2, 0), 1)"
    ),
    "hard_tanh": Formula("(26)", "g(z) = min(max(z, −1), 1)", r"g(z) = \min(\max(z, -1), 1)"),
}

_BINARY = Formula(
    "L1",
    "L = −Σ_k (y_k log a_k + (1 − y_k) log(1 − a_k))",
    r"L = -\sum_k \left(y_k \log a_k + (1 - y_k) \log(1 - a_k)\right)",
)
_POISSON = Formula(
    "(33)", "L = Σ_k a_k − y_k − y_k log(a_k/y_k)", r"L = \sum_k a_k - y_k - y_k \log(a_k / y_k)"
)
LOSSES: dict[int, Formula] = {
    LossCode.SQUARED_ERROR: Formula(
        "L3", "L = ½ Σ_k (a_k − y_k)²", r"L = \frac{1}{2} \sum_k (a_k - y_k)^2"
    ),
    LossCode.ABSOLUTE_ERROR: Formula("(34)", "L = Σ_k |a_k − y_k|", r"L = \sum_k |a_k - y_k|"),
    LossCode.HUBER: Formula(
        "(35)",
        "L = Σ_k ½r² for |r| ≤ δ, δ(|r| − ½δ) beyond, r = a_k − y_k",
        r"L = \sum_k \begin{cases} r_k^2 / 2 & |r_k| \le \delta \\ "
        r"\delta (|r_k| - \delta / 2) & |r_k| > \delta \end{cases}, \quad r = a - y",
    ),
    LossCode.QUANTILE: Formula(
        "(36)",
        "L = Σ_k q max(y_k − a_k, 0) + (1 − q) max(a_k − y_k, 0)",
        r"L = \sum_k q \max(y_k - a_k, 0) + (1 - q) \max(a_k - y_k, 0)",
    ),
    LossCode.POISSON: _POISSON,
    LossCode.EXP_POISSON: _POISSON._replace(item="(32)"),
    LossCode.SIGMOID_CROSS_ENTROPY: _BINARY,
    LossCode.SOFTMAX_BINARY_CROSS_ENTROPY: _BINARY._replace(item="(31)"),
    LossCode.SOFTMAX_CROSS_ENTROPY: Formula(
        "L2", "L = −Σ_k y_k log a_k", r"L = -\sum_k y_k \log a_k"
    ),
}

_ADAM_TEXT = (
    "m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  Δθ = −η m̂/(√v̂ + ε), "
    "m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ)"
)
_ADAM_LATEX = (
    r"m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, "
    r"\quad \Delta\theta = -\eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + "
    r"\varepsilon}"
)
OPTIMIZERS: dict[type[o.Optimizer], Formula] = {
    o.SGD: Formula(
        "O1-O3",
        "v ← μv − ηg;  Δθ = v, or μv − ηg with Nesterov",
        r"v \leftarrow \mu v - \eta g, \quad \Delta\theta = v "
        r"\text{ (Nesterov: } \mu v - \eta g \text{)}",
    ),
    o.EMAMomentum: Formula(
        "O3",
        "V ← βV + (1 − β)g;  Δθ = −ηV",
        r"V \leftarrow \beta V + (1 - \beta) g, \quad \Delta\theta = -\eta V",
    ),
    o.RMSprop: Formula(
        "O4",
        "S ← βS + (1 − β)g²;  Δθ = −η g/(√S + ε)",
        r"S \leftarrow \beta S + (1 - \beta) g^2, \quad "
        r"\Delta\theta = -\eta \frac{g}{\sqrt{S} + \varepsilon}",
    ),
    o.Adam: Formula("O5", _ADAM_TEXT, _ADAM_LATEX),
    o.AdamW: Formula(
        "O5", f"{_ADAM_TEXT};  weights also −ηλθ", rf"{_ADAM_LATEX} - \eta \lambda \theta"
    ),
    o.Nadam: Formula(
        "O5",
        "Adam with Nesterov momentum: Δθ = −η m̂/(√v̂ + ε), m̂ of the next m",
        r"\Delta\theta = -\eta \frac{\hat m}{\sqrt{\hat v} + \varepsilon}, \quad "
        r"\hat m = \frac{\mu_{t+1} m}{1 - \prod_{i \le t+1} \mu_i} "
        r"+ \frac{(1 - \mu_t) g}{1 - \prod_{i \le t} \mu_i}",
    ),
    o.Adagrad: Formula(
        "O4",
        "S ← S + g²;  Δθ = −η g/(√S + ε)",
        r"S \leftarrow S + g^2, \quad \Delta\theta = -\eta \frac{g}{\sqrt{S} + \varepsilon}",
    ),
    o.Adadelta: Formula(
        "O4",
        "v ← ρv + (1 − ρ)g²;  d = √(u + ε)/√(v + ε) g;  u ← ρu + (1 − ρ)d²;  Δθ = −ηd",
        r"v \leftarrow \rho v + (1 - \rho) g^2, \quad d = \frac{\sqrt{u + \varepsilon}}"
        r"{\sqrt{v + \varepsilon}}\, g, \quad u \leftarrow \rho u + (1 - \rho) d^2, \quad "
        r"\Delta\theta = -\eta d",
    ),
    o.Rprop: Formula(
        "O5",
        "sizes grow by η⁺ while the sign of g stays, shrink by η⁻ when it changes; "
        "Δθ = −sgn(g) size",
        r"\Delta\theta = -\operatorname{sgn}(g)\, s, \quad s \leftarrow \begin{cases} "
        r"\eta^{+} s & g\, g' > 0 \\ \eta^{-} s & g\, g' < 0 \end{cases}",
    ),
}


def activation_of(tape: Tape, code: int) -> tuple[str, Formula]:
    """Return name and formula of an activation on a tape; of a user's function only its name."""
    if code >= FIRST_FUNCTION:
        name = tape.functions[code - FIRST_FUNCTION].name
        return name, Formula(OWN, f"g = {name}", rf"g = \text{{{name}}}")
    name = ActivationCode(code).name.lower()
    return name, ACTIVATIONS[name]


def loss_of(tape: Tape) -> Formula:
    """Return the formula of a tape's loss; of a user's function only its name."""
    code = tape.loss.code
    if code >= FIRST_FUNCTION:
        name = tape.functions[code - FIRST_FUNCTION].name
        return Formula(OWN, f"L = {name}(a, y)", rf"L = \text{{{name}}}(a, y)")
    return LOSSES[code]
