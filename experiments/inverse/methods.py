"""The methods of the study. Each draws n samples for y (n, m): (problem, key, y) -> (draws (n, d), what they cost)."""

from functools import partial

import jax
import jax.numpy as jnp

import score_sde as ss

inverse, samplers = ss.inverse, ss.samplers
STEPS, CHAIN = 50, 200  # of the flow, and of methods that need small steps


def denoisers(problem) -> dict:
    """Those that are functions from denoiser to denoiser."""
    model, A, std = problem.model, problem.A, problem.std
    return {
        "exact": problem.exact,
        "MMPS": inverse.mmps(model, A, std, solver=inverse.CG(8 if problem.m > 2 else 2)),
        "PiGDM": inverse.pigdm(model, A, std),
        "TMPD": inverse.tmpd(model, A, std),
        "SDA": inverse.sda(model, A, std),
        "JFPS": inverse.jfps(model, A, std, problem.gaussian),
        "DiffPIR": inverse.diffpir(model, A, std),
        "DDNM": inverse.ddnm(model, A),
    }


def _cost(out) -> tuple[float, float]:
    return float(jnp.mean(out.nfe)), float(jnp.mean(jnp.asarray(out.pullbacks)))


def by_flow(name: str, problem, key, y, sampler=samplers.dpm_solver, **options):
    """A posterior denoiser under ``dpm_solver``, or another sampler."""
    options = options or {"steps": STEPS}
    out = sampler(denoisers(problem)[name], key, len(y), (problem.d,), condition={"y": y}, **options)
    return out.x, _cost(out)


def by_steps(sampler, options: dict, problem, key, y):
    """A method with a loop or a step of its own."""
    out = sampler(problem.model, key, len(y), (problem.d,), problem.likelihood, condition={"y": y}, **options)
    return out.x, _cost(out)


def by_particles(twist, K: int, problem, key, y, *, steps: int = CHAIN, v: float = 0.1):
    """Groups of K particles, of which each run of at most K equal rows of y takes its draws. Returns the evidence too."""
    first = jnp.concatenate([jnp.ones(1, bool), (y[1:] != y[:-1]).any(axis=1)])
    starts = jnp.flatnonzero(first)
    each = len(y) // len(starts)  # draws for one measurement
    groups = -(-each // K)
    told = jnp.repeat(y[starts], groups, axis=0)
    made, pulls = twist(problem)
    out = inverse.particles(
        problem.model, key, len(told), (problem.d,), twist=made, condition={"y": told}, particles=K, steps=steps, v=v
    )
    x = out.resampled(jax.random.fold_in(key, 1))
    order = jax.random.permutation(jax.random.fold_in(key, 2), K)  # systematic resampling leaves copies side by side
    x = x[:, order].reshape(len(starts), groups * K, problem.d)[:, :each]
    calls = float(out.nfe[0])  # of a group: a draw that may be used alone costs all of it
    return x.reshape(len(y), problem.d), (calls, calls * pulls), out.log_evidence


TWISTS = {  # problem -> (twist, pullbacks of one evaluation)
    "moments": lambda problem: (inverse.Moments(problem.likelihood, inverse.Tweedie()), problem.m + 1),
    "noise": lambda problem: (inverse.Noise(problem.likelihood), 1),
    "isotropic": lambda problem: (inverse.Moments(problem.likelihood, inverse.Isotropic()), 1),
    "none": lambda problem: (inverse.Unsteered(problem.likelihood), 0),
}
OWN = {
    "DPS, 1000 steps": partial(by_steps, inverse.dps, {"steps": 1000}),
    "DPS, 200 steps": partial(by_steps, inverse.dps, {"steps": CHAIN}),
    "replacement": partial(by_steps, inverse.replacement, {"steps": CHAIN}),
    "DDRM": partial(by_steps, inverse.ddrm, {"steps": CHAIN}),
}
LONG = {  # hundreds of evaluations for each of which noise is drawn, or a loop on the host
    "RePaint, 10 times": partial(by_steps, inverse.replacement, {"steps": 100, "resamplings": 10}),
    "DAPS": partial(by_steps, inverse.daps, {"steps": 100, "ode_steps": 5}),
    "PnP-DM": partial(by_steps, inverse.pnp_dm, {"sweeps": 50}),
}
