"""Gaussian duals and infinite-width kernels in 50 digits, written from the equations alone.

A dual is an average over (u, v) ~ N(0, [[a, k], [k, b]]).  `product`, `slope` and `mean` are closed
forms where there is one and the trapezoidal rule in the plane where there is none; `by_quadrature`
and `by_quadrants` know no closed form and serve to check those.  Numbers that cost minutes lie in
gaussian_reference.json, which `python tests/phenomena/gaussian_reference.py` computes anew.
"""

import functools
import itertools
import json
import math
import multiprocessing
from pathlib import Path

import numpy as np
from mpmath import mp, mpf

mp.dps = 50
KEPT = Path(__file__).with_suffix(".json")
CLOSED = (
    "linear",
    "relu",
    "leaky-relu",
    "leaky-relu:0.2",
    "erf",
    "gelu",
    "sin",
    "cos",
    "square",
    "cube",
    "monomial:4",
    "monomial:5",
)
QUADRATURE = ("tanh", "sigmoid", "gelu-tanh", "softplus", "silu")
PIECES = ("elu", "selu", "hardtanh")
ON_FILE = QUADRATURE + PIECES
ACTIVATIONS = CLOSED + ON_FILE
DIGITS = 25  # of the values by quadrature


def density(z):
    return mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)


def leak(name):
    """The slope below 0, as the double the activation uses."""
    return mpf({"relu": 0.0, "leaky-relu": 0.01}.get(name, float(name.partition(":")[2] or 0)))


def power(name):
    return {"linear": 1, "square": 2, "cube": 3}.get(name) or int(name.partition(":")[2])


def moment(p, a, b, k):
    """E[u^p v^p] by Isserlis: j of the pairs join u to v."""
    pairs = ((j, (p - j) // 2) for j in range(p % 2, p + 1, 2))
    return sum(
        mp.factorial(p) ** 2
        / (mp.factorial(j) * mp.factorial(m) ** 2 * mpf(4) ** m)
        * k**j
        * (a * b) ** m
        for j, m in pairs
    )


def rectified(a, b, k):
    """E[relu relu] and E[1_{u>0} 1_{v>0}], theta the angle between the two."""
    height = mp.sqrt(max(a * b - k * k, 0))
    rest = mp.pi - mp.atan2(height, k)
    return (height + k * rest) / (2 * mp.pi), rest / (2 * mp.pi)


def both(name, a, b, k):
    """(E[s(u) s(v)], E[s'(u) s'(v)])."""
    a, b, k = mpf(a), mpf(b), mpf(k)
    if name in QUADRATURE:
        return by_quadrature(name, a, b, k)
    if name in PIECES:
        return by_pieces(name, a, b, k)
    if "relu" in name:
        product, slope = rectified(a, b, k)
        c = leak(name)
        return c * k + (1 - c) ** 2 * product, c + (1 - c) ** 2 * slope
    if name == "erf":
        A, B = 1 + 2 * a, 1 + 2 * b
        return 2 / mp.pi * mp.asin(2 * k / mp.sqrt(A * B)), 4 / mp.pi / mp.sqrt(A * B - 4 * k * k)
    if name == "gelu":
        A, B = 1 + a, 1 + b
        D = A * B - k * k
        cells = mpf(1) / 4 + mp.asin(k / mp.sqrt(A * B)) / (2 * mp.pi)  # E[Phi(u) Phi(v)]
        product = k * cells + (a * b + k * k * (1 / A + 1 / B - 1)) / (2 * mp.pi * mp.sqrt(D))
        return product, cells + k * (1 / A + 1 / B + 1 / D) / (2 * mp.pi * mp.sqrt(D))
    if name in ("sin", "cos"):
        odd, even = (mp.exp(-(a + b) / 2) * f(k) for f in (mp.sinh, mp.cosh))
        return (odd, even) if name == "sin" else (even, odd)
    p = power(name)
    return moment(p, a, b, k), p * p * moment(p - 1, a, b, k)


def product(name, a, b, k):
    """E[s(u) s(v)]."""
    return both(name, a, b, k)[0]


def slope(name, a, b, k):
    """E[s'(u) s'(v)]."""
    return both(name, a, b, k)[1]


def mean(name, a):
    """E[s(u)]."""
    a = mpf(a)
    if name in QUADRATURE:
        return by_quadrature(name, a)
    if name in PIECES:
        return along_line(lambda u: pointwise(name)[0](u)[0], a, KINKS[name])
    if "relu" in name:
        return (1 - leak(name)) * mp.sqrt(a / (2 * mp.pi))
    if name == "gelu":
        return a / mp.sqrt(2 * mp.pi * (1 + a))
    if name in ("erf", "sin"):
        return mpf(0)
    if name == "cos":
        return mp.exp(-a / 2)
    p = power(name)
    return mpf(0) if p % 2 else mp.fac2(p - 1) * a ** (p // 2)


def pointwise(name):
    """z -> (s(z), s'(z)), and how far from the real axis s is analytic."""
    if name == "tanh":
        return lambda z: (t := mp.tanh(z), 1 - t * t), mp.pi / 2
    if name == "sigmoid":
        return lambda z: (s := 1 / (1 + mp.exp(-z)), s * (1 - s)), mp.pi
    if name == "softplus":
        return lambda z: (
            mp.log1p(e := mp.exp(-abs(z))) + max(z, 0),
            1 / (1 + e) if z > 0 else e / (1 + e),
        ), mp.pi
    if name == "silu":
        return lambda z: (z * (s := 1 / (1 + mp.exp(-z))), s * (1 + z * (1 - s))), mp.pi
    if name == "gelu-tanh":
        c, q = mp.sqrt(2 / mp.pi), mpf("0.044715")
        return lambda z: (
            z * (1 + (t := mp.tanh(c * (z + q * z**3)))) / 2,
            (1 + t + z * (1 - t * t) * c * (1 + 3 * q * z * z)) / 2,
        ), mpf(2)
    if name == "erf":
        return lambda z: (mp.erf(z), 2 * mp.exp(-z * z) / mp.sqrt(mp.pi)), mp.inf
    if name == "gelu":
        return lambda z: (z * (cell := mp.ncdf(z)), cell + z * density(z)), mp.inf
    if name == "sin":
        return lambda z: (mp.sin(z), mp.cos(z)), mp.inf
    if name == "cos":
        return lambda z: (mp.cos(z), -mp.sin(z)), mp.inf
    if "relu" in name:
        c = leak(name)
        return lambda z: (z, mpf(1)) if z > 0 else (c * z, c), mpf(0)
    if name in ("elu", "selu"):
        scale, alpha = SCALES[name]
        return (
            lambda z: (
                (scale * z, scale)
                if z > 0
                else (scale * alpha * mp.expm1(z), scale * alpha * mp.exp(z))
            ),
            mpf(0),
        )
    if name == "hardtanh":
        return lambda z: (z, mpf(1)) if abs(z) < 1 else (mp.sign(z), mpf(0)), mpf(0)
    p = power(name)
    return lambda z: (z**p, p * z ** (p - 1)), mp.inf


KINKS = {"elu": [0], "selu": [0], "hardtanh": [-1, 1]}
# scale and alpha; those of selu are the doubles that the activation uses
SCALES = {"elu": (mpf(1), mpf(1)), "selu": (mpf(1.0507009873554805), mpf(1.6732632423543772))}


def along_line(f, a, kinks, near=()):
    """E f(u) over u ~ N(0, a) of what is smooth between kinks; `near` are places and widths
    about which it turns."""
    root, edge = mp.sqrt(a), mp.sqrt(2 * mp.log(10) * (DIGITS + 4))
    cuts = {-edge, -edge / 2, mpf(0), edge / 2, edge} | {mpf(kink) / root for kink in kinks}
    cuts |= {
        place + sign * width * far
        for place, width in near
        for sign in (-1, 1)
        for far in (0, 1, 3, 9)
        if width
    }
    cuts = sorted(cut for cut in cuts if abs(cut) <= edge)
    with mp.workdps(DIGITS + 8):
        return mp.quad(lambda x: density(x) * f(root * x), cuts)


def given(name, mu, sigma):
    """(E s(v), E s'(v)) over v ~ N(mu, sigma^2), from the integrals of e^v, v and 1 over a
    half-line or a line."""

    def cell(low, high):
        return mp.ncdf(high) - mp.ncdf(low) if low < 0 else mp.ncdf(-low) - mp.ncdf(-high)

    if name == "hardtanh":
        low, high = (-1 - mu) / sigma, (1 - mu) / sigma
        inside = cell(low, high)
        return mu * inside + sigma * (density(low) - density(high)) + mp.ncdf(-high) - mp.ncdf(
            low
        ), inside
    (scale, alpha), r = SCALES[name], mu / sigma
    tail = mp.exp(mu + sigma * sigma / 2) * mp.ncdf(-r - sigma)
    up = mp.ncdf(r)
    return scale * (mu * up + sigma * density(r) + alpha * (tail - mp.ncdf(-r))), scale * (
        up + alpha * tail
    )


def by_pieces(name, a, b, k):
    """(E[s s], E[s' s']): over u alone, v given it by `given`; of v = +-u sqrt(b/a) it is itself
    given."""
    s, sigma = pointwise(name)[0], mp.sqrt(max(b - k * k / a, 0))
    if sigma < mpf(10) ** -20:
        ratio = k / a
        kinks = [*KINKS[name], *(kink / ratio for kink in KINKS[name])]
        return tuple(along_line(lambda u, i=i: s(u)[i] * s(ratio * u)[i], a, kinks) for i in (0, 1))
    # where the mean of v, k u/a, is at a kink, and how far from it v is still in doubt
    near = (
        [(kink * mp.sqrt(a) / k, sigma * mp.sqrt(a) / abs(k)) for kink in KINKS[name]] if k else []
    )
    return tuple(
        along_line(lambda u, i=i: s(u)[i] * given(name, k / a * u, sigma)[i], a, KINKS[name], near)
        for i in (0, 1)
    )


def by_cells(name, a, b, k, order=60):
    """(E[s s], E[s' s']) in the plane, in doubles: Gauss-Legendre between the kinks of both, no
    formula used."""
    s = {
        "elu": lambda z: (np.where(z > 0, z, np.expm1(z)), np.where(z > 0, 1, np.exp(z))),
        "hardtanh": lambda z: (np.clip(z, -1, 1), np.where(abs(z) < 1, 1.0, 0.0)),
    }
    scale, alpha = map(float, SCALES.get(name, (1, 1)))
    s["selu"] = lambda z: (
        scale * np.where(z > 0, z, alpha * np.expm1(z)),
        scale * np.where(z > 0, 1, alpha * np.exp(z)),
    )
    spread = math.sqrt(b - k * k / a)

    def places(middle, width):
        """Standard normal (x, weights), cut at where middle + width x has a kink."""
        cuts = sorted(
            {-9.0, -3.0, 0.0, 3.0, 9.0}
            | {x for kink in KINKS[name] if abs(x := (kink - middle) / width) < 9}
        )
        x, weight = np.polynomial.legendre.leggauss(order)
        parts = [
            ((high + low) / 2 + (high - low) / 2 * x, (high - low) / 2 * weight)
            for low, high in zip(cuts[:-1], cuts[1:])
        ]
        x, weight = map(np.concatenate, zip(*parts))
        return x, weight * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    total = np.zeros(2)
    for x, weight in zip(*places(0.0, math.sqrt(a))):
        mu = k / math.sqrt(a) * x
        y, inner = places(mu, spread)
        total += [
            weight * float(here) * (inner @ there)
            for here, there in zip(s[name](math.sqrt(a) * x), s[name](mu + spread * y))
        ]
    return tuple(total)


def spacing(strip, digits):
    """Step of the trapezoidal rule: its error on a Gaussian times what is analytic in |Im x| < d
    is e^{-2 pi d/step + d^2/2}."""
    wanted = mp.log(10) * (digits + 2)
    d = min(strip, mp.sqrt(2 * wanted))
    return 2 * mp.pi * d / (wanted + d * d / 2)


def nodes(step, shift, digits):
    edge = mp.sqrt(2 * mp.log(10) * (digits + 6))
    count = int(edge / step) + 1
    xs = [(i + shift) * step for i in range(-count, count + 1)]
    return [(x, density(x) * step) for x in xs]


def by_quadrature(name, a, b=None, k=None, digits=DIGITS):
    """(E[s s], E[s' s']), or E[s] of one variance, by the trapezoidal rule along u = sqrt(a) x, v =
    (k/sqrt a) x + sqrt(b - k^2/a) y.

    Two grids, one between the points of the other, must agree to `digits`; until they do the step
    is reduced.
    """
    a, one = mpf(a), b is None
    s, strip = pointwise(name)
    root = mp.sqrt(a)
    along, across = (
        (mpf(0), mpf(0)) if one else (mpf(k) / root, mp.sqrt(max(a * mpf(b) - mpf(k) ** 2, 0) / a))
    )
    with mp.workdps(digits + 8):
        steps = [
            spacing(strip / max(root, abs(along)), digits),
            spacing(strip / across, digits) if across else 1,
        ]
        while True:
            first, second = (
                grid(s, root, along, across, steps, shift, digits, one)
                for shift in (mpf(0), mpf(1) / 2)
            )
            if all(
                abs(p - q) <= mpf(10) ** -digits * size
                for p, q, size in zip(first, second, first[2:])
            ):
                middle = tuple((p + q) / 2 for p, q in zip(first[:2], second))
                return middle[0] if one else middle
            steps = [step * mpf("0.8") for step in steps]


def grid(s, root, along, across, steps, shift, digits, one):
    """The sums of the rule on one grid, and the sums of its magnitudes."""
    inner = nodes(steps[1], shift, digits) if across else [(mpf(0), mpf(1))]
    offsets = [(across * y, w) for y, w in inner]
    total = [mpf(0)] * 4
    for x, weight in nodes(steps[0], shift, digits):
        here = s(root * x)
        there = [mpf(1), mpf(0)] if one else [mpf(0), mpf(0)]
        for offset, w in () if one else offsets:
            values = s(along * x + offset)
            there[0] += w * values[0]
            there[1] += w * values[1]
        for i in (0, 1):
            term = weight * here[i] * there[i]
            total[i] += term
            total[i + 2] += abs(term)
    return total


def by_quadrants(name, a, b, k, digits=20):
    """(E[s s], E[s' s']) of a function with a kink at 0: each quadrant of the (u, v) plane by
    Gauss-Legendre, no closed form used."""
    a, b, k = mpf(a), mpf(b), mpf(k)
    s, _ = pointwise(name)
    root, spread = mp.sqrt(a), mp.sqrt(b - k * k / a)
    edge = mp.sqrt(2 * mp.log(10) * (digits + 4))

    def quadrant(index, right, upper):
        def line(x):
            kink = -k / root * x / spread  # where v = 0
            low, high = (max(kink, -edge), edge) if upper else (-edge, min(kink, edge))
            if low >= high:
                return mpf(0)
            f = lambda y: s(k / root * x + spread * y)[index] * density(y)  # noqa: E731
            return (
                s(root * x)[index]
                * density(x)
                * mp.quad(f, [low, (low + high) / 2, high], method="gauss-legendre")
            )

        # A kink that leaves the window within the range of x would be a corner: it is cut there.
        corner = min(edge, abs(edge * spread * root / k))
        cuts = sorted({mpf(0), corner, edge})
        return mp.quad(
            line, cuts if right else [-x for x in reversed(cuts)], method="gauss-legendre"
        )

    with mp.workdps(digits + 6):
        return tuple(
            sum(quadrant(i, *signs) for signs in itertools.product((False, True), repeat=2))
            for i in (0, 1)
        )


def inputs_kernel(x1, x2, sw, sb):
    """K^1 = sw^2 x.x'/d + sb^2 as (a, b, k)."""

    def dot(p, q):
        return sw**2 * mp.fsum(mpf(float(s)) * mpf(float(t)) for s, t in zip(p, q)) / len(p) + sb**2

    return dot(x1, x1), dot(x2, x2), dot(x1, x2)


def nngp_ntk(activation, x1, x2, depth, sw=1.0, sb=1.0, bias=False):
    """NNGP and NTK of a dense network of `depth` hidden layers at two inputs."""
    return depths_nngp_ntk(activation, x1, x2, depth, sw, sb, bias)[depth]


def depths_nngp_ntk(activation, x1, x2, depth, sw=1.0, sb=1.0, bias=False):
    """(NNGP, NTK) of the output after 0, 1, ... `depth` hidden layers: K and Theta of THEORY
    section 5."""
    sw, sb = mpf(sw), mpf(sb) if bias else mpf(0)
    a, b, k = inputs_kernel(x1, x2, sw, sb)
    theta = k
    seen = [(k, theta)]
    for _ in range(depth):
        inside, tangent = both(activation, a, b, k)
        a, b, k = (
            sw**2 * value + sb**2
            for value in (product(activation, a, a, a), product(activation, b, b, b), inside)
        )
        theta = k + sw**2 * theta * tangent
        seen.append((k, theta))
    return seen


def residual_nngp_ntk(activation, x1, x2, blocks, sw=1.0, sb=1.0, bias=False, branch=1.0):
    """NNGP and NTK of h_1 = W_1 x (+ b), h_{l+1} = h_l + branch s(z_{l+1}), z_{l+1} = W_{l+1} h_l
    (+ b), f = W_L h (+ b), sw/sqrt(fan_in) and sb in every map.

    Forward.  Given h_l, the z_{l+1} are fresh Gaussians of covariance K = sw^2 Q + sb^2, Q = lim
    h_l.h_l'/width, and unit by unit independent of h_l. So with M = lim (mean of the units of h_l),
    which is 0 at first (W_1 is symmetric) and grows where E[s] is not 0, and t = branch,
        Q   <- Q + t (M E[s(z')] + M' E[s(z)]) + t^2 E[s(z) s(z')],   M <- M + t E[s(z)].
    Backward.  The gradient on the stream is linear in W_L, hence odd in it and of mean 0, and
    uncorrelated with what W_{l+1}' adds to it: no cross term,
        G <- G (1 + t^2 sw^2 E[s'(z) s'(z')]), from sw^2 at the output; a block gives t^2 G E[s' s']
        K with the G above it, the input G K^1, the readout K.
    Collected forward, T = K^1 at first, T <- T (1 + t^2 sw^2 E[s' s']) + t^2 E[s' s'] K, and Theta
    = sw^2 T + K.
    """
    sw, sb, t = mpf(sw), mpf(sb) if bias else mpf(0), mpf(branch)
    a, b, k = inputs_kernel(x1, x2, sw, sb)
    T, M = k, [mpf(0), mpf(0)]
    Q = [a, b, k]
    for _ in range(blocks):
        a, b, k = (sw**2 * q + sb**2 for q in Q)
        inside, tangent = both(activation, a, b, k)
        means = [mean(activation, a), mean(activation, b)]
        T = T * (1 + t**2 * sw**2 * tangent) + t**2 * tangent * k
        Q[0] += 2 * t * M[0] * means[0] + t**2 * product(activation, a, a, a)
        Q[1] += 2 * t * M[1] * means[1] + t**2 * product(activation, b, b, b)
        Q[2] += t * (M[0] * means[1] + M[1] * means[0]) + t**2 * inside
        M = [m + t * s for m, s in zip(M, means)]
    k = sw**2 * Q[2] + sb**2
    return k, sw**2 * T + k


def points():
    """(a, b, k) in doubles at generic places, two of them near correlations 1 and -1."""
    rng = np.random.default_rng(11)
    generic = [
        (a, b, rho * math.sqrt(a * b))
        for a, b, rho in zip(
            rng.uniform(0.05, 4, 5), rng.uniform(0.05, 4, 5), rng.uniform(-0.99, 0.99, 5)
        )
    ]
    edges = [(4.0, 3.0, 0.99 * math.sqrt(12)), (0.05, 2.0, -0.99 * math.sqrt(0.1))]
    return [tuple(map(float, point)) for point in generic + edges]


EXTREME = [
    (1e-4, 1.5e-4, 0.6e-4),
    (1e-4, 20.0, 0.01),
    (20.0, 18.0, -9.0),
    (20.0, 0.5, 2.5),
]  # small and large variances
NEAR = [
    (1.0, 1.0, 1 - 1e-10),
    (1.7, 0.6, math.sqrt(1.7 * 0.6) * (1 - 1e-10)),
    (1.7, 0.6, -math.sqrt(1.7 * 0.6) * (1 - 1e-10)),
]
X1, X2 = (0.7, -1.1, 0.4), (-0.3, -0.9, 1.6)
X1_TURNED = (0.4, 0.7, -1.1)  # of the norm of X1
DEEP = [
    (name, X1, X2, 10, sw, sb, bias)
    for name, sw in (("tanh", 1.5), ("softplus", 1.1), ("gelu-tanh", 1.4))
    for sb, bias in ((1.0, False), (0.3, True))
]
ONE_NORM = ("tanh", X1, X1_TURNED, 10, 1.5, 0.3, True)
BLOCKS = [
    (name, X1, X2, 3, 1.2, 0.4, True, branch)
    for name, branch in (("tanh", 0.7), ("softplus", 0.5), ("sigmoid", -1.3))
]


def demanded():
    """Every call whose answer is kept: its function, by name, and its arguments."""
    yield from (("both", (name, *point)) for name in ON_FILE for point in points() + EXTREME + NEAR)
    yield from (("depths_nngp_ntk", case) for case in [*DEEP, ONE_NORM])
    yield from (("residual_nngp_ntk", case) for case in BLOCKS)


@functools.cache
def on_file():
    return json.loads(KEPT.read_text())


def kept(function, *arguments):
    """The answer of a call that `demanded` lists, off the file; `python
    tests/phenomena/gaussian_reference.py` computes the file."""
    read = lambda part: mpf(part) if isinstance(part, str) else tuple(map(read, part))  # noqa: E731
    return read(on_file()[key(function, arguments)])


def key(function, arguments):
    return f"{function}{arguments}"


def computed(call):
    """A call's key and its answer in 30 digits of text."""
    write = lambda part: mp.nstr(part, 30) if isinstance(part, mpf) else list(map(write, part))  # noqa: E731
    return key(*call), write(globals()[call[0]](*call[1]))


if __name__ == "__main__":
    with multiprocessing.Pool() as pool:
        KEPT.write_text(json.dumps(dict(pool.imap(computed, demanded())), indent=1) + "\n")
