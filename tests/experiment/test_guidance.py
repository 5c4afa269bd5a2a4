"""The config's guidance section builds every kind; runs and --mode=sample use it, with other runs by reference."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde import experiment as ex
from score_sde.config import ConfigError, checked, override
from score_sde.config.help import help_text
from score_sde.experiment.loading import pinned
from score_sde.experiment.run import Run
from tests.training import toy

KEY = jax.random.key(0)
LABEL = {"label": jnp.array([3, 1])}


def digits(**sections):
    """Digits by a tiny network, untrained."""
    config = toy.get_config().to_dict() | {"data": {"name": "digits"}}
    config["evaluation"] = {"batch_size": 4, "samples": 4, "weights": "raw"}
    return config | sections


def classifier_config():
    return digits(
        task={"name": "classifier"},
        network={"name": "vector_classifier", "width": 8},
        denoiser={"name": "noisy_classifier"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Workdirs: an unconditional model, a smaller one, one of another process, a classifier, and a conditional model."""
    folder = tmp_path_factory.mktemp("runs")
    configs = {
        "good": digits(),
        "bad": digits(network={"name": "mlp", "width": 8, "depth": 1}),
        "other": digits(sde={"name": "ve"}),
        "classifier": classifier_config(),
        "conditional": digits(conditions={"label": {}}),
    }
    for k, (name, config) in enumerate(configs.items()):
        experiment = ex.experiment_of(config)
        model = experiment.task.init(jax.random.key(k))
        # Away from the silent initialisation of last layers, so that guidance has an effect.
        model = jax.tree.map(lambda a: a + 0.1 if jnp.issubdtype(a.dtype, jnp.floating) else a, model)
        ex.save(folder / name, experiment, 5, {"raw": model})
    return folder


def guided_run(folder, name, guidance):
    """The run of this workdir, whose config has this guidance."""
    run = ss.load(folder / name, weights="raw")
    config = {**run.config.to_dict(), "guidance": guidance}
    return Run(run.model, ex.experiment_of(config), run.step, "raw", folder / name)


def reference(folder, name):
    return {"run": str(folder / name), "weights": "raw"}


def test_a_bad_model_guides_with_and_without_a_condition(folder):
    bad = ss.load(folder / "bad", weights="raw").model
    run = guided_run(folder, "good", {"name": "auto", "bad": reference(folder, "bad"), "scale": 2.0})
    mine = ss.guidance.auto(run.model, bad, 2.0)
    out = run.sample(KEY, 2)
    assert out.nfe.tolist() == [2 * int(out.calls)] * 2
    np.testing.assert_allclose(out.x, run.experiment.sampler(mine, KEY, 2, run.shape).x, atol=1e-5)
    assert not np.allclose(out.x, run.experiment.sampler(run.model, KEY, 2, run.shape).x, atol=1e-3)
    told = {"name": "auto", "bad": reference(folder, "bad"), "scale": 2.0, "leaves": ()}
    out = guided_run(folder, "conditional", told).sample(KEY, 2, condition=LABEL)  # the bad model takes no label
    assert out.nfe.tolist() == [2 * int(out.calls)] * 2


def test_a_classifier_guides_an_unconditional_model(folder):
    section = {"name": "classifier", "classifier": reference(folder, "classifier"), "scale": 3.0}
    run = guided_run(folder, "good", section)
    other = ss.load(folder / "classifier", weights="raw").model
    out = run.sample(KEY, 2, condition=LABEL)
    assert out.pullbacks.tolist() == [int(out.calls)] * 2
    mine = ss.guidance.classifier(run.model, other, 3.0)
    np.testing.assert_allclose(out.x, run.experiment.sampler(mine, KEY, 2, run.shape, condition=LABEL).x, atol=1e-5)
    np.testing.assert_array_equal(run.some_labels(12)["label"], [*range(10), 0, 1])
    assert ss.load(folder / "good", weights="raw").some_labels(12) is None


SCALE = {"log_snrs": (-4.0, 0.0, 5.0), "scales": (1.0, 3.0, 2.0)}


@pytest.mark.parametrize(
    ("section", "make"),
    [
        (
            {"name": "projected", "scale": 3.0, "eta": 0.2, "norm": 1.5},
            lambda m: ss.guidance.projected(m, 3.0, null={"label": 10}, eta=0.2, norm=1.5),
        ),
        (
            {"name": "classifier_free", "scale": SCALE, "interval": (0.1, 5.0)},
            lambda m: ss.guidance.classifier_free(
                m, ss.guidance.OverLogSNR(**SCALE), null={"label": 10}, interval=(0.1, 5.0)
            ),
        ),
        (
            {"name": "classifier_free", "scale": f"{__name__}:falling", "negative": {"label": 7}},
            lambda m: ss.guidance.classifier_free(m, falling, null={"label": 10}, negative={"label": 7}),
        ),
        (
            {"name": "classifier_free", "scale": [1.0, 4.0]},
            lambda m: ss.guidance.classifier_free(m, jnp.array([1.0, 4.0]), null={"label": 10}),
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")  # a config's lists are tuples
def test_sections_build_what_the_functions_do(folder, section, make):
    run = guided_run(folder, "conditional", section)
    x, t = 0.3 * jax.random.normal(KEY, (2, 8, 8, 1)), jnp.array([0.2, 0.6])
    found, plain = run.guided(LABEL).noise(x, t, LABEL), run.model.noise(x, t, LABEL)
    np.testing.assert_allclose(found, make(run.model).noise(x, t, LABEL), rtol=1e-5, atol=1e-5)
    assert float(jnp.max(jnp.abs(found - plain))) > 1e-4


def falling(log_snr):
    """A scale of a user's own."""
    return 3 - jnp.tanh(log_snr)


def test_mode_sample_uses_it(folder):
    """The images in the file are those of the guided sampler, told each class in turn where a classifier guides."""
    sections = (
        {"name": "auto", "bad": reference(folder, "bad"), "scale": 2.0},
        {"name": "classifier", "classifier": reference(folder, "classifier"), "scale": 3.0},
    )
    for section in sections:
        run = guided_run(folder, "good", section)
        ex.sample(run.config, folder / "good", section["name"], n=4)
        file = folder / "good" / section["name"] / "samples_5.npz"
        result = json.loads(file.with_suffix(".json").read_text())["samples"]
        assert result["evaluations"] == 2 * 6  # five steps and the last one, twice
        condition = run.some_labels(4)
        with np.load(file) as saved:
            assert ("label" in saved) == (condition is not None)
            if condition is not None:
                np.testing.assert_array_equal(saved["label"], np.arange(4))
            wanted = run.to_images(run.sample(jax.random.key(run.config.seed), 4, condition=condition).x)
            assert np.mean(np.abs(saved["data"].astype(float) - np.asarray(wanted, float)) > 1) < 0.01


def test_references_are_pinned_and_checked(folder):
    section = {"name": "auto", "bad": reference(folder, "bad"), "scale": 2.0}
    config = pinned(checked(digits(guidance=section)))
    assert config["guidance"]["bad"]["step"] == 5
    assert config["guidance"]["bad"]["hash"]
    config["guidance"]["bad"]["hash"] = "0" * 8
    experiment = ex.experiment_of(config)
    with pytest.raises(ValueError, match=r"the weights 'raw' of step 5 .* are not those that were seen"):
        experiment.guided(experiment.task.init(KEY), None)


@pytest.mark.parametrize(
    ("guidance", "message"),
    [
        ({"name": "auto", "scale": 2.0}, r"config.guidance.bad is missing; it must be a reference to another run"),
        ({"name": "auto", "bad": {"run": "x"}}, "config.guidance.scale is missing; it must be a number or a list"),
        ({"name": "auto", "bad": {"rum": "x"}, "scale": 1}, "config.guidance.bad.rum is unknown; did you mean"),
        ({"name": "auto", "bad": 3, "scale": 1}, "config.guidance.bad = 3; it must be a reference to another run"),
        ({"name": "classifier_free", "scale": True}, "config.guidance.scale = True; it must be a number or a list"),
        (
            {"name": "classifier_free", "scale": "large"},
            "config.guidance.scale.name = 'large'; allowed: 'over_log_snr'",
        ),
        (
            {"name": "projected", "scale": 2, "etta": 0},
            "config.guidance.etta is unknown; did you mean config.guidance.eta",
        ),
        ({"name": "projekted", "scale": 2}, "did you mean 'projected'"),
        (
            {"name": "classifier_free", "scale": {"log_snrs": (0, 1)}},
            "config.guidance.scale.scales is missing; it must be a number or a list of numbers",
        ),
    ],
)
def test_bad_sections(guidance, message):
    with pytest.raises(ConfigError, match=message):
        checked(digits(guidance=guidance))


def test_values_that_do_not_fit_are_told_with_their_section(folder):
    for section, message in (
        (
            {"name": "auto", "bad": reference(folder, "other"), "scale": 2.0},
            "config.guidance: the bad model .* under VE",
        ),
        (
            {"name": "auto", "bad": reference(folder, "bad"), "scale": {"log_snrs": (1, 0), "scales": (1, 2)}},
            "config.guidance.scale: log_snrs = .* they must rise",
        ),
        (
            {"name": "auto", "bad": reference(folder, "bad"), "scale": -1},
            "config.guidance: scale = -1; allowed: 0 or more",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            guided_run(folder, "good", section).sample(KEY, 2)


def test_command_line_and_help():
    config = digits(conditions={"label": {}}, guidance={"name": "projected", "scale": 2.0})
    changed = checked(override(override(config, "guidance.scale", "4.5"), "guidance.norm", "3"))
    assert (changed["guidance"]["scale"], changed["guidance"]["norm"]) == (4.5, 3.0)
    assert "config.guidance.scale" in help_text(changed)
    curve = override(override(config, "guidance.scale.log_snrs", "(-1,1)"), "guidance.scale.scales", "(1,2)")
    assert checked(curve)["guidance"]["scale"]["scales"] == (1, 2)
    assert "config.guidance.scale.scales" in help_text(checked(curve))
