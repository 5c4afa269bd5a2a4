"""The ground truth itself, against quadrature, scipy and differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import score_sde as ss
from score_sde.denoiser import Denoiser

COVARIANCE = np.array([[1.0, 0.6, 0.1], [0.6, 0.5, -0.1], [0.1, -0.1, 0.3]])
MAKE = {
    "mixture": lambda: ss.analytic.GaussianMixture(
        [[1.0, -0.5], [-0.5, 0.8], [0.0, 0.0]], [0.3, 0.2, 0.5], [0.5, 0.3, 0.2]
    ),
    "full": lambda: ss.analytic.Gaussian([0.5, -0.5, 1.0], COVARIANCE),
    "low rank": lambda: ss.analytic.Gaussian([0.5, -0.5, 1.0], factors=[[1.0, 0.3, -0.2]], std=0.2),
    "posterior": lambda: ss.analytic.GaussianMixture([[1.0, -0.5], [-0.5, 0.8]], [0.3, 0.5]).posterior(
        [[1.0, 0.4]], [0.2], 0.3
    ),
}
MIXTURE, FULL, LOW_RANK, _ = (make() for make in MAKE.values())


@pytest.fixture(params=MAKE.values(), ids=MAKE.keys())
def truth(request):
    return request.param()


@pytest.fixture(params=MAKE.values(), ids=MAKE.keys())
def truth64(request, x64):
    """In double precision from the start."""
    return request.param()


def states(truth, sde, t, n=8):
    keys = jax.random.split(jax.random.key(1), 2)
    x0 = truth.sample(keys[0], n)
    return sde.perturb(x0, t, jax.random.normal(keys[1], x0.shape))


def some_times(sde):
    return [sde.t_min_sampling, 0.1 * sde.t_max, 0.5 * sde.t_max, sde.t_max_sampling]


def test_score_is_the_gradient_of_the_log_density(truth64, sde):
    truth = truth64
    model = truth.denoiser(sde)
    for t in some_times(sde):
        x = states(truth, sde, t)
        gradient = jax.grad(lambda x: truth.log_prob(x, sde=sde, t=t).sum())(x)  # noqa: B023
        scale = float(jnp.abs(gradient).max())
        np.testing.assert_allclose(model.score(x, t), gradient, atol=1e-9 * scale)


def test_score_is_the_gradient_in_float32(truth, sde):
    x, t = states(truth, sde, 0.3 * sde.t_max), 0.3 * sde.t_max
    gradient = jax.grad(lambda x: truth.log_prob(x, sde=sde, t=t).sum())(x)
    np.testing.assert_allclose(truth.denoiser(sde).score(x, t), gradient, atol=1e-5 * float(jnp.abs(gradient).max()))


def test_score_of_the_data_themselves(truth64):
    """At t = 0 of VP, where σ = 0."""
    x = truth64.sample(jax.random.key(0), 5)
    gradient = jax.grad(lambda x: truth64.log_prob(x).sum())(x)
    np.testing.assert_allclose(truth64.denoiser(ss.VP()).score(x, 0.0), gradient, rtol=1e-8)


def test_posterior_mean_obeys_tweedie(truth64, sde):
    """x̂ = (x + σ² ∇ log p_t(x))/α."""
    truth = truth64
    for t in some_times(sde):
        x = states(truth, sde, t)
        score = jax.grad(lambda x: truth.log_prob(x, sde=sde, t=t).sum())(x)  # noqa: B023
        tweedie = (x + sde.sigma(t) ** 2 * score) / sde.alpha(t)
        np.testing.assert_allclose(truth.denoiser(sde).denoise(x, t), tweedie, atol=1e-8)


def test_posterior_covariance_obeys_tweedies_second_formula(truth64, sde):
    """The closed form against (σ²/α) ∂x̂/∂x, which is what a denoiser without one uses."""
    truth = truth64
    model = truth.denoiser(sde)
    for t in some_times(sde):
        x = states(truth, sde, t)
        v = jax.random.normal(jax.random.key(7), x.shape, jnp.float64)
        mean, covariance = model.posterior(x, t)
        np.testing.assert_allclose(mean, model.denoise(x, t), rtol=1e-12)
        np.testing.assert_allclose(covariance(v), Denoiser.posterior(model, x, t)[1](v), atol=1e-8)


def test_posterior_by_quadrature(x64):
    """Bayes' rule on a grid in one dimension: no formula of ours."""
    mixture = ss.analytic.GaussianMixture(
        jnp.array([[-1.0], [0.7]], jnp.float64), jnp.array([0.3, 0.15], jnp.float64), jnp.array([0.4, 0.6], jnp.float64)
    )
    grid = np.linspace(-4, 4, 8001)
    prior = 0.4 * multivariate_normal.pdf(grid, -1.0, 0.09) + 0.6 * multivariate_normal.pdf(grid, 0.7, 0.0225)
    for sde, t in ((ss.VP(), 0.3), (ss.VE(), 0.5), (ss.FlowMatching(), 0.6)):
        alpha, sigma = float(sde.alpha(t)), float(sde.sigma(t))
        for x in (-0.8, 0.1, 0.9):
            joint = prior * np.exp(-((x - alpha * grid) ** 2) / (2 * sigma**2)) / np.sqrt(2 * np.pi * sigma**2)
            evidence = np.trapezoid(joint, grid)
            mean = np.trapezoid(joint * grid, grid) / evidence
            variance = np.trapezoid(joint * (grid - mean) ** 2, grid) / evidence
            at = jnp.array([[x]], jnp.float64)
            ours, covariance = mixture.denoiser(sde).posterior(at, t)
            np.testing.assert_allclose(ours[0, 0], mean, rtol=1e-6)
            np.testing.assert_allclose(covariance(jnp.ones_like(at))[0, 0], variance, rtol=1e-6)
            np.testing.assert_allclose(mixture.log_prob(at, sde=sde, t=t)[0], np.log(evidence), rtol=1e-6)


def test_log_density_is_scipys(sde):
    x = states(FULL, sde, 0.3 * sde.t_max)
    alpha, sigma = float(sde.alpha(0.3 * sde.t_max)), float(sde.sigma(0.3 * sde.t_max))
    covariance = alpha**2 * COVARIANCE + sigma**2 * np.eye(3)
    expected = multivariate_normal.logpdf(x, alpha * np.array([0.5, -0.5, 1.0]), covariance)
    np.testing.assert_allclose(FULL.log_prob(x, sde=sde, t=0.3 * sde.t_max), expected, rtol=1e-4)
    np.testing.assert_allclose(FULL.log_prob(x), multivariate_normal.logpdf(x, [0.5, -0.5, 1.0], COVARIANCE), rtol=1e-4)
    points = x[:, :2]
    log_components = [
        multivariate_normal.logpdf(points, m, s**2) for m, s in zip(MIXTURE.means, MIXTURE.stds, strict=True)
    ]
    expected = logsumexp(np.stack(log_components), axis=0, b=np.asarray(MIXTURE.weights)[:, None])
    np.testing.assert_allclose(MIXTURE.log_prob(points), expected, rtol=1e-4)


def test_low_rank_is_the_full_covariance_it_stands_for(sde):
    factors = np.array([[1.0, 0.3, -0.2]])
    full = ss.analytic.Gaussian([0.5, -0.5, 1.0], factors.T @ factors + 0.04 * np.eye(3))
    for t in some_times(sde):
        x = states(full, sde, t)
        for a, b in zip(LOW_RANK.denoiser(sde).predict(x, t), full.denoiser(sde).predict(x, t), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-4)
        ours = LOW_RANK.log_prob(x, sde=sde, t=t)
        np.testing.assert_allclose(ours, full.log_prob(x, sde=sde, t=t), rtol=1e-4, atol=1e-3)


def test_one_component_is_an_isotropic_gaussian(sde):
    mixture = ss.analytic.GaussianMixture([[0.5, -1.0]], [0.4], [1.0])
    gaussian = ss.analytic.Gaussian([0.5, -1.0], 0.16 * np.eye(2))
    t = 0.2 * sde.t_max
    x = states(mixture, sde, t)
    both = zip(mixture.denoiser(sde).predict(x, t), gaussian.denoiser(sde).predict(x, t), strict=True)
    for a, b in both:
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_samples_have_the_stated_moments(truth):
    x = np.asarray(truth.sample(jax.random.key(0), 40_000))
    if isinstance(truth, ss.analytic.GaussianMixture):
        w, m, s = (np.asarray(a) for a in (truth.weights, truth.means, truth.stds))
        mean = w @ m
        covariance = (m - mean).T @ np.diag(w) @ (m - mean) + (w @ s**2) * np.eye(2)
    elif isinstance(truth, ss.analytic.FullMixture):
        mean, covariance = np.asarray(truth.mean), np.asarray(truth.covariance)
    else:
        mean = np.array([0.5, -0.5, 1.0])
        factors = np.array([[1.0, 0.3, -0.2]])
        covariance = COVARIANCE if len(truth.variances) == 3 else factors.T @ factors + 0.04 * np.eye(3)
    np.testing.assert_allclose(x.mean(0), mean, atol=5 * np.sqrt(covariance.max() / 40_000))
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=8 * covariance.max() / np.sqrt(40_000))


def test_a_gaussian_on_a_subspace(sde):
    """Its samples lie on the line, and x̂ lies there for any x and t."""
    line = ss.analytic.Gaussian([1.0, 0.0], factors=[[3.0, 4.0]])
    normal = jnp.array([-0.8, 0.6])
    for points in (line.sample(jax.random.key(0), 9), line.denoiser(sde).denoise(3 * jnp.ones((2, 2)), 0.5)):
        np.testing.assert_allclose((points - jnp.array([1.0, 0.0])) @ normal, 0, atol=1e-5)
    with pytest.raises(ValueError, match="subspace"):
        line.log_prob(jnp.ones((1, 2)))


def test_images_are_as_good_as_vectors(sde):
    means = jax.random.normal(jax.random.key(0), (3, 12))
    flat = ss.analytic.GaussianMixture(means, [0.1, 0.5, 1.0])
    image = ss.analytic.GaussianMixture(means.reshape(3, 2, 3, 2), [0.1, 0.5, 1.0])
    x = states(flat, sde, 0.4 * sde.t_max)
    as_image = x.reshape(-1, 2, 3, 2)
    score = image.denoiser(sde).score(as_image, 0.4 * sde.t_max).reshape(x.shape)
    np.testing.assert_allclose(score, flat.denoiser(sde).score(x, 0.4 * sde.t_max), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(image.log_prob(as_image), flat.log_prob(x), rtol=1e-5)


def test_a_label_restricts_to_one_component(sde):
    x, t = states(MIXTURE, sde, 0.3 * sde.t_max), 0.3 * sde.t_max
    alone = ss.analytic.GaussianMixture(MIXTURE.means[1:2], MIXTURE.stds[1:2], [1.0])
    label = {"label": jnp.full(len(x), 1)}
    model = MIXTURE.denoiser(sde)
    np.testing.assert_allclose(model.score(x, t, label), alone.denoiser(sde).score(x, t), rtol=1e-5)
    np.testing.assert_allclose(
        MIXTURE.log_prob(x, sde=sde, t=t, condition=label), alone.log_prob(x, sde=sde, t=t), rtol=1e-5
    )
    nothing = {"label": jnp.full(len(x), -1)}
    np.testing.assert_allclose(model.score(x, t, nothing), model.score(x, t), rtol=1e-6)
    points, labels = MIXTURE.sample_labelled(jax.random.key(0), 4000)
    np.testing.assert_allclose(points[labels == 1].mean(0), MIXTURE.means[1], atol=0.05)


def test_it_passes_through_jit_and_vmap_as_data():
    x = jnp.ones((4, 2))
    jitted = jax.jit(lambda model, x, t: model.velocity(x, t))
    model = MIXTURE.denoiser(ss.VP())
    np.testing.assert_allclose(jitted(model, x, 0.5), model.velocity(x, 0.5), rtol=1e-5)
    each = jax.vmap(lambda x, t: model.velocity(x[None], t)[0])(x, jnp.full(4, 0.5))
    np.testing.assert_allclose(each, model.velocity(x, 0.5), rtol=1e-5)


@pytest.mark.parametrize("toy", [ss.analytic.moons, ss.analytic.checkerboard, ss.analytic.swiss_roll])
def test_toys_fill_the_unit_square_and_follow_their_key(toy):
    x = np.asarray(toy(jax.random.key(0), 4000))
    assert x.shape == (4000, 2)
    assert np.abs(x).max() < 1.4
    assert x.std(0).min() > 0.3
    np.testing.assert_array_equal(x, toy(jax.random.key(0), 4000))
    assert not np.array_equal(x, toy(jax.random.key(1), 4000))


def test_checkerboard_is_uniform_over_its_dark_cells():
    x = np.asarray(ss.analytic.checkerboard(jax.random.key(0), 16_000))
    cell = np.floor((x + 1) * 2).astype(int)
    assert np.all(cell.sum(1) % 2 == 0)
    counts = np.array([np.sum(np.all(cell == [i, j], axis=1)) for i in range(4) for j in range(4) if (i + j) % 2 == 0])
    assert counts.sum() == 16_000
    np.testing.assert_allclose(counts, 2000, atol=5 * np.sqrt(2000))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ss.analytic.GaussianMixture([[0.0], [1.0]], [0.1, 0.1], [0.5, 0.6]), ["weights", "1.1"]),
        (lambda: ss.analytic.GaussianMixture([[0.0], [1.0]], [0.1], [0.5, 0.5]), ["stds", "(1,)", "(2,)"]),
        (lambda: ss.analytic.GaussianMixture([[0.0], [1.0]], [0.1, -0.1]), ["stds", "negative"]),
        (lambda: ss.analytic.GaussianMixture([[0.0], [1.0]], [0.1, 0.1], [1.5, -0.5]), ["weights", "negative"]),
        (lambda: ss.analytic.Gaussian([0.0, 0.0], np.eye(3)), ["covariance", "(3, 3)", "(2, 2)"]),
        (lambda: ss.analytic.Gaussian([0.0, 0.0], [[1.0, 2.0], [0.0, 1.0]]), ["symmetric"]),
        (lambda: ss.analytic.Gaussian([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]), ["negative eigenvalue"]),
        (lambda: ss.analytic.Gaussian([0.0, 0.0]), ["covariance or factors"]),
        (lambda: ss.analytic.Gaussian([0.0, 0.0], factors=[[1.0]]), ["factors", "(1, 1)"]),
        (lambda: MIXTURE.log_prob(jnp.ones((2, 3))), ["(2, 3)", "(2,)"]),
        (lambda: MIXTURE.log_prob(jnp.ones((2, 2)), t=0.5), ["sde", "t"]),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises((ValueError, TypeError)) as error:
        make()
    for word in words:
        assert word in str(error.value)
