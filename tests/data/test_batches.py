"""A batch is a function of (seed, step): order, epochs, hosts, flips."""

import numpy as np
import pytest

from score_sde.data import ArraySource, Batches, Subset


def counting(n: int, shape: tuple[int, ...] = (2, 3, 1)) -> ArraySource:
    """Example i is full of random bytes, its label is i."""
    pixels = np.random.default_rng(0).integers(0, 256, (n, *shape), np.uint8)
    return ArraySource("counting", pixels, np.arange(n))


def stream(batches: Batches, steps: int, key: str = "index") -> np.ndarray:
    return np.concatenate([batches[step][key] for step in range(steps)])


def test_each_epoch_covers_every_example_once_in_a_new_order():
    batches = Batches(counting(10), 4, seed=5)  # batches lie over the ends of epochs
    epochs = stream(batches, 25).reshape(10, 10)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(10), (10, 1)))
    assert len({tuple(epoch) for epoch in epochs}) == 10


def test_order_is_uniform():
    """Each example is equally often at each place, and each pair of neighbours equally often adjacent (chi-squared)."""
    n, epochs = 6, 3000
    index = stream(Batches(counting(n), n), epochs).reshape(epochs, n)
    places = np.array([[np.sum(index[:, place] == k) for k in range(n)] for place in range(n)])
    pairs = np.array([np.sum((index[:, :-1] == a) & (index[:, 1:] == b)) for a in range(n) for b in range(n) if a != b])
    for counts, freedom in ((places, 25), (pairs, 29)):
        expected = counts.mean()
        assert np.sum((counts - expected) ** 2 / expected) < freedom + 5 * np.sqrt(2 * freedom)


def test_seeds_and_epochs_do_not_share_orders():
    """With a seed for each epoch of seed + epoch, the second epoch of seed 0 would be the first of seed 1."""
    orders = {tuple(Batches(counting(20), 20, seed=seed)[epoch]["index"]) for seed in range(8) for epoch in range(8)}
    assert len(orders) == 64


def test_this_order_stays():
    """A run that is half done must not see another order after an update of this code or of NumPy."""
    assert Batches(counting(10), 10, seed=1)[3]["index"].tolist() == [4, 3, 9, 1, 7, 0, 5, 6, 2, 8]


@pytest.mark.parametrize("flip", [False, True])
def test_four_hosts_see_what_one_sees(flip):
    source = counting(30)
    one = Batches(source, 8, seed=2, flip=flip)
    four = [Batches(source, 8, seed=2, flip=flip, host=host, hosts=4) for host in range(4)]
    for step in range(9):
        together = [host[step] for host in four]
        for key, whole in one[step].items():
            np.testing.assert_array_equal(np.concatenate([part[key] for part in together]), whole)
    np.testing.assert_array_equal(one[7]["position"], np.arange(8))


def test_data_and_labels_belong_to_the_index():
    source = counting(30)
    batch = Batches(source, 8)[4]
    np.testing.assert_array_equal(batch["label"], batch["index"])
    np.testing.assert_array_equal(batch["data"], source.data[batch["index"]])
    assert "label" not in Batches(source, 8, entries=())[4]
    for entries in (None, ("label",), ["data", "label"]):
        assert Batches(source, 8, entries=entries)[4]["label"].tobytes() == batch["label"].tobytes()


def test_flips_mirror_half_of_the_examples_anew_in_each_epoch():
    source = counting(500)
    batches = Batches(source, 50, flip=True)
    mirrored = np.zeros((40, 500), bool)
    for step in range(400):
        batch = batches[step]
        as_it_is = (batch["data"] == source.data[batch["index"]]).all(axis=(1, 2, 3))
        mirror = (batch["data"] == source.data[batch["index"], :, ::-1]).all(axis=(1, 2, 3))
        assert (as_it_is ^ mirror).all()
        mirrored[step // 10, batch["index"]] = mirror
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(mirrored.size)
    assert np.abs(mirrored.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(40)
    agreement = (mirrored[:-1] == mirrored[1:]).mean()  # of an example with itself an epoch later
    assert abs(agreement - 0.5) < 5 * 0.5 / np.sqrt(39 * 500)


def test_a_flip_belongs_to_the_example_and_not_to_its_place_in_a_batch():
    epochs = [{}, {}]
    for seen, size in zip(epochs, (10, 20), strict=True):
        for step in range(40 // size):
            batch = Batches(counting(40), size, flip=True)[step]
            seen.update(zip(batch["index"].tolist(), map(np.ndarray.tobytes, batch["data"]), strict=True))
    assert epochs[0] == epochs[1]


def test_flips_leave_the_source_alone():
    class View(ArraySource):
        def take(self, indices):
            return {"data": self.data}

    source = View("view", counting(8).data)
    before = source.data.copy()
    [Batches(source, 8, flip=True)[step] for step in range(5)]
    np.testing.assert_array_equal(source.data, before)


def with_maps(n: int = 40, flippable: bool = True) -> ArraySource:
    """Images, and what else one may know of them: the image's own first channel as a map and as an image, a vector."""
    pixels = np.random.default_rng(1).integers(0, 256, (n, 4, 5, 3), np.uint8)
    others = {"map": pixels[..., 0], "image": pixels.astype(np.float32), "vector": np.arange(5.0 * n).reshape(n, 5)}
    return ArraySource("maps", pixels, np.arange(n), flippable=flippable, others=others)


def test_a_flip_moves_spatial_entries_too():
    """Bit for bit what happens to the data, example by example; and to nothing else."""
    source = with_maps()
    plain, batches = (
        Batches(source, 10, seed=3),
        Batches(source, 10, seed=3, flip=True, spatial=("map", "image")),
    )
    mirrored = 0
    for step in range(12):
        batch, before = batches[step], plain[step]
        np.testing.assert_array_equal(batch["map"], batch["data"][..., 0])
        np.testing.assert_array_equal(batch["image"], batch["data"].astype(np.float32))
        for key in ("index", "position", "label", "vector"):
            np.testing.assert_array_equal(batch[key], before[key])
        mirrored += (batch["map"] != before["map"]).any(axis=(1, 2)).sum()
    assert 30 < mirrored < 90
    without = Batches(source, 10, seed=3, flip=True)[0]  # the decision does not depend on what is moved with the image
    assert without["data"].tobytes() == batches[0]["data"].tobytes()
    np.testing.assert_array_equal(without["map"], plain[0]["map"])


def test_entries_are_what_is_asked_for():
    source = with_maps()
    always = {"data", "index", "position"}
    assert set(Batches(source, 4)[0]) == always | {"label", "map", "image", "vector"}
    assert set(Batches(source, 4, entries=())[0]) == always
    assert set(Batches(source, 4, entries=["vector"])[0]) == always | {"vector"}
    assert set(Batches(Subset(source, np.arange(8)), 4, entries=["map", "label"])[0]) == always | {"map", "label"}


def test_entries_of_a_source_that_inherits_nothing():
    class Pairs:
        name, shape, levels, num_classes, flippable = "pairs", (2, 2, 1), None, None, False
        entries = ("mask",)

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return {"data": np.full((2, 2, 1), index, np.float32), "mask": np.full((2, 2), index)}

    batch = Batches(Pairs(), 4, entries=("mask",), spatial=("mask",), flip=True)[0]
    np.testing.assert_array_equal(batch["mask"][:, 0, 0], batch["index"])
    Pairs.entries = ("mask", "depth")
    with pytest.raises(ValueError, match=r"pairs names the entry \['depth'\], but its examples have only"):
        Batches(Pairs(), 4, entries=("depth",))[0]
    Pairs.entries = ("index",)
    with pytest.raises(ValueError, match=r"pairs has the entry \['index'\], a name that a batch needs itself"):
        Batches(Pairs(), 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"entries": ("depth",)}, "needs the entry 'depth' of an example, but maps has only 'data', 'label', 'map'"),
        ({"entries": "label"}, r"entries = 'label'; give a list of names, \['label'\]"),
        ({"spatial": ("depth",)}, r"spatial = \['depth'\], but 'depth' is not among the entries of the batch"),
        ({"spatial": ("map",), "entries": ()}, "'map' is not among the entries of the batch"),
        ({"spatial": ("vector",)}, r"'vector' is spatial, but maps has it with shape \(5,\) beside data \(4, 5, 3\)"),
        ({"spatial": ("label",)}, r"allowed: \(4, 5\) or \(4, 5, 'C'\)"),
    ],
)
def test_bad_entries(options, message):
    with pytest.raises(ValueError, match=message):
        Batches(with_maps(), 4, **options)[0]


def test_evaluation_ends_with_a_partial_batch():
    batches = Batches(counting(10), 4, shuffle=False, epochs=1)
    assert len(batches) == 3
    np.testing.assert_array_equal(stream(batches, 3), np.arange(10))
    assert len(batches[2]["data"]) == 2
    with pytest.raises(IndexError):
        batches[3]


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_padded_evaluation_counts_every_example_once(hosts):
    parts = [Batches(counting(10), 4, shuffle=False, epochs=1, pad=True, host=h, hosts=hosts) for h in range(hosts)]
    batches = [part[step] for part in parts for step in range(len(part))]
    assert {len(batch["data"]) for batch in batches} == {4 // hosts}
    seen = np.concatenate([batch["index"][batch["valid"]] for batch in batches])
    np.testing.assert_array_equal(np.sort(seen), np.arange(10))


def test_a_source_without_take_or_base_class():
    class Squares:
        name, shape, levels, num_classes, flippable = "squares", (1,), None, None, False

        def __len__(self):
            return 5

        def __getitem__(self, index):
            return {"data": np.float32([index**2])}

    batch = Batches(Squares(), 5)[0]
    np.testing.assert_array_equal(batch["data"][:, 0], batch["index"] ** 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 11}, "batch_size = 11, but counting has only 10 examples; allowed: up to 10"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"batch_size": 6, "hosts": 4}, "batch_size = 6; it must be a multiple of 4 hosts"),
        ({"batch_size": 4, "host": 2, "hosts": 2}, "host = 2; there are 2"),
        ({"batch_size": 4, "epochs": 1, "hosts": 2}, "needs pad = True"),
        ({"batch_size": 4, "seed": -1}, "seed = -1"),
        ({"batch_size": 4, "epochs": 0}, "epochs = 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Batches(counting(10), **options)


def test_what_the_source_lacks():
    points = ArraySource("points", np.zeros((4, 2), np.float32))
    with pytest.raises(
        ValueError, match="needs the entry 'label' of an example, but points has only 'data'; choose another source"
    ):
        Batches(points, 2, entries=("label",))
    with pytest.raises(ValueError, match=r"flip = True needs images \(H, W, C\), but points has shape \(2,\)"):
        Batches(points, 2, flip=True)
