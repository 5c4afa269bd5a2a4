"""What holds for every linear operator, against its matrix in float64 NumPy: adjoint, pseudo-inverse, solves, spectrum.

The matrix is made of the images of unit vectors, A(e_i); everything else must agree with it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from score_sde import inverse
from tests.inverse.operators.cases import LINEAR, STRUCTURED, UNSTRUCTURED, image


def batch_of(A, n=3):
    """Some x and v, batches in the default precision."""
    return (jnp.asarray(image((n, *shape), seed)) for seed, shape in enumerate((A.shape, A.measured)))


def matrix_of(A):
    return np.asarray(A.matrix(), np.float64)


def flat(a):
    return np.asarray(a, np.float64).reshape(len(a), -1)


def check_adjoint(x, y, v, u, tolerance):
    """|⟨A x, v⟩ − ⟨x, Aᵀ v⟩| <= tolerance ‖A x‖ ‖v‖."""
    difference = np.abs((flat(y) * flat(v)).sum(1) - (flat(x) * flat(u)).sum(1))
    assert (difference <= tolerance * np.linalg.norm(flat(y), axis=1) * np.linalg.norm(flat(v), axis=1)).all()
    assert y.dtype == u.dtype == x.dtype
    assert (y.shape, u.shape) == (v.shape, x.shape)


RHO, VARIANCE = np.array([0.3, 2.0, 1.0]), np.array([0.05, 1.0, 0.0])


@pytest.mark.parametrize("make", LINEAR.values(), ids=LINEAR.keys())
def test_adjoint_pseudo_inverse_and_solve_are_those_of_the_matrix(make):
    """In float32, under jit, where the operator is an argument."""
    A = make()
    x, v = batch_of(A)

    @jax.jit
    def compute(A, x, v):
        y = A(x)
        right = v.at[2].set(y[2])  # without noise: of something that can be measured
        return A.matrix(), y, A.adjoint(v), A.pinv(v, 1e-4), A(A.pinv(y)), right, A.solve(right, RHO, VARIANCE)

    a, y, u, least, again, right, solved = compute(A, x, v)
    check_adjoint(x, y, v, u, 1e-5)
    a = np.asarray(a, np.float64)
    np.testing.assert_allclose(flat(y), flat(x) @ a.T, atol=1e-5)
    np.testing.assert_allclose(again, y, atol=1e-5 * np.abs(y).max())  # A A⁺ A = A
    exact = flat(v) @ np.linalg.pinv(a, rcond=1e-4).T
    np.testing.assert_allclose(flat(least), exact, atol=3e-5 * np.abs(exact).max())
    for i in range(3 if np.linalg.cond(a) < 100 else 2):  # (A Aᵀ)⁺ loses the digits of its condition
        dense = RHO[i] * a @ a.T + VARIANCE[i] * np.eye(len(a))
        np.testing.assert_allclose(dense @ flat(solved)[i], flat(right)[i], atol=3e-5)


@pytest.mark.parametrize("make", STRUCTURED.values(), ids=STRUCTURED.keys())
def test_the_spectral_form_is_a_singular_value_decomposition(make, x64):
    """In float64: U and V have orthonormal columns and U s Vᵀ = A."""
    A = make()
    x, v = batch_of(A)

    @jax.jit
    def compute(A, x, v):
        svd = A.svd()
        k = svd.s.size
        units = jnp.eye(k).reshape(k, *svd.s.shape)
        parts = svd.s.ravel(), svd.to_x(units), svd.to_y(units), svd.from_x(x), svd.from_y(v)
        return parts, A.matrix(), A(x), A.adjoint(v)

    (s, to_x, to_y, from_x, from_y), a, y, u = compute(A, x, v)
    assert A.structured
    check_adjoint(x, y, v, u, 1e-12)
    s, right, left = np.asarray(s), flat(to_x).T, flat(to_y).T
    np.testing.assert_allclose(left.T @ left, np.eye(len(s)), atol=1e-12)
    np.testing.assert_allclose(right.T @ right, np.eye(len(s)), atol=1e-12)
    np.testing.assert_allclose(left * s @ right.T, a, atol=1e-12)
    np.testing.assert_allclose(flat(from_x), flat(x) @ right, atol=1e-12)
    np.testing.assert_allclose(flat(from_y), flat(v) @ left, atol=1e-12)


@pytest.mark.parametrize("make", UNSTRUCTURED.values(), ids=UNSTRUCTURED.keys())
def test_the_adjoint_in_double_precision(make, x64):
    A = make()
    x, v = batch_of(A)
    y, u = jax.jit(lambda A, x, v: (A(x), A.adjoint(v)))(A, x, v)
    check_adjoint(x, y, v, u, 1e-12)


@pytest.mark.parametrize("make", UNSTRUCTURED.values(), ids=UNSTRUCTURED.keys())
def test_without_closed_form_dense_gives_one(make):
    A = make()
    with pytest.raises(ValueError, match=r"no singular value decomposition in closed form.*dense\(A\)"):
        A.svd()
    full = inverse.dense(A)
    assert not A.structured
    assert full.structured
    np.testing.assert_allclose(full.matrix(), matrix_of(A), atol=1e-6)


def test_each_sample_by_itself_and_gradients():
    """Through a solve: ∂/∂v of |(ρ A Aᵀ + σ² I)⁻¹ v|² is 2 M⁻² v, of each sample's own v."""
    A = inverse.bicubic_downsampling((8, 8, 1), 2)
    a = matrix_of(A)
    _, v = batch_of(A)
    rho = jnp.array([0.5, 1.0, 2.0])
    gradient = jax.grad(lambda v: jnp.sum(A.solve(v, rho, 0.3) ** 2))(v)
    for i in range(3):
        inverse_matrix = np.linalg.inv(float(rho[i]) * a @ a.T + 0.3 * np.eye(len(a)))
        np.testing.assert_allclose(
            flat(gradient)[i], 2 * inverse_matrix @ inverse_matrix @ flat(v)[i], rtol=1e-4, atol=1e-4
        )


def test_compositions_and_stacks_are_products_and_stacks_of_matrices():
    A, B = inverse.average_downsampling((4, 4, 3), 2), inverse.grey((2, 2, 3))
    C = inverse.random_mask((4, 4, 3), 0.5, seed=0)
    np.testing.assert_allclose(matrix_of(B @ A), matrix_of(B) @ matrix_of(A), atol=1e-6)
    np.testing.assert_allclose(
        matrix_of(inverse.stack((A, C))), np.concatenate([matrix_of(A), matrix_of(C)]), atol=1e-6
    )
    assert (B @ A).linear
    assert not (inverse.HDR((2, 2, 3)) @ A).linear


def test_the_jacobian_of_a_linear_operator_is_itself():
    A = inverse.grey((2, 2, 3))
    x, v = batch_of(A)
    y, push, pull = A.linearize(x)
    np.testing.assert_allclose(y, A(x))
    np.testing.assert_allclose(push(2 * x), A(2 * x), atol=1e-6)
    np.testing.assert_allclose(pull(v), A.adjoint(v), atol=1e-6)


def test_seeds_reproduce_and_differ():
    for make in (
        lambda seed: inverse.random_mask((8, 8, 1), 0.5, seed=seed).indices,
        lambda seed: inverse.gaussian_sensing((4,), 3, seed=seed).a,
        lambda seed: inverse.Walsh((8, 8, 1), seed=seed).signs,
        lambda seed: inverse.mri((8, 32, 1), 4, seed=seed).indices,
        lambda seed: inverse.motion_kernel(9, 0.5, seed=seed),
    ):
        np.testing.assert_array_equal(make(3), make(3))
        assert (np.asarray(make(3)) != np.asarray(make(4))).any()
