"""Expectations against quadrature, variances against theory, minimisers against closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.losses.times import span
from tests.conftest import SDES

STD, DIMENSIONS = 0.6, 2
TRUTH = ss.analytic.GaussianMixture(jnp.zeros((1, DIMENSIONS)), [STD])
TIMES = {
    "uniform": ss.losses.Uniform(),
    "log-snr": ss.losses.LogSNRUniform(),
    "angle": ss.losses.AngleUniform(),
    "log-normal": ss.losses.LogNormal(-0.5, 2.0),
    "logit-normal": ss.losses.LogitNormal(0.0, 1.5),
}
WEIGHTINGS = {
    "score matching": ss.losses.score_matching,
    "likelihood": ss.losses.likelihood,
    "min-snr": ss.losses.min_snr(5.0),
    "truncated snr": ss.losses.truncated_snr,
    "SNR + 1": ss.losses.snr_plus_one,
    "flow matching": ss.losses.flow_matching,
    "edm": ss.losses.edm(0.5, -0.5, 2.0),
}


def known_error(sde, t):
    """c(t): what the model below adds to the exact noise. It vanishes with α, which keeps every integral finite."""
    return sde.alpha(t) * (0.5 + 0.3 * jnp.sin(5 * t / sde.t_max))


def imperfect(sde):
    """The exact denoiser of N(0, STD²) with a known error of the noise on top."""
    exact = TRUTH.denoiser(sde)

    def v(x, t, condition):
        x0, noise = exact.predict(x, t)
        c = known_error(sde, t)[:, None]
        ratio = (sde.sigma(t) / sde.alpha(t))[:, None]
        return ss.prediction.encode("v", sde, x0 - ratio * c, noise + c, t)

    return ss.FunctionDenoiser(sde, v, predicts="v")


def integrand(sde, weighting, t):
    """w(t) E‖ε̂ − ε‖²/D in closed form: the posterior variance of the noise, α² s²/V, plus c²."""
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    posterior = alpha**2 * STD**2 / (alpha**2 * STD**2 + sigma**2)
    return weighting(sde, t) * (posterior + known_error(sde, t) ** 2)


def mean_over_times(sde, function):
    """∫ function dt/(t_end − t_min) in float64: midpoints, ever denser towards both ends."""
    first, last = (float(end) for end in span(sde))
    towards = np.geomspace(1e-10, 0.5, 20_000)
    edges = first + (last - first) * np.unique(np.concatenate([[0.0], towards, 1 - towards, [1.0]]))
    values = np.asarray(function(jnp.asarray((edges[1:] + edges[:-1]) / 2)))
    return float(np.sum(values * np.diff(edges)) / (last - first))


@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES.keys())
def test_densities_are_densities_and_belong_to_their_quantiles(sde, times, x64):
    first, last = (float(end) for end in span(sde))
    total = mean_over_times(sde, lambda t: times.density(sde, t)) * (last - first)
    assert total == pytest.approx(1, rel=1e-4)
    u = jnp.linspace(0.02, 0.98, 25)
    slope = jax.vmap(jax.grad(lambda u: times.quantile(sde, u)))(u)
    np.testing.assert_allclose(1 / slope, times.density(sde, times.quantile(sde, u)), rtol=1e-5)
    np.testing.assert_allclose(times.quantile(sde, jnp.array([0.0, 1.0])), (first, last), rtol=1e-3)


@pytest.mark.parametrize("name", ["VP", "VE", "Cosine", "EDM", "FlowMatching"])
def test_every_pair_estimates_the_same_integral(name):
    """The mean over 20,000 draws lies within 5 standard errors of the quadrature.

    The standard error is that of theory, I √(2R/n): R = E_q[(h/q)²]/I² by quadrature, and 2 as the error's square is
    that of two Gaussians at most. Pairs whose R is vast (weights that q starves) are left to the other tests.
    """
    sde, n, estimated = SDES[name], 20_000, 0
    x0 = TRUTH.sample(jax.random.key(1), n)
    keys = jax.random.split(jax.random.key(2), n)
    model = imperfect(sde)
    for (w, weighting), (q, times) in itertools.product(WEIGHTINGS.items(), TIMES.items()):
        with jax.enable_x64(True):
            length = float(span(sde)[1] - span(sde)[0])
            exact = mean_over_times(sde, lambda t: integrand(sde, weighting, t))  # noqa: B023
            second = mean_over_times(
                sde,
                lambda t: integrand(sde, weighting, t) ** 2 / (times.density(sde, t) * length),  # noqa: B023
            )
        ratio = second / exact**2
        if ratio < 200:
            losses = ss.losses.denoising(model, x0, keys, weighting=weighting, times=times)
            assert abs(float(losses.mean()) / exact - 1) < 5 * np.sqrt(2 * ratio / n), (w, q)
            estimated += 1
    assert estimated >= 14


def test_importance_sampling_reduces_the_variance_as_theory_says(x64):
    """Likelihood weighting on VP. The variance over times is E_q[(h/q)²] − I², h the integrand."""
    sde, weighting = ss.VP(), ss.losses.likelihood
    first, last = (float(end) for end in span(sde))

    def h(t):
        return integrand(sde, weighting, t) / (last - first)

    def variance(times):
        second = mean_over_times(sde, lambda t: h(t) ** 2 / times.density(sde, t)) * (last - first)
        return second - (mean_over_times(sde, h) * (last - first)) ** 2

    def draws(times):
        t = times.quantile(sde, jax.random.uniform(jax.random.key(0), (400_000,)))
        return h(t) / times.density(sde, t)

    uniform, importance = ss.losses.Uniform(), ss.losses.LogSNRUniform()
    factor = variance(uniform) / variance(importance)
    assert factor > 20
    np.testing.assert_allclose(draws(importance).var(), variance(importance), rtol=0.05)
    # The uniform estimate is heavy-tailed: its own sample variance is known to a factor only.
    assert draws(uniform).var() / draws(importance).var() > factor / 3


@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES.keys())
def test_stratification_reduces_the_variance_as_theory_says(times):
    """The variance of the mean of n is Var(h)/n at random, and the mean variance within a part over n stratified."""
    sde, n, repeats = ss.VP(), 64, 4000

    def h(u):
        return jnp.sin(3 * times.quantile(sde, u))

    u = jax.random.uniform(jax.random.key(0), (repeats, n))
    parts = (jnp.arange(n) + u) / n
    np.testing.assert_allclose(
        ss.losses.Stratified(times).quantile(sde, u[0]), times.quantile(sde, parts[0]), rtol=1e-6
    )
    means = jnp.mean(h(parts.ravel()).reshape(repeats, n), axis=1)
    fine = h((jnp.arange(n * 500) + 0.5) / (n * 500)).reshape(n, 500)
    np.testing.assert_allclose(means.var(), fine.var(axis=1).mean() / n, rtol=0.15)
    np.testing.assert_allclose(means.mean(), fine.mean(), atol=1e-3)
    assert means.var() < fine.var() / n / 100


def test_stratification_over_devices_is_that_of_the_whole_batch():
    u = jax.random.uniform(jax.random.key(0), (4, 3))
    sharded = ss.losses.Stratified(axis_name="data")
    parts = jax.vmap(lambda u: sharded.quantile(ss.VP(), u), axis_name="data")(u)
    np.testing.assert_allclose(parts.ravel(), ss.losses.Stratified().quantile(ss.VP(), u.ravel()), rtol=1e-6)


@pytest.mark.parametrize("weighting", WEIGHTINGS.values(), ids=WEIGHTINGS.keys())
def test_the_minimiser_is_the_posterior_mean(weighting):
    """Over all linear-Gaussian denoisers (those of N(m, s²)) the loss is least at the data's own m and s."""
    sde = ss.VP()
    x0 = 0.4 + 0.7 * jax.random.normal(jax.random.key(0), (20_000, 1))
    keys = jax.random.split(jax.random.key(1), len(x0))
    times = ss.losses.Stratified(ss.losses.LogSNRUniform())

    def loss(parameters):
        family = ss.analytic.GaussianMixture(parameters[0].reshape(1, 1), jnp.exp(parameters[1]).reshape(1))
        return ss.losses.denoising(family.denoiser(sde), x0, keys, weighting=weighting, times=times).mean()

    gradient, hessian = jax.jit(jax.grad(loss)), jax.jit(jax.hessian(loss))
    parameters = jnp.array([0.0, 0.0])
    for _ in range(15):  # damped Newton
        step = jnp.linalg.solve(hessian(parameters), gradient(parameters))
        parameters = parameters - jnp.clip(step, -0.3, 0.3)
    assert float(jnp.abs(gradient(parameters)).max()) < 1e-3 * float(loss(parameters))
    assert float(parameters[0]) == pytest.approx(float(x0.mean()), abs=0.05)
    assert float(jnp.exp(parameters[1])) == pytest.approx(float(x0.std()), abs=0.05)


def test_edm_with_its_own_times_is_the_papers_estimate():
    """λ(σ) ‖D(x) − y‖², σ log-normal, and nothing divided (Karras et al. 2022, eq. 2 and Table 1)."""
    sde, s = ss.EDM(), 0.5
    model = imperfect(sde)
    x0, keys = TRUTH.sample(jax.random.key(1), 64), jax.random.split(jax.random.key(2), 64)
    ours = ss.losses.denoising(model, x0, keys, weighting=ss.losses.edm(s), times=ss.losses.LogNormal())
    u = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 0)))(keys)
    noise = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 1), (DIMENSIONS,)))(keys)
    sigma = ss.losses.LogNormal().quantile(sde, u)
    squared = jnp.mean((model.denoise(x0 + sigma[:, None] * noise, sigma) - x0) ** 2, axis=1)
    kept = ss.losses.LogNormal()._span(sde)  # the share of the log-normal that lies between t_min and t_max
    np.testing.assert_allclose(ours, (sigma**2 + s**2) / (sigma * s) ** 2 * squared, rtol=2e-3)
    assert float(kept[1] - kept[0]) > 0.999
    assert float(jnp.log(sigma).mean()) == pytest.approx(-1.2, abs=0.5)


def test_an_example_keeps_its_loss_wherever_it_lies_in_a_batch():
    model, x0 = imperfect(ss.VP()), TRUTH.sample(jax.random.key(1), 8)
    keys = jax.random.split(jax.random.key(2), 8)
    whole = ss.losses.denoising(model, x0, keys)
    halves = [ss.losses.denoising(model, x0[half], keys[half]) for half in (slice(0, 3), slice(3, 8))]
    np.testing.assert_allclose(jnp.concatenate(halves), whole, rtol=1e-5)
    order = jnp.array([3, 1, 7, 0, 2, 6, 5, 4])
    np.testing.assert_allclose(ss.losses.denoising(model, x0[order], keys[order]), whole[order], rtol=1e-5)


def test_labels_are_dropped_at_the_stated_rate_by_example():
    keys = jax.random.split(jax.random.key(0), 10_000)
    condition = {"label": jnp.arange(10_000) % 10, "text": jnp.ones((10_000, 3))}
    out = ss.losses.drop_condition(condition, keys, 0.2, {"label": 10, "text": 0.0})
    dropped = np.asarray(out["label"] == 10)
    assert abs(dropped.mean() - 0.2) < 5 * np.sqrt(0.2 * 0.8 / 10_000)
    np.testing.assert_array_equal(out["label"][~dropped], condition["label"][~dropped])
    np.testing.assert_array_equal((out["text"] == 0).all(1), dropped)  # all leaves of an example at once
    alone = ss.losses.drop_condition({"label": condition["label"][5:9]}, keys[5:9], 0.2, {"label": 10})
    np.testing.assert_array_equal(alone["label"], out["label"][5:9])


@pytest.mark.parametrize("sde", [ss.VP(), ss.VE()], ids=["DDPM", "SMLD"])
def test_discrete_losses_average_over_the_chain(sde):
    """The exact score leaves ‖σ_k s + ε‖² = α² s²/V, on average over the levels."""
    x0 = TRUTH.sample(jax.random.key(1), 20_000)
    keys = jax.random.split(jax.random.key(2), len(x0))
    losses = ss.losses.discrete(TRUTH.denoiser(sde), x0, keys)
    t = np.arange(sde.num_scales) / (sde.num_scales - 1)
    alpha, sigma = np.asarray(sde.alpha(t)), np.asarray(sde.sigma(t))
    expected = np.mean(alpha**2 * STD**2 / (alpha**2 * STD**2 + sigma**2))
    assert abs(float(losses.mean()) - expected) < 5 * float(losses.std()) / np.sqrt(len(x0)) + 0.01 * expected
    half = ss.losses.discrete(TRUTH.denoiser(sde), x0, keys, reduce="half_sum")
    np.testing.assert_allclose(half, losses * DIMENSIONS / 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, x, k: ss.losses.denoising(m, x.astype(int), k), ["x0"]),
        (lambda m, x, k: ss.losses.denoising(m, x, k[:3]), ["keys", "3"]),
        (lambda m, x, k: ss.losses.denoising(m, x, k, reduce="sum"), ["reduce"]),
        (lambda m, x, k: ss.losses.discrete(TRUTH.denoiser(ss.SubVP()), x, k), ["SubVP", "no discrete chain"]),
        (lambda m, x, k: ss.losses.min_snr(0.0), ["gamma = 0.0"]),
        (lambda m, x, k: ss.losses.edm(-1.0), ["sigma_data = -1.0"]),
        (lambda m, x, k: ss.losses.LogNormal(std=0.0), ["std = 0.0"]),
        (lambda m, x, k: ss.losses.drop_condition({"label": k}, k, 1.5, {"label": 0}), ["probability = 1.5"]),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises((ValueError, TypeError)) as error:
        call(imperfect(ss.VP()), jnp.ones((4, DIMENSIONS)), jax.random.split(jax.random.key(0), 4))
    for word in words:
        assert word in str(error.value)
