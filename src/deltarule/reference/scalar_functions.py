"""The scalar functions g of elementwise activations, each with g' and g'' (items A1-A5, A7).

No formula overflows or cancels for any finite z, because exponentials are computed of −|z|.
Hessian-vector products use g''. ``c`` is the parameter of the function. At a *kink*, where a
derivative jumps, it has the one-sided value that the source of the activation defines, and g'' is
0. NaN stays NaN. The type is that of a float32 or float64 array; other numbers become float64.
"""

from __future__ import annotations

from math import pi, sqrt

from deltarule.utils.arrays import Array, array_namespace, of_numbers, to_numpy

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@of_numbers()
def identity(z: Array, c: float) -> Array:
    """A1. g(z) = z."""
    return z


@of_numbers()
def identity_derivative(z: Array, c: float) -> Array:
    """g'(z) = 1."""
    return array_namespace(z).ones_like(z)


@of_numbers()
def zero(z: Array, c: float) -> Array:
    """g''(z) = 0 for every piecewise linear function."""
    return array_namespace(z).zeros_like(z)


@of_numbers()
def sigmoid(z: Array, c: float = 0.0) -> Array:
    """A2. σ(z) = 1/(1 + e^{−z}), computed as e^z/(1 + e^z) for z < 0: no overflow."""
    xp = array_namespace(z)
    e = xp.exp(-xp.abs(z))
    return xp.where(z >= 0, xp.ones_like(e), e) / (1 + e)


@of_numbers()
def sigmoid_derivative(z: Array, c: float = 0.0) -> Array:
    """σ' = σ(1 − σ) = e/(1 + e)² with e = e^{−|z|}: no cancellation in the tails."""
    xp = array_namespace(z)
    e = xp.exp(-xp.abs(z))
    return e / (1 + e) ** 2


@of_numbers()
def sigmoid_second(z: Array, c: float = 0.0) -> Array:
    """σ'' = σ'(1 − 2σ) = −σ' tanh(z/2)."""
    return -sigmoid_derivative(z) * array_namespace(z).tanh(z / 2)


@of_numbers()
def tanh(z: Array, c: float) -> Array:
    """A3. The hyperbolic tangent."""
    return array_namespace(z).tanh(z)


@of_numbers()
def tanh_derivative(z: Array, c: float) -> Array:
    """1 − tanh² = 4e/(1 + e)² with e = e^{−2|z|}: no cancellation in the tails."""
    e = _exp_below(-2 * _bounded(z))
    return 4 * e / (1 + e) ** 2


@of_numbers()
def tanh_second(z: Array, c: float) -> Array:
    """Tanh'' = −2 tanh (1 − tanh²)."""
    return -2 * tanh(z, c) * tanh_derivative(z, c)


@of_numbers()
def relu(z: Array, c: float = 0.0) -> Array:
    """A4. max(z, 0); NaN stays NaN."""
    xp = array_namespace(z)
    return xp.where(z <= 0, xp.zeros_like(z), z)


@of_numbers()
def relu_derivative(z: Array, c: float) -> Array:
    """1 on (0, ∞), 0 at 0 and below (erratum E-a); NaN stays NaN."""
    xp = array_namespace(z)
    return xp.where(xp.isnan(z), z, xp.astype(z > 0, z.dtype))


@of_numbers()
def leaky_relu(z: Array, c: float) -> Array:
    """A5. max(βz, z), 0 ≤ β ≤ 1."""
    return array_namespace(z).where(z > 0, z, c * z)


@of_numbers()
def leaky_relu_derivative(z: Array, c: float) -> Array:
    """1 on (0, ∞), β at 0 and below."""
    xp = array_namespace(z)
    return xp.where(z > 0, xp.ones_like(z), c * xp.ones_like(z))


@of_numbers()
def elu(z: Array, c: float) -> Array:
    """ELU: z on (0, ∞), α(e^z − 1) below (Clevert et al. 2016)."""
    xp = array_namespace(z)
    return xp.where(z > 0, z, c * xp.expm1(_below_zero(z)))


@of_numbers()
def elu_derivative(z: Array, c: float) -> Array:
    """1 on (0, ∞), α e^z at 0 and below."""
    xp = array_namespace(z)
    return xp.where(z > 0, xp.ones_like(z), c * xp.exp(_below_zero(z)))


@of_numbers()
def elu_second(z: Array, c: float) -> Array:
    """0 on (0, ∞), α e^z below."""
    xp = array_namespace(z)
    return xp.where(z > 0, xp.zeros_like(z), c * xp.exp(_below_zero(z)))


@of_numbers()
def selu(z: Array, c: float) -> Array:
    """A7. λ·ELU_α(z), λ 1.0507009873554805, α 1.6732632423543772 (Klambauer et al. 2017)."""
    return SELU_SCALE * elu(z, SELU_ALPHA)


@of_numbers()
def selu_derivative(z: Array, c: float) -> Array:
    """λ on (0, ∞), λα e^z at 0 and below."""
    return SELU_SCALE * elu_derivative(z, SELU_ALPHA)


@of_numbers()
def selu_second(z: Array, c: float) -> Array:
    """0 on (0, ∞), λα e^z below."""
    return SELU_SCALE * elu_second(z, SELU_ALPHA)


@of_numbers()
def gelu(z: Array, c: float) -> Array:
    """GELU: z Φ(z), Φ the normal distribution function, by erfc (Hendrycks & Gimpel 2016)."""
    return z * _normal_distribution(z)


@of_numbers()
def gelu_derivative(z: Array, c: float) -> Array:
    """Φ(z) + z φ(z), φ the normal density."""
    return _normal_distribution(z) + _bounded(z, signed=True) * _normal_density(z)


@of_numbers()
def gelu_second(z: Array, c: float) -> Array:
    """(2 − z²) φ(z)."""
    return (2 - _bounded(z) ** 2) * _normal_density(z)


@of_numbers()
def silu(z: Array, c: float) -> Array:
    """SiLU, or Swish: z σ(z) (Elfwing et al. 2018)."""
    return z * sigmoid(z)


@of_numbers()
def silu_derivative(z: Array, c: float) -> Array:
    """σ(z) + z σ'(z)."""
    return sigmoid(z) + z * sigmoid_derivative(z)


@of_numbers()
def silu_second(z: Array, c: float) -> Array:
    """2 σ'(z) + z σ''(z)."""
    return 2 * sigmoid_derivative(z) + z * sigmoid_second(z)


@of_numbers()
def softplus(z: Array, c: float = 0.0) -> Array:
    """log(1 + e^z) = max(z, 0) + log1p(e^{−|z|}) (Dugas et al. 2001)."""
    xp = array_namespace(z)
    return relu(z) + xp.log1p(xp.exp(-xp.abs(z)))


@of_numbers()
def mish(z: Array, c: float) -> Array:
    """Mish: z tanh(softplus(z)) (Misra 2019)."""
    return z * _tanh_softplus(z)[0]


@of_numbers()
def mish_derivative(z: Array, c: float) -> Array:
    """W + z w', w = tanh(softplus(z)), w' = (1 − w²) σ(z)."""
    w, complement = _tanh_softplus(z)
    return w + z * (complement * sigmoid(z))


@of_numbers()
def mish_second(z: Array, c: float) -> Array:
    """2 w' + z w'', w'' = (1 − w²) σ' − 2 w w' σ."""
    w, complement = _tanh_softplus(z)
    slope = complement * sigmoid(z)
    return 2 * slope + z * (complement * sigmoid_derivative(z) - 2 * w * slope * sigmoid(z))


@of_numbers()
def softsign(z: Array, c: float) -> Array:
    """z/(1 + |z|) (Turian et al. 2009)."""
    return z / (1 + array_namespace(z).abs(z))


@of_numbers()
def softsign_derivative(z: Array, c: float) -> Array:
    """1/(1 + |z|)²."""
    r = 1 / (1 + array_namespace(z).abs(z))
    return r * r


@of_numbers()
def softsign_second(z: Array, c: float) -> Array:
    """−2 sgn(z)/(1 + |z|)³."""
    xp = array_namespace(z)
    r = 1 / (1 + xp.abs(z))
    return -2 * xp.sign(z) * r * r * r


@of_numbers()
def hard_sigmoid(z: Array, c: float) -> Array:
    """min(max(z/6 + ½, 0), 1) (as PyTorch)."""
    xp = array_namespace(z)
    inner = (_clipped(z, 3.0) + 3) / 6
    return xp.where(z >= 3, xp.ones_like(z), inner)


@of_numbers()
def hard_sigmoid_derivative(z: Array, c: float) -> Array:
    """1/6 inside (−3, 3), 0 outside and at the ends."""
    return array_namespace(z).astype((z > -3) & (z < 3), z.dtype) / 6


@of_numbers()
def hard_tanh(z: Array, c: float) -> Array:
    """min(max(z, −1), 1)."""
    return _clipped(z, 1.0)


@of_numbers()
def hard_tanh_derivative(z: Array, c: float) -> Array:
    """1 inside (−1, 1), 0 outside and at the ends."""
    return array_namespace(z).astype((z > -1) & (z < 1), z.dtype)


@of_numbers()
def exp(z: Array, c: float) -> Array:
    """e^z, the inverse of the log link, for the rates of a Poisson model."""
    return array_namespace(z).exp(z)


# --- helpers --------------------------------------------------------------------------------------


def _constant(z: Array, value: float) -> Array:
    return array_namespace(z).asarray(value, dtype=z.dtype)


def _clipped(z: Array, bound: float) -> Array:
    xp = array_namespace(z)
    return xp.minimum(xp.maximum(z, _constant(z, -bound)), _constant(z, bound))


def _bounded(z: Array, *, signed: bool = False) -> Array:
    """|z| (or z), clipped to 1000. Its callers compute functions that are 0 beyond that."""
    cut = _clipped(z, 1e3)
    return cut if signed else array_namespace(z).abs(cut)


def _below_zero(z: Array) -> Array:
    return array_namespace(z).minimum(z, _constant(z, 0.0))


def _exp_below(z: Array) -> Array:
    """e^z for z ≤ 0."""
    return array_namespace(z).exp(z)


def _tanh_softplus(z: Array) -> tuple[Array, Array]:
    """W = tanh(log(1 + e^z)) and 1 − w², computed from e = e^{−|z|}.

    For z < 0, with n = e² + 2e: w = n/(n + 2) and 1 − w² = 4(n + 1)/(n + 2)²; for z ≥ 0, with
    D = 1 + 2e + 2e²: w = (1 + 2e)/D and 1 − w² = 4e²(1 + e)²/D².
    """
    xp = array_namespace(z)
    e = xp.exp(-xp.abs(z))
    n, d = e * (e + 2), 1 + 2 * e * (1 + e)
    below = z < 0
    w = xp.where(below, n / (n + 2), (1 + 2 * e) / d)
    complement = xp.where(below, 4 * (n + 1) / (n + 2) ** 2, (2 * e * (1 + e) / d) ** 2)
    return w, complement


def _normal_distribution(z: Array) -> Array:
    """Φ(z) = ½ erfc(−z/√2), from SciPy, because the array API has no error function."""
    from scipy.special import erfc

    return array_namespace(z).asarray(0.5 * erfc(-to_numpy(z) / sqrt(2)), dtype=z.dtype)


def _normal_density(z: Array) -> Array:
    """φ(z) = e^{−z²/2}/√(2π)."""
    return _exp_below(-(_bounded(z) ** 2) / 2) / sqrt(2 * pi)
