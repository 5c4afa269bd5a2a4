"""Every guidance at every t, under every SDE, against closed forms in float64; what they cost; how they compose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde import guidance as g
from score_sde.denoiser import Cost
from tests.guidance.exact import BAD, BAD_MEANS, BAD_STDS, GOOD, NULL, Exact, close, posterior, rows
from tests.networks.quick import quick_jit

PULL = 1.3


def project(x0, delta, eta, norm):
    """Δ⊥ + ηΔ∥ of the shortened Δ, a sample at a time."""
    out = np.empty_like(delta)
    for i in range(len(delta)):
        d = delta[i] * min(1.0, norm / max(np.linalg.norm(delta[i]), 1e-300))
        along = d @ x0[i] / (x0[i] @ x0[i]) * x0[i]
        out[i] = (d - along) + eta * along
    return out


def test_every_guidance_at_every_time(sde):
    x, t, label, w = rows(sde)
    good, bad = GOOD.denoiser(sde), BAD.denoiser(sde)
    free = g.classifier_free(good, w, null=NULL)
    guided = {
        "free": free,
        "classifier": g.classifier(good, Exact(sde), w),
        "auto": g.auto(good, bad, w),
        "projected": g.projected(good, w, null=NULL, eta=0.3, norm=0.2),
        "unlimited": g.projected(good, w, null=NULL, eta=1.0),
        "away": g.classifier_free(good, w, null=NULL, negative={"label": "not"}),
        "both": g.classifier(free, Exact(sde), PULL, keep=True),
        "sum": g.sum_of(g.told(good, NULL), (w, good), (-0.5, g.told(good, {"label": 2}))),
    }
    other = (label + 1) % 3
    found = quick_jit(
        lambda guided: {
            name: each.predict(x, t, {"label": label, "not": other} if name == "away" else {"label": label})
            for name, each in guided.items()
        }
    )(guided)
    alpha, sigma, w = (np.asarray(a, np.float64)[:, None] for a in (sde.alpha(t), sde.sigma(t), w))
    at = lambda label=None, **of: posterior(alpha[:, 0], sigma[:, 0], x, label, **of)  # noqa: E731
    plain, told, away, two = at(), at(label), at(other), at(np.full(len(x), 2))
    worse = at(label, means=BAD_MEANS, stds=BAD_STDS)
    between = lambda a, b: [u + w * (v - u) for u, v in zip(a, b, strict=True)]  # noqa: E731
    wanted = {
        "free": between(plain, told),
        "classifier": between(plain, told),
        "auto": between(worse, told),
        "unlimited": between(plain, told),
        "away": between(away, told),
        "both": [u + (w + PULL) * (v - u) for u, v in zip(plain, told, strict=True)],
        "sum": [u + w * (v - u) - 0.5 * (v2 - u) for u, v, v2 in zip(plain, told, two, strict=True)],
    }
    update = (w - 1) * project(told[0], told[0] - plain[0], 0.3, 0.2)
    wanted["projected"] = [told[0] + update, told[1] - alpha / sigma * update]
    for name, (x0, noise) in wanted.items():
        try:
            close(found[name][0], x0)
            close(found[name][1], noise)
        except AssertionError as error:
            raise AssertionError(name) from error


def test_costs():
    sde = ss.VP()
    good, bad = GOOD.denoiser(sde), BAD.denoiser(sde)
    free, by = g.classifier_free(good, 2.0, null=NULL), g.classifier(good, Exact(sde), 2.0)
    guided = (
        (g.projected(good, 2.0, null=NULL), (2, 0)),
        (g.auto(good, bad, 2.0), (2, 0)),
        (g.auto(free, bad, 2.0), (3, 0)),
        (g.classifier(free, Exact(sde), 1.0, keep=True), (3, 1)),
        (g.sum_of(good, (1.0, free), (1.0, by)), (5, 1)),
    )
    for each, cost in guided:
        assert each.cost == Cost(*cost)
    each = g.sum_of(good, (1.0, by))
    out = ss.samplers.ddim(each, jax.random.key(0), 2, (2,), steps=3, condition={"label": jnp.zeros(2, int)})
    # One call of the sum is three forward passes and one pullback.
    assert out.nfe.tolist() == [3 * int(out.calls)] * 2
    assert out.pullbacks.tolist() == [int(out.calls)] * 2


def test_a_sample_does_not_depend_on_its_neighbours():
    """Norms and projections are those of each sample: rows 1 ... are replaced by others, a thousand times as large."""
    sde = ss.VE()
    model = g.projected(GOOD.denoiser(sde), 4.0, null=NULL, eta=0.2, norm=0.1)
    x, t, label, _ = rows(sde, 6)
    t = jnp.full(6, 0.5)
    f = quick_jit(lambda x: model.predict(x, t, {"label": label}))
    for one, other in zip(f(x), f(x.at[1:].multiply(1000.0)), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        assert not np.allclose(one[1], other[1])


def test_nested_classifier_free_has_an_interaction_and_a_sum_has_none():
    """Of a model whose x̂ is a table of two leaves: the weights of its four entries."""
    table = jnp.array([[1.0, 10.0], [100.0, 1000.0]])
    model = ss.FunctionDenoiser(
        ss.VP(), lambda x, t, c: jnp.broadcast_to(table[c["a"], c["b"]][:, None], x.shape), predicts="data"
    )
    w, v, condition, x = 3.0, 2.0, {"a": jnp.array([1]), "b": jnp.array([1])}, jnp.zeros((1, 2))
    nested = g.classifier_free(g.classifier_free(model, w, null={"a": 0}), v, null={"b": 0})
    weights = np.outer([1 - w, w], [1 - v, v])
    total = g.sum_of(g.told(model, {"a": 0, "b": 0}), (w, g.told(model, {"b": 0})), (v, g.told(model, {"a": 0})))
    found = quick_jit(lambda *every: [each.denoise(x, 0.5, condition) for each in every])(nested, total)
    np.testing.assert_allclose(found[0], np.sum(weights * np.asarray(table)), rtol=1e-5)
    np.testing.assert_allclose(found[1], 1 + w * 99 + v * 9, rtol=1e-5)


def test_dropout_reaches_every_model():
    """The keys of sample i are the same in both halves and in both models."""

    class Noisy(ss.FunctionDenoiser):
        def with_dropout(self, keys):
            return ss.FunctionDenoiser(self.sde, Drawn(keys), predicts="data")

    class Drawn:
        def __init__(self, keys):
            self.keys = keys

        def __call__(self, x, t, condition):
            return jax.vmap(lambda key: jax.random.normal(key, x.shape[1:]))(self.keys)

    model = Noisy(ss.VP(), lambda x, t, c: 0 * x, predicts="data")
    keys, x, label = jax.random.split(jax.random.key(0), 3), jnp.zeros((3, 2)), {"label": jnp.zeros(3, int)}
    drawn = Drawn(keys)(x, None, None)
    for each in (
        g.projected(model, 3.0, null=NULL),
        g.classifier_free(model, 3.0, null=NULL),
        g.auto(model, model, 3.0),
        g.sum_of(model, (3.0, model)),
    ):
        np.testing.assert_allclose(each.with_dropout(keys).denoise(x, 0.5, label), drawn, rtol=1e-5)


def test_a_discrete_chain_is_guided_with_its_own_deviations():
    """On the chain ε̂ is −σ_k times the score, so guided ε̂ are σ_k/σ times the closed forms."""
    sde = ss.VP(num_scales=50)
    x, t, label, w = rows(sde, 12)
    good, bad, told = GOOD.denoiser(sde), BAD.denoiser(sde), {"label": label}
    ratio = (sde.discrete_sigma(t) / sde.sigma(t))[:, None]
    guided = (
        g.classifier_free(good, w, null=NULL),
        g.auto(good, bad, w),
        g.projected(good, w, null=NULL, eta=0.3, norm=0.2),
        g.sum_of(good, (w, g.auto(good, bad, 2.0))),
        g.classifier(good, Exact(sde), w),
    )
    found = quick_jit(lambda guided: [(each.on_chain(x, t, told)[1], each.noise(x, t, told)) for each in guided])(
        guided
    )
    assert float(jnp.max(jnp.abs(ratio - 1))) > 0.01
    for each, (on_chain, noise) in zip(guided, found, strict=True):
        if isinstance(each, g.Projected):  # its x̂ and norms are those of the chain
            alpha, sigma = sde.discrete_alpha(t)[:, None], sde.discrete_sigma(t)[:, None]
            plain, own = (np.asarray(ratio * good.noise(x, t, c)) for c in ({"label": 0 * label - 1}, told))
            x0, delta = np.asarray((x - sigma * own) / alpha), np.asarray(-sigma / alpha * (own - plain))
            wanted = own - np.asarray(alpha / sigma * (w[:, None] - 1)) * project(x0, delta, 0.3, 0.2)
        else:
            wanted = ratio * noise
        np.testing.assert_allclose(on_chain, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("unchecked")
def test_bad_input():
    sde, x, label = ss.VP(), jnp.zeros((3, 2)), {"label": jnp.zeros(3, int)}
    good, bad = GOOD.denoiser(sde), BAD.denoiser(sde)
    with pytest.raises(ValueError, match="bad model was trained under VE, the model under VP"):
        g.auto(good, BAD.denoiser(ss.VE()), 2.0)
    with pytest.raises(ValueError, match=r"under VP with beta_max = 10\.0, the model with beta_max = 20\.0"):
        g.auto(good, BAD.denoiser(ss.VP(beta_max=10.0)), 2.0)
    with pytest.raises(ValueError, match=r"the classifier was trained under VP with beta_max = 10\.0"):
        g.classifier(good, Exact(ss.VP(beta_max=10.0)))
    with pytest.raises(ValueError, match="term 1 was trained under VE"):
        g.sum_of(good, (1.0, bad), (1.0, BAD.denoiser(ss.VE())))
    with pytest.raises(ValueError, match="sum_of has no terms"):
        g.sum_of(good)
    for make in (lambda w: g.auto(good, bad, w), lambda w: g.projected(good, w, null=NULL)):
        with pytest.raises(ValueError, match=r"scale = -1.*allowed: 0 or more. w = "):
            make(-1)
    with pytest.raises(ValueError, match=r"interval = \(3, 3\); it must be"):
        g.auto(good, bad, 2.0, interval=(3, 3))
    with pytest.raises(ValueError, match=r"interval = \(-1, 3\); it must be"):
        g.classifier(good, Exact(sde), interval=(-1, 3))
    with pytest.raises(ValueError, match="norm = 0; allowed: a positive number"):
        g.projected(good, 2.0, null=NULL, norm=0)
    with pytest.raises(ValueError, match="eta = nan"):
        g.projected(good, 2.0, null=NULL, eta=float("nan"))
    with pytest.raises(ValueError, match=r"leaves = \('text',\): the bad model is told 'text'.*has 'label'"):
        g.auto(good, bad, 2.0, leaves=["text"]).denoise(x, 0.5, label)
    with pytest.raises(ValueError, match=r"null = \{\} names no leaf"):
        g.classifier_free(good, 2.0)


def test_the_bad_model_may_be_told_less():
    def seen(x, t, condition):
        told.append(condition)
        return x

    told: list = []
    sde = ss.VP()
    good = ss.FunctionDenoiser(sde, lambda x, t, c: x * (set(c) == {"label", "text"}), predicts="data")
    bad, x = ss.FunctionDenoiser(sde, seen, predicts="data"), jnp.zeros((3, 2))
    condition = {"label": jnp.zeros(3, int), "text": jnp.ones(3)}
    for leaves, names in ((None, {"label", "text"}), (("text",), {"text"}), ((), None)):
        g.auto(good, bad, 2.0, leaves=leaves).denoise(x, 0.5, condition)
        assert (told[-1] if names is None else set(told[-1])) == names
