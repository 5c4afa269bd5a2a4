"""Exact coefficients of the exponential solvers.

With ℓ = log(α/σ), half the log-SNR, the exact solution from t to s is (Lu et al. 2022, eq. 3.4, and 2022b, eq. 9;
with noise, Xue et al. 2023, eq. 9; τ = 0 is the probability flow, τ = 1 the reverse SDE; τ² + 1 =: rate)

    data   x_s = σ_s/σ_t e^{−τ² h} x_t + α_s ∫ rate e^{−rate (ℓ_s − ℓ)} x̂(ℓ) dℓ + σ_s √(1 − e^{−2 τ² h}) z
    noise  x_s = α_s/α_t x_t           − σ_s ∫      e^{ℓ_s − ℓ}         ε̂(ℓ) dℓ

over ℓ from ℓ_t to ℓ_s = ℓ_t + h. The noise form is the same integral with rate −1. Interpolating the known x̂ (or ε̂) by
a polynomial turns the integral into a weighted sum of them; the weights depend only on the grid.
"""

import numpy as np
from jaxtyping import Array, Float

AnyArray = Array | np.ndarray  # NumPy if the grid is concrete, traced otherwise

# Gauss–Legendre integrates polynomials of degree 63 exactly, and e^{−u} u^5 over a step of length 20 to the last digit.
POINTS, WEIGHTS = (a / 2 for a in np.polynomial.legendre.leggauss(32))
POINTS = POINTS + 0.5  # on [0, 1]


def polynomial_weights(
    nodes: Float[AnyArray, "*rows q"], start: Float[AnyArray, "*rows"], end: Float[AnyArray, "*rows"], rate: float
) -> Float[AnyArray, "*rows q"]:
    """w_j = ∫_start^end rate e^{−rate (end − ℓ)} L_j(ℓ) dℓ, with the Lagrange polynomials L_j on the q nodes.

    This is the solution of the Vandermonde system Σ_j w_j ℓ_j^k = ∫ rate e^{−rate (end − ℓ)} ℓ^k dℓ, k < q.
    """
    xp = nodes.__array_namespace__()
    h = (end - start)[..., None]
    l = start[..., None] + h * POINTS
    integrand = rate * h * WEIGHTS * xp.exp(-rate * h * (1 - POINTS))
    columns = []
    for j in range(nodes.shape[-1]):
        basis = integrand
        for k in range(nodes.shape[-1]):
            if k != j:
                node_j, node_k = nodes[..., j, None], nodes[..., k, None]
                basis = basis * (l - node_k) / (node_j - node_k)
        columns.append(xp.sum(basis, axis=-1))
    return xp.stack(columns, axis=-1)


def published_weights(
    nodes: Float[AnyArray, "*rows q"], start: Float[AnyArray, "*rows"], end: Float[AnyArray, "*rows"]
) -> Float[AnyArray, "*rows q"]:
    """The published weights of DPM-Solver++(1M, 2M, 3M) (Lu et al. 2022b, and its code), nodes from new to old.

    2M replaces ∫ e^{−(h−u)} u/h du = 1 + (e^{−h} − 1)/h by its limit for small h, (1 − e^{−h})/2. 3M halves the weight
    of the second difference, which leaves second order. For comparison; ``polynomial_weights`` has full order.
    """
    xp = nodes.__array_namespace__()
    h = end - start
    value = -xp.expm1(-h)
    if nodes.shape[-1] == 1:
        return value[..., None]
    r0 = (nodes[..., 0] - nodes[..., 1]) / h
    zero = xp.zeros_like(h)
    first = xp.stack([1 / r0, -1 / r0, zero], axis=-1)  # D1_0, the first divided difference, as weights of the nodes
    unit = xp.stack([zero + 1, zero, zero], axis=-1)
    if nodes.shape[-1] == 2:
        return (value[..., None] * (unit + first / 2))[..., :2]
    r1 = (nodes[..., 1] - nodes[..., 2]) / h
    older = xp.stack([zero, 1 / r1, -1 / r1], axis=-1)
    share = (r0 / (r0 + r1))[..., None]
    slope = first + share * (first - older)
    curve = (first - older) / (r0 + r1)[..., None]
    phi_1, phi_2 = 1 - value / h, 0.5 - (h - value) / h**2
    return value[..., None] * unit + phi_1[..., None] * slope + phi_2[..., None] * curve
