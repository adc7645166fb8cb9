"""Mathematical functions that compile to SIMD instructions inside the loops of kernels.

Numba's ``exp`` or ``tanh`` calls the C library for every entry, and a loop with a call is never
vectorised. A *formula* is a Python function of numbers without branches, made of ``x + y``,
``x * y``, ``x < y``, :func:`where`, :func:`exp` and so on. :func:`formula` turns it into a function
that kernels can call: applied to a :class:`Number`, it writes its LLVM instructions into the
kernel's loop, which takes a hundredth of the time of compiling a function. The instructions have
their own flags, because those of ``fast`` kernels allow the optimiser to reorder sums, which would
destroy the compensated sums here.

With Numba's compiler off, the same formulas run on NumPy's scalars.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

__all__ = [
    "Number",
    "clipped",
    "cosine_of_turns",
    "exp",
    "expm1",
    "formula",
    "largest",
    "log",
    "log1p",
    "normal_density",
    "normal_distribution",
    "polynomial",
    "sigmoid",
    "sine_of_turns",
    "tanh",
    "where",
]

_settings: Any = config  # its names are made while Numba starts


class _Format:
    """A floating-point format, and the constants that depend on it."""

    def __init__(self, name: str) -> None:
        info = np.finfo(name)
        self.width = info.bits
        self.fraction = info.nmant
        self.bias = info.maxexp - 1
        self.dtype = info.dtype
        self.tiny, self.largest = float(info.tiny), float(info.max)
        self.eps = float(info.eps)
        # Added to a number, it leaves the integer part in the lowest bits.
        self.integers = 1.5 * 2.0**self.fraction
        self.is_double = name == "float64"

    def bits(self, value: float) -> int:
        """Return the bits of a number, as an integer."""
        return int(np.array(value, self.dtype).view(f"u{self.width // 8}"))


_DOUBLE, _SINGLE = _Format("float64"), _Format("float32")


class Number:
    """A float64 or float32 of a kernel that is being compiled: operations write instructions.

    Python's numbers take the type of the number with which they are combined.
    """

    __slots__ = ("builder", "value")

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    @property
    def format(self) -> _Format:
        """The constants of the number's type."""
        return _DOUBLE if isinstance(self.value.type, ir.DoubleType) else _SINGLE

    def like(self, other: Any) -> Any:
        """Return the LLVM value of another number, or of a constant."""
        return other.value if isinstance(other, Number) else ir.Constant(self.value.type, other)

    def _made(self, operation: str, left: Any, right: Any) -> Number:
        # Explicit flags: without any, Numba adds the kernel's.
        value = getattr(self.builder, operation)(
            self.like(left), self.like(right), flags=("contract",)
        )
        return Number(self.builder, value)

    def __add__(self, other: Any) -> Number:
        return self._made("fadd", self, other)

    def __radd__(self, other: Any) -> Number:
        return self._made("fadd", other, self)

    def __sub__(self, other: Any) -> Number:
        return self._made("fsub", self, other)

    def __rsub__(self, other: Any) -> Number:
        return self._made("fsub", other, self)

    def __mul__(self, other: Any) -> Number:
        return self._made("fmul", self, other)

    def __rmul__(self, other: Any) -> Number:
        return self._made("fmul", other, self)

    def __truediv__(self, other: Any) -> Number:
        return self._made("fdiv", self, other)

    def __rtruediv__(self, other: Any) -> Number:
        return self._made("fdiv", other, self)

    def __neg__(self) -> Number:
        return Number(self.builder, self.builder.fneg(self.value))

    def __abs__(self) -> Number:
        sign = 1 << (self.format.width - 1)
        return self.of_bits(self.builder.and_(self.bits(), self.integer(sign - 1)))

    def _compared(self, relation: str, other: Any) -> Condition:
        value = self.builder.fcmp_ordered(
            relation, self.value, self.like(other), flags=("contract",)
        )
        return Condition(self, value)

    def __lt__(self, other: Any) -> Condition:
        return self._compared("<", other)

    def __le__(self, other: Any) -> Condition:
        return self._compared("<=", other)

    def __gt__(self, other: Any) -> Condition:
        return self._compared(">", other)

    def __ge__(self, other: Any) -> Condition:
        return self._compared(">=", other)

    # --- bits -------------------------------------------------------------------------------------

    def integer(self, value: int) -> Any:
        """Return an integer constant as wide as the number."""
        return ir.Constant(ir.IntType(self.format.width), value)

    def bits(self) -> Any:
        """Return the number's bits, as an integer."""
        return self.builder.bitcast(self.value, ir.IntType(self.format.width))

    def of_bits(self, bits: Any) -> Number:
        """Return the number with these bits."""
        return Number(self.builder, self.builder.bitcast(bits, self.value.type))

    def with_sign_of(self, other: Number) -> Number:
        """Return this number, which is ≥ 0, with the sign of another."""
        sign = self.integer(1 << (self.format.width - 1))
        return self.of_bits(self.builder.or_(self.bits(), self.builder.and_(other.bits(), sign)))

    def rounded(self) -> Number:
        """Return the nearest integer, for numbers of at most half the type's digits."""
        return (self + self.format.integers) - self.format.integers

    def power_of_two(self) -> Number:
        """Return 2^n for this integer n, if 2^n is a normal number."""
        f = self.format
        shifted = (self + (f.integers + f.bias)).bits()  # n + bias in the lowest bits
        return self.of_bits(self.builder.shl(shifted, self.integer(f.fraction)))


class Condition:
    """The result of a comparison of numbers, for ``&``, ``|`` and :func:`where`."""

    __slots__ = ("of", "value")

    def __init__(self, of: Number, value: Any) -> None:
        self.of, self.value = of, value

    def __and__(self, other: Condition) -> Condition:
        return Condition(self.of, self.of.builder.and_(self.value, other.value))

    def __or__(self, other: Condition) -> Condition:
        return Condition(self.of, self.of.builder.or_(self.value, other.value))


def where(condition: Any, yes: Any, no: Any) -> Any:
    """Return one number or the other; both are computed."""
    if not isinstance(condition, Condition):
        return yes if condition else no
    of = condition.of
    value = of.builder.select(condition.value, of.like(yes), of.like(no))
    return Number(of.builder, value)


def clipped(x: Any, bound: Any) -> Any:
    """Return min(max(x, −bound), bound); NaN stays."""
    return where(x > bound, bound, where(x < -bound, -bound, x))


def largest(x: Any) -> float:
    """Return the largest finite number of x's type."""
    return x.format.largest if isinstance(x, Number) else float(np.finfo(type(x)).max)


def polynomial(x: Any, coefficients: tuple[float, ...]) -> Any:
    """Return c_0 + c_1 x + c_2 x² + …, by Horner's rule."""
    total: Any = coefficients[-1]
    for c in coefficients[-2::-1]:
        total = total * x + c
    return total


# --- exponentials ---------------------------------------------------------------------------------

# ln 2 in two parts; the product of the first and an exponent has no rounding error.
_LN2 = {
    True: (6.93147180369123816490e-01, 1.90821492927058770002e-10),
    False: (0.693359375, -2.12194440054690582e-4),
}
# (e^r − 1 − r)/r² for |r| ≤ ½ ln 2, by Chebyshev interpolation; errors 1e-16 and 1.4e-9.
_EXP = {
    True: (
        0.5000000000000001, 0.16666666666666669, 0.04166666666662399, 0.008333333333330051,
        0.0013888888917281794, 0.00019841269863105968, 2.480152119021773e-05,
        2.7557268378684192e-06, 2.7620138719733994e-07, 2.5100424157005067e-08,
    ),
    False: (0.5, 0.16666667, 0.041666463, 0.0083333105, 0.0013933686, 0.0001989103),
}  # fmt: skip


def _reduced(x: Number) -> tuple[Number, Number, Number]:
    """Return n, r and the rest: x = n ln 2 + r + rest, |r| ≤ ½ ln 2."""
    high, low = _LN2[x.format.is_double]
    n = (x * 1.4426950408889634).rounded()
    first = x - n * high
    r = first - n * low
    return n, r, (first - r) - n * low


def exp(x: Any, low: Any = None) -> Any:
    """e^x = 2^n e^r; ``low`` is a small number to be added to x. Within 1 ulp.

    The factor 2^n is applied in two halves, because it can overflow when the product does not.
    """
    if not isinstance(x, Number):
        return np.exp(x)
    f = x.format
    bottom, top = (-746.0, 710.0) if f.is_double else (-104.0, 89.0)
    x = where(x < bottom, bottom, where(x > top, top, x))
    n, r, _ = _reduced(x)
    if low is not None:
        r = r + low
    value = 1 + (r + r * r * polynomial(r, _EXP[f.is_double]))
    half = (n * 0.5).rounded()
    return value * half.power_of_two() * (n - half).power_of_two()


def expm1(x: Any) -> Any:
    """e^x − 1 = 2^n (e^r − 1) + (2^n − 1), adding the small terms last. Within 1 ulp."""
    if not isinstance(x, Number):
        return np.expm1(x)
    f = x.format
    bottom, top = (-40.0, 710.0) if f.is_double else (-20.0, 89.0)
    inner = where(x < bottom, bottom, where(x > top, top, x))
    n, r, rest = _reduced(inner)
    tail = rest + r * r * polynomial(r, _EXP[f.is_double])
    half = (n - 1).power_of_two()  # 2^n itself may overflow
    value = 2 * ((half * r + (half - 0.5)) + half * tail)
    return where(abs(x) < f.eps / 4, x, value)


def tanh(x: Any) -> Any:
    """Tanh x = E/(E + 2), E = e^{2x} − 1. Within 3 ulp."""
    if not isinstance(x, Number):
        return np.tanh(x)
    f = x.format
    size, top = abs(x), (20.0 if f.is_double else 10.0)
    inner = where(size > top, top, size)
    n, r, rest = _reduced(2 * inner)
    tail = rest + r * r * polynomial(r, _EXP[f.is_double])
    power = n.power_of_two()
    large, small = power * r + (power - 1), power * tail
    value = (large + small) / ((large + 2) + small)
    return where(size < f.eps / 4, size, value).with_sign_of(x)


def sigmoid(x: Any) -> Any:
    """σ(x) = 1/(1 + e^{−x}), as e^x/(1 + e^x) for x < 0: the exponential never overflows."""
    e = exp(-abs(x))
    return where(x >= 0, 1, e) / (1 + e)


# --- logarithms -----------------------------------------------------------------------------------

# ln 2 in two other parts: the second is ≥ 0, and the first times an exponent is exact even for the
# exponents of subnormals.
_LN2_OF_LOG = {
    True: (6.93147180369123816490e-01, 1.90821492927058770002e-10),
    False: (6.9313812256e-01, 9.0580006145e-06),
}
# (log(1 + s) − log(1 − s))/s − 2 in s², s = f/(2 + f): FreeBSD's e_log.c and e_logf.c.
_LOG = {
    True: (
        6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
        2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
        1.479819860510658591e-01,
    ),
    False: (0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841),
}  # fmt: skip


def _split(x: Number) -> tuple[Number, Number]:
    """Return k and m of x = 2^k m, √½ ≤ m < √2, for a normal x > 0."""
    f, b = x.format, x.builder
    root = x.integer(f.bits(np.sqrt(0.5)))
    moved = b.add(b.sub(x.bits(), root), x.integer(f.bias << f.fraction))
    biased = b.lshr(moved, x.integer(f.fraction))  # k + bias
    k = x.of_bits(b.add(biased, x.integer(f.bits(f.integers)))) - (f.integers + f.bias)
    kept = b.and_(moved, x.integer((1 << f.fraction) - 1))
    return k, x.of_bits(b.add(kept, root))


def _log_of(k: Number, f: Number, c: Any) -> Number:
    """Return k ln 2 + log(1 + f) + c, with s = f/(2 + f): log(1 + f) = f − f²/2 + s (f²/2 + R)."""
    high, low = _LN2_OF_LOG[f.format.is_double]
    s = f / (2 + f)
    square = s * s
    remainder = square * polynomial(square, _LOG[f.format.is_double])
    half = 0.5 * f * f
    return k * high - ((half - (s * (half + remainder) + (k * low + c))) - f)


def log(x: Any) -> Any:
    """The natural logarithm: −∞ at 0, NaN below. Within 1 ulp."""
    if not isinstance(x, Number):
        return np.log(x)
    f = x.format
    lift = float(f.fraction + 2)
    subnormal = x < f.tiny
    k, m = _split(where(subnormal, x * 2.0**lift, x))
    value = _log_of(where(subnormal, k - lift, k), m - 1, 0.0)
    return _logarithm_or_limit(x, value, 0.0)


def log1p(x: Any) -> Any:
    """log(1 + x), corrected for the rounding of 1 + x. Within 2 ulp."""
    if not isinstance(x, Number):
        return np.log1p(x)
    u = 1 + x
    k, m = _split(u)
    lost = where(x > 1, 1 - (u - x), x - (u - 1))
    plain = (k > -0.5) & (k < 0.5)
    value = _log_of(k, where(plain, x, m - 1), where(plain, 0, lost / u))
    value = where(abs(x) < x.format.eps / 4, x, value)
    return _logarithm_or_limit(x, value, -1.0)


def _logarithm_or_limit(x: Number, value: Number, pole: float) -> Number:
    """Return the value for finite x above the pole, and the limit or NaN elsewhere."""
    outside = where(x >= pole, -np.inf, np.nan * x)
    return where((x > pole) & (x <= x.format.largest), value, where(x > pole, x, outside))


# --- the normal distribution ----------------------------------------------------------------------

# e^{w²/2} Φ(−w) (w + 5) in (w − 5)/(w + 5), for 0 ≤ w ≤ 39 (15), by Chebyshev interpolation after
# Shepherd & Laframboise (1981); errors 1.6e-17 and 2.4e-9.
_TAIL = {
    True: (
        0.769193049750063, -0.6653825028900567, 0.49530561596997413, -0.3135331566712971,
        0.1650203661705007, -0.06911863870647982, 0.020795066797569855, -0.002993376769094473,
        -0.0007978693748911934, 0.000544899062695852, -5.937586616736071e-05,
        -4.9762853165030135e-05, 1.668170360977268e-05, 3.981182741532577e-06,
        -2.7703209441469523e-06, -3.374965203524632e-07, 4.3443907263764586e-07,
        4.375841598285575e-08, -6.667529339227571e-08, -1.0618274174239376e-08,
        7.630410417873182e-09, 2.224938767716443e-09,
    ),
    False: (
        0.76919305, -0.66538244, 0.49530545, -0.31353447, 0.1650225, -0.069102325, 0.02079228,
        -0.0030714422, -0.0008526516, 0.0006607487, 0.00010939088,
    ),
}  # fmt: skip
_ROOT_TWO_PI = 2.5066282746310002


def _gauss(z: Number) -> tuple[Number, Number]:
    """Return w = |z|, limited to where Φ(−w) > 0, and e^{−w²/2} corrected for w²'s rounding."""
    f = z.format
    top = 39.0 if f.is_double else 15.0
    w = where(abs(z) > top, top, abs(z))
    mask = z.integer((1 << f.width) - (1 << (f.fraction // 2 + 1)))
    head = z.of_bits(z.builder.and_(w.bits(), mask))  # its square is exact
    return w, exp(-0.5 * head * head, -0.5 * (w - head) * (w + head))


def normal_distribution(z: Any) -> Any:
    """Φ(z) = ½ erfc(−z/√2), accurate to a few ulp also in its left tail."""
    if not isinstance(z, Number):
        from scipy.special import erfc

        return type(z)(0.5 * erfc(-z / type(z)(np.sqrt(2))))
    w, gauss = _gauss(z)
    tail = gauss * (polynomial((w - 5) / (w + 5), _TAIL[z.format.is_double]) / (w + 5))
    return where(z > 0, 1 - tail, tail)


def normal_density(z: Any) -> Any:
    """φ(z) = e^{−z²/2}/√(2π)."""
    if not isinstance(z, Number):
        return np.exp(-z * z / 2) / _ROOT_TWO_PI
    return _gauss(z)[1] * (1 / _ROOT_TWO_PI)


# --- waves ----------------------------------------------------------------------------------------

# sin 2πt = t P(t²) for |t| ≤ ¼: Taylor's series, with remainders of 1e-18 and 7e-10.
_SINE = {
    True: tuple(
        (-1) ** j * (2 * np.pi) ** (2 * j + 1) / math.factorial(2 * j + 1) for j in range(11)
    ),
    False: tuple(
        (-1) ** j * (2 * np.pi) ** (2 * j + 1) / math.factorial(2 * j + 1) for j in range(7)
    ),
}


def _fraction(u: Number) -> Number:
    """Return u − n, n the nearest integer; 0 where u has no digits after the point."""
    inside = abs(u) < 2.0 ** (u.format.fraction - 1)
    near = where(inside, u, 0.0)
    return near - near.rounded()


def _sine_near(t: Number) -> Number:
    return t * polynomial(t * t, _SINE[t.format.is_double])


def cosine_of_turns(u: Any) -> Any:
    """Cos 2πu = sin 2π(¼ − |r|), r the fraction of u in [−½, ½]; NaN unless u is finite."""
    if not isinstance(u, Number):
        return np.cos(2 * np.pi * u)
    return _sine_near(0.25 - abs(_fraction(u))) + 0 * u


def sine_of_turns(u: Any) -> Any:
    """Sin 2πu, by the same symmetry; NaN unless u is finite."""
    if not isinstance(u, Number):
        return np.sin(2 * np.pi * u)
    r = _fraction(u)
    size = abs(r)
    return _sine_near(where(size > 0.25, 0.5 - size, size).with_sign_of(r)) + 0 * u


# --- formulas in kernels --------------------------------------------------------------------------


def formula(function: Callable[..., Any]) -> Any:
    """Return a formula of one, two or three numbers as a function that kernels can call."""
    parameters = inspect.signature(function).parameters.values()
    count = len([p for p in parameters if p.default is p.empty])
    if _settings.DISABLE_JIT:
        return _quiet(function)

    def typed(*kinds: Any) -> Any:
        kind = types.unliteral(kinds[0])

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return function(*(Number(builder, value) for value in args)).value

        return kind(*[kind] * count), codegen

    if count == 1:
        return intrinsic(lambda typingctx, x: typed(x))
    if count == 2:
        return intrinsic(lambda typingctx, x, y: typed(x, y))
    return intrinsic(lambda typingctx, x, y, c: typed(x, y, c))


def _quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*numbers: Any) -> Any:
        with np.errstate(all="ignore"):
            return type(numbers[0])(function(*numbers))

    return run
