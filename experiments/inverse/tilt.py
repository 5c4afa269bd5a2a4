"""How fast do particles come to the density p(x) p(y | x)^4, which classifier-free guidance of scale 4 does not have?

    python experiments/inverse/tilt.py

prints the table of README.md: the error of the mean and of the standard deviation, and the deviation of a group's mean by
chance, over steps × particles. The data are N(±1, 0.5²) with equal weights, y the right one, its classifier exact.
"""

import argparse
import itertools

import jax
import jax.numpy as jnp
import numpy as np

import score_sde as ss

SDE, W = ss.VP(), 4.0
TWO = ss.analytic.GaussianMixture(np.array([[1.0], [-1.0]]), np.array([0.5, 0.5]), np.array([0.5, 0.5]))


class Exact(ss.guidance.NoisyClassifier):
    """p(y | x_t) by Bayes."""

    def logits(self, x, t, condition=None):
        every = [TWO.log_prob(x, sde=self.sde, t=t, condition={"label": jnp.full(len(x), k)}) for k in (0, 1)]
        return jnp.stack(every, axis=1)


def truth() -> tuple[float, float]:
    """Mean and standard deviation, by quadrature."""
    x = np.linspace(-8.0, 8.0, 160_001)
    right, left = (np.exp(-0.5 * ((x - m) / 0.5) ** 2) for m in (1.0, -1.0))
    density = (right + left) * (right / (right + left)) ** W
    mean = float(np.average(x, weights=density))
    return mean, float(np.sqrt(np.average((x - mean) ** 2, weights=density)))


def moments(steps: int, K: int, v: float, steer: float) -> tuple[float, float, float]:
    """(mean, standard deviation, chance of the mean) over 32768/K groups of K particles."""
    groups = max(32768 // K, 8)
    out = ss.inverse.particles(
        TWO.denoiser(SDE),
        jax.random.key(0),
        groups,
        (1,),
        twist=ss.inverse.Tilt(Exact(SDE), W, steer),
        condition={"y": jnp.zeros(groups, int)},
        particles=K,
        steps=steps,
        v=v,
    )
    w, x = np.exp(np.asarray(out.log_weights, np.float64)), np.asarray(out.x, np.float64)[..., 0]
    means, squares = (w * x).sum(axis=1), (w * x**2).sum(axis=1)
    deviations = np.sqrt(squares - means**2)
    return float(means.mean()), float(deviations.mean()), float(means.std())


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    mean, deviation = truth()
    print(
        f"truth: {mean:.4f} {deviation:.4f}\n\n| steer | v | K | steps | mean | deviation | chance of a group's mean |"
    )
    print("|---|---|---|---|---|---|---|")
    for steer in (W, 1.0):
        for (v, K), steps in itertools.chain(
            itertools.product(((0.0, 1024), (0.25, 1024)), (25, 100, 400)),
            itertools.product(((0.25, 16), (0.25, 64), (0.25, 256), (0.25, 4096)), (100,)),
        ):
            found = moments(steps, K, v, steer)
            errors = f"{found[0] - mean:+.3f} | {found[1] - deviation:+.3f} | {found[2]:.3f}"
            print(f"| {steer:g} | {v:g} | {K} | {steps} | {errors} |", flush=True)


if __name__ == "__main__":
    main()
