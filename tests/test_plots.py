"""Pictures show what they are said to show: measured in the files that were written."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import score_sde as ss
from score_sde import plots
from score_sde.data.contact_sheet import grid


def samples(states: np.ndarray, last: np.ndarray) -> ss.samplers.Samples:
    """What a sampler would return that went through these states to the last."""
    n = last.shape[0]
    record = {"t": np.linspace(1, 0.1, len(states)), "x": states, "x0": -states}
    one, none = jnp.ones(n, int), jnp.full(n, -1)
    return ss.samplers.Samples(jnp.asarray(last), one, jnp.asarray(1), none, jnp.arange(n), record)


def frames_of(gif: bytes) -> list[np.ndarray]:
    picture = Image.open(io.BytesIO(gif))
    frames = []
    for k in range(picture.n_frames):
        picture.seek(k)
        frames.append(np.asarray(picture.convert("RGB")))
    return frames


def drawn(images: np.ndarray, columns: int) -> np.ndarray:
    """The grid that these images in [-1, 1] must give."""
    shown = np.round(127.5 * (np.clip(images, -1, 1) + 1)).astype(np.uint8)
    return grid(np.repeat(shown, 3, axis=3), columns)


class TestFilm:
    def test_it_begins_with_the_noise_and_ends_with_the_samples(self, tmp_path):
        """On the way of a real sampler: one frame for each record, and one for the result."""
        truth = ss.analytic.Gaussian(jnp.zeros((4, 4, 1)), factors=0.5 * jnp.ones((1, 4, 4, 1)), std=0.1)
        model, key = truth.denoiser(ss.VP()), jax.random.key(0)
        out = ss.samplers.ddim(
            model, key, 6, (4, 4, 1), steps=9, record=ss.samplers.trajectory, save_every=2, final="none"
        )
        plots.film(out, tmp_path / "film.gif", columns=3)
        frames = frames_of((tmp_path / "film.gif").read_bytes())
        assert len(frames) == 5 + 1
        noise = ss.samplers.samples.latents(model.sde, key, jnp.arange(6), (4, 4, 1), model.sde.t_max_sampling)
        np.testing.assert_array_equal(frames[0], drawn(np.asarray(noise), 3))
        np.testing.assert_array_equal(frames[-1], drawn(np.asarray(out.x), 3))

    def test_posterior_means_and_range(self):
        states, last = np.full((2, 1, 2, 2, 1), 2.0), np.full((1, 2, 2, 1), 4.0)
        shown = frames_of(plots.film(samples(states, last), show="x0", limits=(-4, 4)).gif)
        centre = [int(frame[32, 32, 0]) for frame in shown]
        assert centre[0] == round(255 * 2 / 8)  # x0 = -2
        assert centre[-1] == 255

    def test_points_lie_where_they_are(self):
        """The blue of a single point moves from the lower left to the upper right of the frame."""
        way = np.array([[[-1.0, -1.0]], [[0.0, 0.0]]])
        film = plots.film(samples(way, np.array([[1.0, 1.0]])), extent=(-2, 2, -2, 2))
        seen = []
        for frame in film.frames:
            blue = frame[..., 2].astype(int) - frame[..., 0] > 40
            rows, columns = np.nonzero(blue)
            seen.append((columns.mean(), rows.mean()))
        (x0, y0), (x1, y1), (x2, y2) = seen
        assert x0 < x1 < x2
        assert y0 > y1 > y2  # pixels are counted from the top
        assert x2 - x1 == pytest.approx(x1 - x0, abs=1)
        assert x2 - x0 == pytest.approx(y0 - y2, abs=1)  # an inch is an inch in both directions

    def test_a_notebook_shows_it(self):
        html = plots.film(samples(np.zeros((1, 1, 2, 2, 3)), np.ones((1, 2, 2, 3))))._repr_html_()
        assert html.startswith('<img alt="trajectory" src="data:image/gif;base64,R0lGOD')

    def test_how_long(self):
        states = np.linspace(-1, 0, 4).reshape(4, 1, 1, 1, 1) * np.ones((4, 1, 2, 2, 1))
        picture = Image.open(io.BytesIO(plots.film(samples(states, np.ones((1, 2, 2, 1))), seconds=2, hold=1).gif))
        times = []
        for k in range(picture.n_frames):
            picture.seek(k)
            times.append(picture.info["duration"])
        assert times == [400, 400, 400, 400, 1400]

    def test_bad_input(self):
        whole = samples(np.zeros((2, 1, 2)), np.zeros((1, 2)))
        with pytest.raises(ValueError, match=r"sample with record=ss\.samplers\.trajectory"):
            plots.film(dataclasses.replace(whole, record=None))
        with pytest.raises(ValueError, match=r"samples have shape \(7,\); a film shows images"):
            plots.film(samples(np.zeros((2, 3, 7)), np.zeros((3, 7))))
        with pytest.raises(ValueError, match=r"limits = \(1.0, -1.0\)"):
            plots.film(samples(np.zeros((1, 1, 2, 2, 1)), np.zeros((1, 2, 2, 1))), limits=(1.0, -1.0))
        with pytest.raises(ValueError, match="none of the samples is finite"):
            plots.film(samples(np.zeros((1, 1, 2)), np.full((1, 2), np.nan)))


class TestPlane:
    MODE = (0.9, -0.6)

    def test_the_density_is_darkest_at_its_maximum(self, tmp_path):
        """Measured in the file: pixels to coordinates by the axes' own transform."""
        truth = ss.analytic.GaussianMixture([self.MODE, [-1.0, 0.7]], [0.2, 0.4], [0.7, 0.3])
        figure = plots.plane(truth.log_prob, extent=(-2, 2, -1.5, 1.5), path=tmp_path / "density.png")
        with Image.open(tmp_path / "density.png") as file:
            picture = np.asarray(file.convert("RGB")).astype(int)
        blue = np.where(np.abs(picture - [0x3B, 0x6F, 0xB6]).sum(axis=2) <= 3)
        figure.set_dpi(130)
        at = figure.axes[0].transData.inverted().transform((blue[1].mean(), picture.shape[0] - 1 - blue[0].mean()))
        np.testing.assert_allclose(at, self.MODE, atol=0.05)

    def test_arrows_of_the_score_point_at_the_mode(self):
        truth = ss.analytic.Gaussian(jnp.asarray(self.MODE), 0.25 * np.eye(2))
        model = truth.denoiser(ss.VP())
        figure = plots.plane(field=lambda x: model.score(x, 1e-4), arrows=8)
        quiver = figure.axes[0].collections[0]
        to_mode = np.array(self.MODE) - np.stack([quiver.X, quiver.Y], axis=1)
        along = np.stack([quiver.U, quiver.V], axis=1)
        length = np.linalg.norm(along, axis=1)
        cosine = (to_mode * along).sum(axis=1) / np.linalg.norm(to_mode, axis=1) / length
        np.testing.assert_allclose(cosine, 1, atol=1e-3)
        order = np.argsort(np.linalg.norm(to_mode, axis=1))
        assert (np.diff(length[order]) > -1e-5).all()  # a Gaussian's score grows with the distance,
        assert length.max() < 4 / 8  # and no arrow reaches its neighbour

    def test_it_draws_into_axes_of_ones_own(self):
        from matplotlib.figure import Figure

        figure = Figure()
        left, right = figure.subplots(1, 2)
        assert plots.plane(points=np.zeros((3, 2)), axes=right, title="right") is figure
        assert not left.collections
        assert right.get_title() == "right"

    def test_bad_input(self):
        with pytest.raises(ValueError, match="nothing to draw"):
            plots.plane()
        with pytest.raises(ValueError, match=r"extent = \(1.0, -1.0, 0.0, 1.0\)"):
            plots.plane(lambda x: x[:, 0], extent=(1.0, -1.0, 0.0, 1.0))
        with pytest.raises(ValueError, match=r"log_prob returned shape .* need \(14400,\)"):
            plots.plane(lambda x: x)
        with pytest.raises(ValueError, match="field is not finite at 578 of 578 places"):
            plots.plane(field=lambda x: x * jnp.nan)


CURVES = {"step 1": np.geomspace(1e-3, 1, 5)}


class TestFiles:
    def test_losses_are_on_the_axes_as_they_are(self, tmp_path):
        figure = plots.loss_per_level(tmp_path / "loss.png", np.linspace(-5, 5, 5), CURVES)
        (line,) = figure.axes[0].lines
        np.testing.assert_array_equal(line.get_xdata(), np.linspace(-5, 5, 5))
        np.testing.assert_array_equal(line.get_ydata(), CURVES["step 1"])
        assert figure.axes[0].get_yscale() == "log"
        lines = [{"step": k, "loss": 1 / k} for k in range(1, 9)] + [{"step": 8, "eval_loss": 0.5}]
        raw, smooth, *_ = plots.loss_curve(None, lines).axes[0].lines
        np.testing.assert_allclose(raw.get_ydata(), 1 / np.arange(1, 9))
        np.testing.assert_allclose(smooth.get_ydata(), raw.get_ydata())

    def test_a_picture_is_whole_or_the_old_one(self, tmp_path, monkeypatch):
        """A process that dies while it writes leaves what was there, and nothing beside it."""
        from matplotlib.figure import Figure

        path = tmp_path / "reports" / "loss.png"
        plots.loss_per_level(path, np.arange(5), CURVES)
        old = path.read_bytes()

        def dies(self, file, **_):
            file.write_bytes(b"half a pic")
            raise KeyboardInterrupt

        monkeypatch.setattr(Figure, "savefig", dies)
        with pytest.raises(KeyboardInterrupt):
            plots.loss_per_level(path, np.arange(5), CURVES)
        assert path.read_bytes() == old
        assert list(path.parent.iterdir()) == [path]

    def test_samples_of_every_kind(self, tmp_path):
        images = (np.arange(12).reshape(3, 2, 2, 1) % 5).astype(np.uint8)
        picture = plots.save_samples(tmp_path / "a.png", images, 5, columns=3)
        with Image.open(tmp_path / "a.png") as file:
            np.testing.assert_array_equal(np.asarray(file), picture)
        assert picture[2, 2, 0] == 0
        assert picture[33 + 2, 33 + 2, 0] == round(255 * 3 / 4)  # the first image's last pixel has level 3 of 0 to 4
        assert plots.save_samples(tmp_path / "b.png", np.zeros((5, 2)), None) is None
        assert (tmp_path / "b.png").exists()
        assert plots.save_samples(tmp_path / "c.png", np.zeros((5, 3)), None) is None
        assert not (tmp_path / "c.png").exists()

    def test_a_notebook_shows_a_figure_without_pyplot(self):
        """Its own picture, 100 dots an inch: the inline backend is asked only once pyplot has drawn something."""
        figure = plots.loss_per_level(None, np.arange(5), CURVES)
        assert Image.open(io.BytesIO(figure._repr_png_())).size == (600, 380)

    def test_grids_side_by_side(self):
        images = np.arange(8).reshape(8, 1, 1, 1)
        figure = plots.image_grids({"one": images, "other": images[::-1]}, 8, columns=4)
        one, other = (axes.images[0].get_array() for axes in figure.axes)
        assert [axes.get_title() for axes in figure.axes] == ["one", "other"]
        assert one[10, 10, 0] == 0
        assert other[10, 10, 0] == 255
        with pytest.raises(ValueError, match=r"the images of 'flat' have shape \(4, 64\)"):
            plots.image_grids({"flat": np.zeros((4, 64))}, 8)
