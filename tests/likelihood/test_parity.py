"""The likelihood runs of the original code, with its own probe, and its offset for both data ranges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss


def last(a: np.ndarray) -> np.ndarray:
    """Channels last."""
    return np.moveaxis(a, -3, -1)


@pytest.mark.parametrize("name", ["vp", "ve", pytest.param("subvp", marks=pytest.mark.slow)])
def test_the_originals_likelihood(name, reference):
    data, entry = reference(f"ode/{name}.npz")
    settings = dict(entry["parameters"])
    del settings["N"]
    sde = {"VPSDE": ss.VP, "subVPSDE": ss.SubVP, "VESDE": ss.VE}[entry["sde"]](**settings)
    weights = data["mixture_weights"] / data["mixture_weights"].sum()
    truth = ss.analytic.GaussianMixture(last(data["mixture_means"]), data["mixture_stds"], weights)
    x, probe = jnp.asarray(last(data["data"])), last(data["probe"])[None]
    allowed = entry["tolerance"]
    tight = {"rtol": 1e-7, "atol": 1e-7}
    ll = ss.log_likelihood(truth.denoiser(sde), x, jax.random.key(0), probes=probe, **tight)
    for centered, wanted in ((True, "bpd_offset7"), (False, "bpd_offset8")):
        bits = ss.bits_per_dim(ll.log_prob, x.shape[1:], ss.data.DataScaling(levels=256, centered=centered))
        assert np.abs(bits - data[wanted]).max() <= allowed["bpd (absolute)"]
    error = np.abs(ll.log_prob - data["logp_hutchinson_exact"]) / (16 * np.log(2))
    assert error.max() <= allowed["bpd from a tight solver against logp_hutchinson_exact (absolute, bits/dim)"]
    latent = last(data["latent"])
    assert np.abs(ll.latent - latent).max() <= 1e-4 * np.abs(latent).max()
