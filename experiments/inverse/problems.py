"""Two linear problems with exact posteriors, and how far draws are from them.

G: an 8-d Gaussian, covariance eigenvalues 1 … 0.01, 3 orthonormal rows, std 0.1.
M: an 8-d mixture of 4 isotropic components, standard deviations 0.2 to 0.35, 2 rows, std 0.5.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import score_sde as ss

SDE = ss.VP()
LEVELS = (-8.0, -4.0, -2.0, 0.0, 2.0, 4.0, 8.0)
N, SETS = 1024, 8  # draws, and sets of as many exact ones, for the floor


class Problem:
    """A prior with its exact denoiser, A, std, four measurements y, and the exact posterior of each."""

    def __init__(self, name: str):
        with np.load(Path(__file__).parent / f"{name}.npz") as arrays:
            self.prior = ss.analytic.FullMixture(arrays["means"], arrays["covariances"], arrays["weights"])
            matrix, self.std, self.y = arrays["A"], float(arrays["std"]), jnp.asarray(arrays["y"], jnp.float32)
        self.name, self.d, self.m = name, matrix.shape[1], matrix.shape[0]
        self.A = ss.inverse.Matrix(matrix)
        self.given = ss.analytic.Given(self.prior, matrix, self.std)
        self.model, self.exact = self.prior.denoiser(SDE), self.given.denoiser(SDE)
        covariance = np.asarray(self.prior.covariance, np.float64)
        self.gaussian = ss.analytic.Gaussian(self.prior.mean, (covariance + covariance.T) / 2)
        self.likelihood = ss.inverse.GaussianLikelihood(self.A, self.std)
        self.posteriors = [self.given.posterior(y) for y in self.y]
        lines = jax.random.normal(jax.random.key(3), (self.d, 256))
        self.lines = lines / jnp.linalg.norm(lines, axis=0)
        keys = jax.random.split(jax.random.key(1000), SETS)
        self.sets = [[self.sliced(p.sample(key, N)) for key in keys] for p in self.posteriors]

    def point_errors(self, method, n: int = 4096) -> list[float]:
        """At each level, rms(x̂_y − E[x_0 | x_t, y]) over rms(x_0 − E[x_0 | y]), of (x_0, y) from the joint law."""
        x0, y = self.given.sample(jax.random.key(5), n)
        noise = jax.random.normal(jax.random.key(9), x0.shape)
        alone = self.exact.denoise(noise, SDE.t_max, {"y": y})  # x_t says nothing there
        unit = jnp.sqrt(jnp.mean((x0 - alone) ** 2))

        @jax.jit
        def error(t):
            x = SDE.perturb(x0, t, noise)
            difference = method.denoise(x, t, {"y": y}) - self.exact.denoise(x, t, {"y": y})
            return jnp.sqrt(jnp.mean(difference**2)) / unit

        return [float(error(SDE.time_of_log_snr(jnp.asarray(level)))) for level in LEVELS]

    def law_errors(self, x) -> dict[str, float]:
        """Of draws (4, N, d), a row for each y, in deviations of its posterior; each the mean over the four y."""
        found = [
            self._law_error(row, posterior, i)
            for i, (row, posterior) in enumerate(zip(x, self.posteriors, strict=True))
        ]
        flat = x.reshape(-1, self.d)
        residual = self.likelihood.residual(jnp.repeat(self.y, x.shape[1], axis=0), flat) ** 2
        names = ("mean", "covariance", "w2", "floor", "weights")
        return dict(zip(names, np.mean(found, axis=0).tolist(), strict=True)) | {
            "residual": float(residual.mean()) / self.std**2
        }

    def _law_error(self, x, posterior, i: int) -> tuple[float, ...]:
        """(mean, covariance, sliced W2 to exact draws and of these among each other, total variation of weights)."""
        covariance = np.asarray(posterior.covariance)
        deviation = np.sqrt(np.trace(covariance) / self.d)
        x64 = np.asarray(x, np.float64)
        mean = np.sqrt(np.mean((x64.mean(axis=0) - np.asarray(posterior.mean)) ** 2)) / deviation
        spread = np.linalg.norm(np.cov(x64.T) - covariance) / np.linalg.norm(covariance)
        exact, mine = self.sets[i], self.sliced(x)
        w2 = np.mean([np.sqrt(np.mean((mine - one) ** 2)) for one in exact]) / deviation
        pairs = [np.sqrt(np.mean((a - b) ** 2)) for j, a in enumerate(exact) for b in exact[:j]]
        here = posterior.components(x, jnp.ones(len(x)), jnp.zeros(len(x))).r.mean(axis=0)
        weights = 0.5 * np.abs(np.asarray(here - posterior.weights)).sum()
        return float(mean), float(spread), float(w2), float(np.mean(pairs)) / deviation, float(weights)

    def sliced(self, x) -> np.ndarray:
        """Draws, sorted along each of 256 directions."""
        return np.sort(np.asarray(x @ self.lines), axis=0)
