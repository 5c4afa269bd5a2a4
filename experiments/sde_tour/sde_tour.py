"""Every SDE on one page: data become noise, and the exact reverse makes data of noise.

For each SDE a row: forward paths of a 1-D mixture, the marginals they pass through (histograms of simulated points
over the exact density), the reverse SDE and the probability-flow ODE with the exact score, and a 2-D mixture brought
back from noise. Nothing is learned: the scores are those of `ss.analytic`.

    python experiments/sde_tour/sde_tour.py [--out=FILE.png]
"""

import argparse
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

import score_sde as ss

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LINE = ss.analytic.GaussianMixture([[-1.0], [0.8]], [0.15, 0.25], [0.35, 0.65])
RING = ss.analytic.GaussianMixture(
    [[np.cos(a), np.sin(a)] for a in 2 * np.pi * np.arange(6) / 6], [0.12] * 6, [0.1, 0.2, 0.2, 0.1, 0.2, 0.2]
)
SDES = {
    "VP": ss.VP(),
    "sub-VP": ss.SubVP(),
    "VE": ss.VE(),
    "Cosine": ss.Cosine(),
    "EDM": ss.EDM(),
    "Flow matching": ss.FlowMatching(),
}
STEPS = 600
INK, FORWARD, REVERSE, FLOW = "#222222", "#3b6fb6", "#c2513a", "#2f8f6b"


def grid(sde: ss.SDE) -> jax.Array:
    """Times from t_max_sampling down to t_min_sampling, evenly spaced in log-SNR, so that no step changes much."""
    ends = sde.log_snr(jnp.array([sde.t_max_sampling, sde.t_min_sampling]))
    return sde.time_of_log_snr(jnp.linspace(ends[0], ends[1], STEPS + 1))


@jax.jit
def forward(sde: ss.SDE, key: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Euler-Maruyama paths of dx = f x dt + g dW from t_min_sampling up: (times, states)."""
    times = grid(sde)[::-1]

    def step(x, now):
        s, t, key = now
        x = x + sde.drift(x, s) * (t - s) + sde.diffusion(s) * jnp.sqrt(t - s) * jax.random.normal(key, x.shape)
        return x, x

    _, path = jax.lax.scan(step, x, (times[:-1], times[1:], jax.random.split(key, STEPS)))
    return times, jnp.concatenate([x[None], path])


@partial(jax.jit, static_argnames="noisy")
def reverse(model: ss.Denoiser, key: jax.Array, x: jax.Array, noisy: bool) -> tuple[jax.Array, jax.Array]:
    """Euler steps of the reverse SDE dx = (velocity − g²/2 score) dt + g dW, or of the flow dx = velocity dt alone."""
    sde, times = model.sde, grid(model.sde)

    def step(x, now):
        t, s, key = now
        h, g = t - s, sde.diffusion(t)
        x_s = x - h * model.velocity(x, t)
        if noisy:
            x_s = x_s + h * g**2 / 2 * model.score(x, t) + g * jnp.sqrt(h) * jax.random.normal(key, x.shape)
        return x_s, x_s

    _, path = jax.lax.scan(step, x, (times[:-1], times[1:], jax.random.split(key, STEPS)))
    return times, jnp.concatenate([x[None], path])


def scale(sde: ss.SDE, t: jax.Array) -> np.ndarray:
    """√(α² + σ²): what the states are divided by, so that exploding and preserving processes share an axis."""
    return np.sqrt(np.asarray(sde.alpha(t)) ** 2 + np.asarray(sde.sigma(t)) ** 2)


def draw_row(axes, name: str, sde: ss.SDE, key: jax.Array) -> None:
    """One SDE: paths, marginals, reverse, plane."""
    keys = jax.random.split(key, 6)
    x0 = LINE.sample(keys[0], 4000)
    x = sde.perturb(x0, sde.t_min_sampling, jax.random.normal(keys[1], x0.shape))
    t, up = forward(sde, keys[2], x)
    progress = np.linspace(0, 1, STEPS + 1)  # of log-SNR
    unit = scale(sde, t)[:, None]
    axes[0].plot(progress, up[:, :14, 0] / unit, color=FORWARD, lw=0.6, alpha=0.8)
    axes[0].set_ylabel(name, fontsize=13, color=INK)

    for where, shade in ((0.0, 1.0), (0.45, 0.75), (0.6, 0.5), (1.0, 0.3)):
        k = round(where * STEPS)
        values = np.linspace(-3, 3, 400)
        points = jnp.asarray(values[:, None] * unit[k])
        density = np.exp(LINE.log_prob(points, sde=sde, t=t[k])) * unit[k]
        axes[1].hist(
            up[k, :, 0] / unit[k], bins=np.linspace(-3, 3, 80), density=True, color=FORWARD, alpha=0.25 * shade
        )
        axes[1].plot(values, density, color=FORWARD, alpha=shade, lw=1.4, label=f"{where:.0%}")
    axes[1].set_ylim(0, 1.15)

    top = unit[-1] * jax.random.normal(keys[3], (200, 1))
    for noisy, colour, label in ((True, REVERSE, "reverse SDE"), (False, FLOW, "probability flow")):
        s, down = reverse(LINE.denoiser(sde), keys[4], top, noisy)
        path = np.asarray(down[:, :9, 0]) / scale(sde, s)[:, None]
        lines = axes[2].plot(1 - progress, path, color=colour, lw=0.7, alpha=0.85)
        lines[0].set_label(label)

    wide = scale(sde, t)[-1] * jax.random.normal(keys[5], (1500, 2))
    _, plane = reverse(RING.denoiser(sde), keys[4], wide, True)
    truth = RING.sample(keys[0], 1500)
    axes[3].scatter(*truth.T, s=2, color=FORWARD, alpha=0.35, label="data", linewidths=0)
    axes[3].scatter(*plane[-1].T, s=2, color=REVERSE, alpha=0.35, label="from noise", linewidths=0)


def main() -> None:
    """Draw every row and save the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "sde_tour.png", help="where the PNG goes")
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(len(SDES), 4, figsize=(14, 2.1 * len(SDES)), layout="constrained")
    titles = (
        "Forward paths of the SDE",
        "Marginals: simulated (bars), exact (lines)",
        "Back with the exact score",
        "In the plane: reverse SDE from noise",
    )
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=11, color=INK, pad=10)
    for row, (name, sde) in zip(axes, SDES.items(), strict=True):
        print(f"  {name:14s} {sde}", flush=True)
        draw_row(row, name, sde, jax.random.key(0))
        for axis in row[[0, 2]]:
            axis.set(xlim=(0, 1), ylim=(-3.2, 3.2), yticks=[-2, 0, 2])
            axis.set_xticks([0, 1], ["data", "noise"])
        row[1].set(xlim=(-3, 3), yticks=[], xticks=[-2, 0, 2])
        row[3].set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
        row[3].axis("off")
    beside = {"fontsize": 8, "frameon": False, "loc": "upper left"}
    axes[0, 1].legend(title="of the way", title_fontsize=8, bbox_to_anchor=(0.8, 1.05), **beside)
    axes[0, 2].set_ylim(-3.2, 5.2)
    axes[0, 2].legend(ncols=2, **beside)
    for mark in axes[0, 3].legend(bbox_to_anchor=(0.98, 1.05), markerscale=5, **beside).legend_handles:
        mark.set_alpha(1.0)
    figure.supxlabel("Way from data to noise, in log-SNR; states divided by √(α² + σ²)", fontsize=9, color=INK)
    figure.savefig(out, dpi=110)
    print(f"{out} drawn in {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
