"""Students of a frozen teacher, and flow maps from data alone, through ``ss.train``: any loss by its name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import score_sde as ss
from score_sde.conditions import Conditions, Leaf
from score_sde.tasks import Distillation
from score_sde.training.task import Context
from tests.training import toy

KEY = jax.random.key(0)


def small():
    config = toy.get_config()
    config.network.width = 8
    config.training.update(steps=4, log_every=2, evaluate_every=4, checkpoint_every=4, snapshot_every=4)
    config.logging.preview = 0
    return config


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    ss.train(small(), folder)
    return folder


def student(loss, teacher=None, **task):
    config = small()
    config.network.second_level = True
    config.denoiser.name = "network_flow_map"
    config.task = {"name": "distillation", **task}
    if teacher is not None:
        config.task.teacher = {"run": str(teacher)}
    config.loss = loss
    config.sampler = {"name": "few_step", "steps": 2}
    return config


@pytest.mark.parametrize(
    "loss",
    [
        {"name": "lagrangian"},
        {"name": "consistency", "points": {"name": "growing", "steps": 4}, "distance": "pseudo_huber"},
        {"name": "progressive", "first": 4, "every": 2},
    ],
    ids=lambda loss: loss["name"],
)
def test_a_student_of_a_run(loss, teacher, tmp_path):
    config = student(loss, teacher, **({"target": "ema"} if loss["name"] != "lagrangian" else {}))
    if loss["name"] == "progressive":
        config.averages = {"ema": {}, "target": {"name": "rounds", "every": 2}}
        config.task.target = "target"
    run = ss.train(config, tmp_path / "student")
    out = run.sample(KEY, 5)
    assert out.x.shape == (5, 2)
    assert int(out.nfe[0]) == 2
    again = ss.load(tmp_path / "student")
    np.testing.assert_array_equal(again.sample(KEY, 5).x, out.x)


def test_a_student_begins_as_its_teacher(teacher):
    task = ss.experiment.experiment_of(student({"name": "lagrangian"}, teacher)).task
    model, origin = task.init(KEY), ss.load(teacher).model
    x = jax.random.normal(KEY, (3, 2))
    np.testing.assert_allclose(model.diagonal.noise(x, 0.5), origin.noise(x, 0.5), rtol=1e-5)


@pytest.mark.parametrize("name", ["mean_flow", "improved_mean_flow", "shortcut", "easy_consistency"])
def test_flow_maps_from_data_alone(name, tmp_path):
    config = student({"name": name})
    config.sde = {"name": "flow_matching"}
    config.denoiser.predicts = "velocity"
    run = ss.train(config, tmp_path / "map")
    assert bool(jnp.isfinite(run.sample(KEY, 4).x).all())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c.denoiser.update(name="network_denoiser"),
            "the model is a NetworkDenoiser, but distillation trains",
        ),
        (
            lambda c: c.sde.update(name="cosine", num_scales=100),
            "begins as a NetworkDenoiser under its own SDE|unknown",
        ),
        (lambda c: c.network.update(width=12), "differ in shape"),
        (lambda c: c.denoiser.update(predicts="v"), "predicts = 'noise', the student 'v'"),
        (lambda c: c.task.update(guidance=2.0), "guidance = 2.0 is of a teacher with conditions"),
        (lambda c: c.task.update(target="slow"), "target = 'slow' is no average; there are: ema"),
        (lambda c: c.network.update(second_level=False), "build it with second_level=True"),
    ],
)
def test_a_student_that_does_not_fit_is_refused(change, words, teacher, tmp_path):
    config = student({"name": "eulerian"}, teacher)
    change(config)
    with pytest.raises(ValueError, match=words):
        ss.train(config, tmp_path / "student")


def test_a_loss_without_its_teacher_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"lagrangian needs a teacher, whose flow it learns: give config.task.teacher"):
        ss.train(student({"name": "lagrangian"}), tmp_path / "student")


@pytest.mark.parametrize("guidance", [3.0, "guidance"])
def test_the_guided_flow_of_a_teacher_by_class(guidance):
    """The student's target is the velocity of classifier-free guidance, at one scale or at that of each example."""
    sde = ss.FlowMatching()

    def told(x, level, condition=None, *, dropout_keys=None):
        return jnp.where(condition["label"][:, None] == 1, 2.0, 0.0) * jnp.ones_like(x)

    leaves = {"label": Leaf(classes=2, dropout=0.0)}
    if guidance == "guidance":
        leaves["guidance"] = Leaf(between=(2.0, 4.0), null=1.0)
    teacher, conditions, seen = ss.NetworkDenoiser(sde, told, predicts="velocity"), Conditions(leaves), []

    def loss(model, x0, keys, condition=None, *, teacher=None):
        seen.append((teacher.velocity(x0, 0.5, condition), condition))
        return jnp.zeros(len(x0))

    task = Distillation(lambda key: None, loss, teacher, guidance=guidance, conditions=conditions)
    context = Context(None, {}, task.frozen, {}, jnp.asarray(0))
    task.loss(context, {"data": jnp.ones((2, 1)), "label": jnp.array([0, 1])}, jax.random.split(KEY, 2))
    velocity, condition = seen[0]
    scale = condition.get("guidance", jnp.full(2, 3.0))
    assert ((scale >= 2) & (scale <= 4)).all()
    np.testing.assert_allclose(velocity, [[0.0], [2.0 * scale[1]]], rtol=1e-6)


@pytest.mark.slow
def test_a_student_of_all_scales(tmp_path):
    """A network that is told the scale begins as the teacher, and samples at any."""
    origin = small()
    origin.data = {"name": "digits"}
    origin.network = {"name": "ncsnpp", "nf": 8, "ch_mult": (1,), "num_res_blocks": 1, "attn_resolutions": ()}
    origin.conditions = {"label": {}}
    config = origin.copy_and_resolve_references()
    ss.train(origin, tmp_path / "teacher")
    config.network.update(second_level=True, numbers=("guidance",))
    config.denoiser.name = "network_flow_map"
    config.conditions.guidance = {"between": (1.0, 4.0), "null": 1.0}
    config.task = {"name": "distillation", "teacher": {"run": str(tmp_path / "teacher")}, "guidance": "guidance"}
    config.loss, config.sampler = {"name": "eulerian"}, {"name": "few_step", "steps": 2}
    run = ss.train(config, tmp_path / "student")
    condition = run.condition(label=3, n=2, guidance=2.5)
    np.testing.assert_array_equal(condition["guidance"], [2.5, 2.5])
    np.testing.assert_array_equal(run.condition(label=3, n=2)["guidance"], [1.0, 1.0])
    assert run.sample(KEY, 2, condition=condition).x.shape == (2, 8, 8, 1)
