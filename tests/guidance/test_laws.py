"""The laws of guided samples: right at w = 0 and w = 1, and how far from the tilted density at another w."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde import guidance as g
from score_sde import inverse
from tests.guidance.exact import BAD, GOOD, NULL, Exact

SDE = ss.VP()
GUIDED = {  # what w = 0 and w = 1 are: a mixture, and the component, or all
    "classifier_free": (lambda w: g.classifier_free(GOOD.denoiser(SDE), w, null=NULL), (GOOD, None), (GOOD, 1)),
    "classifier": (lambda w: g.classifier(GOOD.denoiser(SDE), Exact(SDE), w), (GOOD, None), (GOOD, 1)),
    "auto": (lambda w: g.auto(GOOD.denoiser(SDE), BAD.denoiser(SDE), w), (BAD, 1), (GOOD, 1)),
    "projected": (lambda w: g.projected(GOOD.denoiser(SDE), w, null=NULL, eta=1.0), (GOOD, None), (GOOD, 1)),
}


def moments(mixture, k):
    """Mean and covariance of a component, or of the mixture."""
    means, stds, weights = (np.asarray(a, np.float64) for a in (mixture.means, mixture.stds, mixture.weights))
    if k is not None:
        return means[k], stds[k] ** 2 * np.eye(2)
    mean = weights @ means
    spread = means - mean
    return mean, (weights @ stds**2) * np.eye(2) + np.einsum("k,ki,kj->ij", weights, spread, spread)


@pytest.mark.parametrize("name", GUIDED)
def test_scales_of_zero_and_one_have_the_right_law(name):
    make, *laws = GUIDED[name]
    n, condition = 4000, {"label": jnp.ones(4000, int)}
    for w, law in zip((0.0, 1.0), laws, strict=True):
        x = np.asarray(
            ss.samplers.dpm_solver(make(w), jax.random.key(1), n, (2,), steps=15, condition=condition).x, np.float64
        )
        mean, covariance = moments(*law)
        error = np.sqrt(np.diag(covariance) / n)
        np.testing.assert_array_less(np.abs(x.mean(axis=0) - mean), 4 * error + 0.01)
        np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.06 * np.trace(covariance))


# The 1-d problem of the guidance page: N(±1, .5²) with equal weights, y the right one, and w = 4.
TWO = ss.analytic.GaussianMixture(np.array([[1.0], [-1.0]]), np.array([0.5, 0.5]), np.array([0.5, 0.5]))
W = 4.0


def tilted() -> tuple[float, float]:
    """Mean and standard deviation of p(x) p(y | x)^4, by quadrature."""
    x = np.linspace(-8.0, 8.0, 160_001)
    right, left = (np.exp(-0.5 * ((x - m) / 0.5) ** 2) for m in (1.0, -1.0))
    density = (right + left) * (right / (right + left)) ** W
    mean = np.average(x, weights=density)
    return mean, np.sqrt(np.average((x - mean) ** 2, weights=density))


def test_at_another_scale_the_samplers_miss_the_tilted_density():
    """The guided scores are those of p_t(x) p_t(y | x)^4, which are not marginals of one process: the flow concentrates
    beyond the mode, the reverse SDE goes part of the way back, and neither has the mean 1.06 that is meant.
    """
    np.testing.assert_allclose(tilted(), (1.06, 0.45), atol=0.005)
    n, condition = 4000, {"label": jnp.zeros(4000, int)}
    model = g.classifier_free(TWO.denoiser(SDE), W, null=NULL)
    for sampler, options, wanted in (
        (ss.samplers.dpm_solver, {"steps": 30}, (1.67, 0.29)),
        (ss.samplers.ddim, {"steps": 400, "eta": 1.0}, (1.29, 0.42)),
    ):
        x = sampler(model, jax.random.key(0), n, (1,), condition=condition, **options).x
        np.testing.assert_allclose((x.mean(), x.std()), wanted, atol=0.03)


class ExactOfTwo(g.NoisyClassifier):
    """p(y | x_t) of the two, by Bayes: 0 is the right one."""

    def logits(self, x, t, condition=None):
        every = [TWO.log_prob(x, sde=self.sde, t=t, condition={"label": jnp.full(len(x), k)}) for k in (0, 1)]
        return jnp.stack(every, axis=1)


def steered(steps: int, steer: float) -> tuple[float, float]:
    """(mean, standard deviation), the mean over 32 groups of 256 particles with the tilt of the exact classifier."""
    out = inverse.particles(
        TWO.denoiser(SDE),
        jax.random.key(0),
        32,
        (1,),
        twist=inverse.Tilt(ExactOfTwo(SDE), W, steer),
        condition={"y": jnp.zeros(32, int)},
        particles=256,
        steps=steps,
        v=0.25,
    )
    w, x = np.exp(np.asarray(out.log_weights, np.float64)), np.asarray(out.x, np.float64)[..., 0]
    mean = (w * x).sum(axis=1)
    return mean.mean(), np.sqrt((w * (x - mean[:, None]) ** 2).sum(axis=1)).mean()


def test_particles_approach_the_tilted_density_as_steps_grow():
    """Steered by p(y | x_t), whose weights are bounded; by p(y | x_t)^4 they would have to be many more than 256."""
    truth = np.array(tilted())
    coarse, fine = (np.abs(steered(steps, 1.0) - truth).max() for steps in (10, 60))
    assert fine < 0.04
    assert coarse > 3 * fine
    assert steered(60, W)[0] - truth[0] > 0.04
