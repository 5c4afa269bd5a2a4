"""The order of convergence under every SDE, at the solver's own grid, against an independent float64 solution."""

from decimal import Decimal, localcontext

import jax
import numpy as np
import pytest

import score_sde as ss
from score_sde.samplers.exponential import polynomial_weights
from tests.samplers.truth import SDES, exact_ode, latents, mixture

STEPS = (100, 200, 400, 800)
SOLVERS = {
    "ddim": (ss.samplers.ddim, {}, 1),
    "heun": (ss.samplers.heun, {}, 2),
    "multistep 2": (ss.samplers.dpm_solver, {"order": 2}, 2),
    "multistep 3": (ss.samplers.dpm_solver, {"order": 3}, 3),
    "multistep 4": (ss.samplers.dpm_solver, {"order": 4}, 4),
}
OTHERS = {
    "multistep 2, noise": (ss.samplers.dpm_solver, {"order": 2, "form": "noise"}, 2),
    "multistep 3, data": (ss.samplers.dpm_solver, {"order": 3, "form": "data"}, 3),
    "multistep 5": (ss.samplers.dpm_solver, {"order": 5, "form": "data"}, 5),
    "unipc 1": (ss.samplers.unipc, {"order": 1}, 2),
    "unipc 2": (ss.samplers.unipc, {"order": 2}, 3),
    "euler": (ss.samplers.reverse_sde, {"stochasticity": 0.0}, 1),
    "reverse heun": (ss.samplers.reverse_sde, {"stochasticity": 0.0, "rule": "heun"}, 2),
}


pytestmark = pytest.mark.usefixtures("x64")


def errors(name: str, sampler, options: dict, steps=STEPS) -> np.ndarray:
    sde = SDES[name]
    z = latents(sde, 24)
    exact = exact_ode(name, z, sde.t_max_sampling, sde.t_min_sampling)
    model, key = mixture().denoiser(sde), jax.random.key(0)
    found = [sampler(model, key, 24, (2,), steps=n, x_init=z, final="none", **options) for n in steps]
    return np.array([np.abs(np.asarray(out.x) - exact).mean() for out in found])


def slope(error: np.ndarray) -> float:
    return -np.polyfit(np.log(STEPS), np.log(error), 1)[0]


# Every solver under VP and VE, the third order under every SDE; `make test-all` has the rest.
PAIRS = [
    pytest.param(name, solver, marks=[] if name in ("VP", "VE") or solver == "multistep 3" else pytest.mark.slow)
    for name in SDES
    for solver in SOLVERS
]


@pytest.mark.parametrize(("name", "solver"), PAIRS)
def test_order_under_every_sde(name, solver):
    sampler, options, nominal = SOLVERS[solver]
    error = errors(name, sampler, options)
    assert slope(error) >= nominal - 0.2, error


@pytest.mark.parametrize("solver", OTHERS)
def test_order_of_the_variants(solver):
    sampler, options, nominal = OTHERS[solver]
    error = errors("VP", sampler, options)
    assert slope(error) >= nominal - 0.2, error


def test_published_third_order_has_second():
    error = errors("VE", ss.samplers.dpm_solver, {"order": 3, "coefficients": "published"})
    assert 1.8 <= slope(error) <= 2.4, error
    exact = errors("VE", ss.samplers.dpm_solver, {"order": 3})
    assert exact[-1] < 0.2 * error[-1]


@pytest.mark.parametrize("rate", [1.0, -1.0, 2.0])
@pytest.mark.parametrize("h", [1e-4, 0.1, 1.0, 14.0])
def test_weights_solve_the_vandermonde_system(rate, h):
    nodes = h * np.array([0.0, -1.0, -1.7, -3.1])
    w = polynomial_weights(nodes, np.zeros(()), np.array(h), rate)
    with localcontext(prec=80):
        for k in range(4):  # ∫_0^h rate e^{−rate(h−u)} u^k du as a series, in 80 digits
            r, H = Decimal(rate), Decimal(h)
            term, moment = r * H ** (k + 1) / (k + 1), Decimal(0)
            for j in range(250):
                moment += term
                term *= -r * H / (k + j + 2)
            scale = np.abs(w) @ np.abs(nodes) ** k
            assert abs(w @ nodes**k - float(moment)) < 1e-13 * scale + 1e-30


def test_orders_cost_what_they_say():
    model, key = mixture().denoiser(ss.VP()), jax.random.key(0)
    for order, extra in {3: 0, 4: 1, 6: 6}.items():
        out = ss.samplers.dpm_solver(model, key, 2, (2,), steps=20, order=order, final="none")
        assert int(out.calls) == 20 + extra
        assert (np.asarray(out.nfe) == 20 + extra).all()
    assert int(ss.samplers.heun(model, key, 2, (2,), steps=5).calls) == 11
