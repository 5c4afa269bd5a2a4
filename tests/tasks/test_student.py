"""A frozen teacher and the average of the student: by the recursion that the step must be, and through ``ss.train``."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import score_sde as ss
from score_sde.checkpoints import store
from score_sde.randomness import Purpose, example_keys, for_each
from score_sde.training import TrainState, averages, make_train_step
from score_sde.training.step import check_frozen, frozen_arrays
from tests.tasks.student import Student
from tests.training import toy

SDE = ss.VP()


def slope(a):
    return ss.NetworkDenoiser(SDE, jax.tree_util.Partial(lambda a, x, *_, **__: a * x, jnp.asarray(a)), predicts="data")


def test_the_step_is_the_recursion():
    """∇_a = 2 E[x_t²] ((a − a*) + p (a − ā)), in which a* and ā are constants; a and then ā move."""
    task, key, rate, decay = Student(lambda key: slope(0.1), slope(0.7), pull=0.5), jax.random.key(0), 0.05, 0.9
    optimizer, x0 = optax.sgd(rate), jax.random.normal(jax.random.key(1), (16, 2))
    decays = {"ema": averages.constant(decay, warmup=False)}
    state = TrainState.create(task.init(key), optimizer, decays)
    train_step = jax.jit(make_train_step(task, optimizer, decays))
    frozen = frozen_arrays(task)
    assert len(frozen) == 1
    a = mean = 0.1
    for k in range(5):
        keys = example_keys(key, k, jnp.arange(16))
        t = SDE.t_min + (SDE.t_max - SDE.t_min) * for_each(keys, Purpose.TIME, jax.random.uniform)
        x_t = SDE.perturb(x0, t, for_each(keys, Purpose.NOISE, lambda key: jax.random.normal(key, (2,))))
        energy = float(jnp.mean(jnp.sum(x_t**2, axis=1)))
        loss = energy * ((a - 0.7) ** 2 + 0.5 * (a - mean) ** 2)
        state, metrics = train_step(state, frozen, {"data": x0}, keys)
        np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-4)
        np.testing.assert_allclose(metrics["to_teacher"], energy * (a - 0.7) ** 2, rtol=1e-4)
        a -= rate * 2 * energy * ((a - 0.7) + 0.5 * (a - mean))
        mean = decay * mean + (1 - decay) * a
        np.testing.assert_allclose(jax.tree.leaves(state.parameters)[0], a, rtol=1e-5)
        np.testing.assert_allclose(jax.tree.leaves(state.averages)[0], mean, rtol=1e-5)


def test_the_teacher_is_an_argument_of_the_step():
    """Another teacher of the same shape needs no new compilation, and its arrays are not constants of the program."""
    task, optimizer = Student(lambda key: slope(0.1), slope(0.7)), optax.sgd(0.1)
    decays = {"ema": averages.constant()}
    state = TrainState.create(task.init(jax.random.key(0)), optimizer, decays)
    train_step = jax.jit(make_train_step(task, optimizer, decays))
    keys, batch = jax.random.split(jax.random.key(0), 4), {"data": jnp.ones((4, 2))}
    frozen = frozen_arrays(task)
    first = train_step(state, frozen, batch, keys)[1]["to_teacher"]
    other = train_step(state, {name: leaf + 1 for name, leaf in frozen.items()}, batch, keys)[1]["to_teacher"]
    assert first != other
    assert train_step._cache_size() == 1
    assert len(jax.tree.leaves(state)) == 5  # a, ā and counters: nothing of the teacher's


def test_what_is_frozen_is_not_trained_too():
    teacher = slope(0.7)
    with pytest.raises(ValueError, match=r"trained and frozen too, such as .* is frozen.teacher"):
        check_frozen(Student(lambda key: teacher, teacher), teacher)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    config = toy.get_config()
    config.training.steps = 20
    ss.train(config, folder)
    return folder


def student(teacher):
    config = toy.get_config()
    config.task = {"name": "tests.tasks.student:Student", "teacher": {"run": str(teacher)}, "pull": 0.2}
    config.training.steps, config.logging.preview = 20, 0
    return config


def test_a_config_refers_to_another_run(teacher, tmp_path):
    run = ss.train(student(teacher), tmp_path / "student")
    written = json.loads((tmp_path / "student" / "config.json").read_text())["task"]["teacher"]
    assert written["step"] == 20
    assert len(written["hash"]) >= 16
    arrays = store.shapes(tmp_path / "student" / "checkpoints" / "20")
    assert arrays
    assert not any("teacher" in name for name in arrays)
    assert {name.split("/")[0] for name in arrays} == {"raw", "ema", "optimizer", "counters"}
    model = ss.load(tmp_path / "student").model
    x = jnp.ones((3, 2))
    np.testing.assert_array_equal(model.denoise(x, 0.5), run.model.denoise(x, 0.5))


def test_going_on_with_another_teacher_is_refused(teacher, tmp_path):
    mine, folder = tmp_path / "teacher", tmp_path / "student"
    shutil.copytree(teacher, mine)
    ss.train(student(mine), folder)
    shutil.rmtree(mine)
    config = toy.get_config()
    config.seed, config.training.steps = 8, 20
    ss.train(config, mine)
    with pytest.raises(ValueError, match=r"not those that were seen.*Restore that run, or set hash = None"):
        ss.load(folder).experiment.task  # noqa: B018
    longer = student(mine)
    longer.training.steps = 40
    with pytest.raises(ValueError, match=r"config.task.teacher.hash"):
        ss.train(longer, folder)


def test_a_checkpoint_of_another_task_is_refused(teacher, tmp_path):
    folder = tmp_path / "student"
    shutil.copytree(teacher, folder)
    config = ss.load(folder).config
    with config.unlocked():
        config.task = student(teacher).task
    (folder / "config.json").write_text(config.to_json(indent=2))
    with pytest.raises(ValueError, match="is of the task 'diffusion', not of 'student'"):
        ss.load(folder)
