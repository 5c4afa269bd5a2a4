"""The reference problems G (a Gaussian) and M (a mixture) with linear measurements and exact posteriors."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "posterior"
SDE = ss.VP()


class Problem:
    """One of them: the prior, A, std, its four measurements y, and everything exact."""

    def __init__(self, name: str):
        if not REFERENCE.exists():
            pytest.skip("the reference data (../shared/reference beside the repository) are not on this machine")
        with np.load(REFERENCE / f"{name}.npz") as arrays:
            self.prior = ss.analytic.FullMixture(arrays["means"], arrays["covariances"], arrays["weights"])
            self.matrix, self.std, self.y = arrays["A"], float(arrays["std"]), arrays["y"]
        self.A = ss.inverse.Matrix(self.matrix)
        self.given = ss.analytic.Given(self.prior, self.matrix, self.std)
        self.model, self.exact = self.prior.denoiser(SDE), self.given.denoiser(SDE)
        covariance = np.asarray(self.prior.covariance, np.float64)
        self.gaussian = ss.analytic.Gaussian(self.prior.mean, (covariance + covariance.T) / 2)
        self.likelihood = ss.inverse.GaussianLikelihood(self.A, self.std)

    def told(self, i: int, n: int) -> dict:
        """The i-th measurement for n samples."""
        return {"y": jnp.broadcast_to(jnp.asarray(self.y[i]), (n, len(self.y[i])))}

    def states(self, i: int, log_snr: float, n: int = 256) -> tuple:
        """(x_t ~ p(x_t | y), t)."""
        t = float(SDE.time_of_log_snr(jnp.asarray(log_snr)))
        x0 = self.given.posterior(self.y[i]).sample(jax.random.key(i), n)
        return SDE.perturb(x0, t, jax.random.normal(jax.random.key(100 + i), x0.shape)), t

    def point_error(self, method, log_snr: float) -> float:
        """rms(x̂_y − E[x_0 | x_t, y]) over the posterior's deviation, the mean over the four y."""
        errors = []
        for i in range(len(self.y)):
            x, t = self.states(i, log_snr)
            told = self.told(i, len(x))
            difference = method.denoise(x, t, told) - self.exact.denoise(x, t, told)
            deviation = np.sqrt(np.trace(np.asarray(self.given.posterior(self.y[i]).covariance)) / x.shape[1])
            errors.append(float(jnp.sqrt(jnp.mean(difference**2))) / deviation)
        return float(np.mean(errors))

    def law_error(self, x, i: int) -> tuple[float, float, float]:
        """(mean, covariance, sliced W2) against the exact posterior, in its deviations."""
        posterior = self.given.posterior(self.y[i])
        covariance = np.asarray(posterior.covariance)
        deviation = np.sqrt(np.trace(covariance) / len(covariance))
        mean = np.sqrt(np.mean((np.asarray(x).mean(0) - np.asarray(posterior.mean)) ** 2)) / deviation
        spread = np.linalg.norm(np.cov(np.asarray(x).T) - covariance) / np.linalg.norm(covariance)
        true = posterior.sample(jax.random.key(1000 + i), len(x))
        lines = jax.random.normal(jax.random.key(3), (x.shape[1], 256))
        lines = lines / jnp.linalg.norm(lines, axis=0)
        squared = (jnp.sort(x @ lines, axis=0) - jnp.sort(true @ lines, axis=0)) ** 2
        return float(mean), float(spread), float(jnp.sqrt(squared.mean())) / deviation
