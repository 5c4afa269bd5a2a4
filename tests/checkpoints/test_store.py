"""Checkpoints are whole and undamaged, or they are not used."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from score_sde.checkpoints import store
from score_sde.checkpoints.store import DamagedError

GROUPS = {"raw": {"a.b": jnp.arange(5.0), "c": jnp.ones((2, 3))}, "counters": {"step": jnp.array(3)}, "none": {}}


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints, of the steps 3 and 10."""
    for step in (3, 10):
        groups = GROUPS | {"counters": {"step": jnp.array(step)}}
        store.save_arrays(tmp_path / str(step), groups, {"step": step})
    return tmp_path


def flip_a_bit(path):
    """In the largest file, which holds the numbers."""
    file = max((f for f in path.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(bytes(data))


def test_there_and_back(folder):
    assert store.steps(folder) == [3, 10]
    assert store.check(folder / "10")["step"] == 10
    loaded = store.load_arrays(folder / "10")
    np.testing.assert_array_equal(loaded["raw"]["a.b"], GROUPS["raw"]["a.b"])
    assert int(loaded["counters"]["step"]) == 10
    assert set(store.load_arrays(folder / "10", ("counters",))) == {"counters"}


def test_a_flipped_bit_is_noticed_set_aside_and_the_one_before_used(folder):
    flip_a_bit(folder / "10")
    with pytest.raises(DamagedError, match=r"is damaged: .* is not what was written; use another step"):
        store.check(folder / "10")
    with pytest.warns(UserWarning, match=r"is set aside as .*damaged/10, and the one before it is used"):
        path, manifest = store.newest_whole(folder)
    assert (path.name, manifest["step"]) == ("3", 3)
    store.save_arrays(folder / "10", GROUPS, {"step": 10})  # the step may be saved again, and damaged again
    flip_a_bit(folder / "10")
    with pytest.warns(UserWarning, match=r"damaged/10\.1"):
        store.newest_whole(folder)
    assert (folder / "damaged" / "10.1").is_dir()


@pytest.mark.parametrize("how", ["a file is missing", "no manifest", "half a manifest"])
def test_half_written(folder, how):
    manifest = folder / "10" / store.MANIFEST
    if how == "a file is missing":
        next(f for f in (folder / "10" / "state").rglob("*") if f.is_file()).unlink()
    elif how == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text()[:40])
    with pytest.warns(UserWarning, match="the one before it is used"):
        assert store.newest_whole(folder)[0].name == "3"


def test_what_a_kill_leaves_is_no_checkpoint(folder):
    (folder / ".20.part").mkdir()
    (folder / ".20.part.orbax-checkpoint-tmp").mkdir()
    assert store.steps(folder) == [3, 10]
    store.clean(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["10", "3"]
    store.remove(folder / "10")
    assert store.steps(folder) == [3]


def test_arrays_are_copied_before_they_are_donated(tmp_path):
    """The next step overwrites the buffers while the checkpoint is being written."""
    import jax

    start = jnp.zeros(1_000_000)
    add = jax.jit(lambda x: x + 1, donate_argnums=0)
    writing = store.Writing(tmp_path / "1", {"raw": {"x": start}})
    for _ in range(20):
        start = add(start)
    start.block_until_ready()
    writing.wait()
    assert float(jnp.max(jnp.abs(store.load_arrays(tmp_path / "1")["raw"]["x"]))) == 0


def test_a_full_disk_costs_the_checkpoint_alone(folder, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ocp, "save_async", full)
    with pytest.raises(OSError, match="No space left"):
        store.save_arrays(folder / "20", GROUPS)
    assert sorted(path.name for path in folder.iterdir()) == ["10", "3"]
    assert json.loads((folder / "10" / store.MANIFEST).read_text())["step"] == 10
