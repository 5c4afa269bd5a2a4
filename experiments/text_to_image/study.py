"""Captions that were never seen: do text-conditional models of ``shapes`` and of ``emoji`` draw what they say?

    apt-get install fonts-noto-color-emoji && pip install emoji
    python experiments/text_to_image/study.py train shapes                  ten minutes on two cores; resumable
    python experiments/text_to_image/study.py train emoji                   an hour; a third: --seed=1 --share=3
    python experiments/text_to_image/study.py train emoji --encoder=minilm  MiniLM in the place of learned words
    python experiments/text_to_image/study.py judge NAME                    a model in runs/text_to_image or in the box
    python experiments/text_to_image/study.py show                          results.md, scale.png, emoji.png

Every figure is of held-out combinations, by the judge of the source, which sees pixels alone. ``shuffled``: each picture is
judged by the caption of another. Variety: the deviation of ``EACH`` pictures of one caption, relative to that of all real
ones. Other wordings: the same combinations in words and an order that no caption of the training data has.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import matplotlib
import numpy as np

import score_sde as ss
from score_sde import plots
from score_sde.data import Subset
from score_sde.data.source import ArraySource, mixed
from score_sde.evaluation import Agreement, Subject, evaluate, examples
from score_sde.experiment import Run
from score_sde.interop import read_config
from score_sde.objects import import_object

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUNS, RESULTS = ROOT / "runs" / "text_to_image", HERE / "results.json"
SCALES, N, EACH = (1.0, 1.5, 2.0, 3.0, 5.0), 512, 4
OTHER_WORDS = {
    "shapes": "at the {place} there is a {shape}, {colour} and {size}",
    "emoji": "{tone} skin: {base}",
}


def train(data: str, seed: int, share: int, encoder: str) -> None:
    """One training with a part of the steps."""
    config = read_config(str(ROOT / "configs" / "conditional" / f"{data}.py"))
    config.seed = seed
    config.training.steps //= share
    if encoder == "minilm":
        config.conditions.text.text = {"name": "mini_lm", "length": 24}
    ss.train(config, RUNS / name_of(data, seed, share, encoder))


def name_of(data: str, seed: int, share: int, encoder: str) -> str:
    """Of the folder."""
    parts = (
        [data] + [f"seed_{seed}"] * (seed != 42) + [f"part_{share}"] * (share > 1) + [encoder] * (encoder != "words")
    )
    return "_".join(parts)


def measured(run: Run, images: Any, scale: float, shuffled: bool = False) -> dict[str, Any]:
    """The share of pictures that agree with their captions."""
    judge = import_object(run.config.measures.agreement.judge)
    sampler = partial(ss.samplers.dpm_solver, steps=19, order=2)
    measure = Agreement(judge, scale=scale, shuffled=shuffled, first=None, sampler=sampler)
    subject = Subject(run.model, run.scaling, run.experiment.conditions)
    found = evaluate(subject, {"agreement": measure}, examples(images, 128), jax.random.key(0))["agreement"]
    others = {name: round(value["mean"], 4) for name, value in found.items() if isinstance(value, dict)}
    return {"all": [round(found["mean"], 4), round(found["standard_error"], 4)], **others}


def variety(run: Run, images: Any, scale: float) -> float:
    """The deviation of pictures of one caption over that of real pictures."""
    captions = images.take(np.arange(0, len(images), max(len(images) // 64, 1)))["caption"]
    told = {"text": np.repeat(captions, EACH, axis=0)}
    model = (
        run.model if scale == 1 else ss.guidance.classifier_free(run.model, scale, null=run.experiment.conditions.null)
    )
    out = ss.samplers.dpm_solver(
        model, jax.random.key(1), len(told["text"]), run.shape, condition=told, steps=19, order=2
    )
    x = np.asarray(out.x).reshape(len(captions), EACH, -1)
    real = np.asarray(run.from_images(images.take(np.arange(len(images)))["data"])).reshape(len(images), -1)
    return float(np.sqrt(x.var(axis=1, ddof=1).mean() / real.var(axis=0).mean()))


def held_out(run: Run) -> Any:
    """At most N held-out pictures, evenly over the combinations."""
    source = run.source("test")
    return Subset(source, mixed(min(N, len(source)), len(source)))


def in_other_words(run: Run, data: str) -> Any:
    """The same combinations in another wording."""
    plain: ArraySource = ss.data.sources.open_source(data, "test")
    rows = mixed(min(N, len(plain)), len(plain))
    captions = [reworded(data, str(caption)) for caption in plain.others["caption"][rows]]
    others = {name: values[rows] for name, values in plain.others.items()}
    source = ArraySource(data, plain.data[rows], others={**others, "caption": np.array(captions)})
    return ss.data.captioned.Captioned.of(source, run.experiment.conditions.encoders)


def reworded(data: str, caption: str) -> str:
    """A caption in other words and another order."""
    if data == "emoji":
        base, _, tone = caption.rpartition(", ")
        return OTHER_WORDS["emoji"].format(base=base, tone=tone.removesuffix(" skin tone"))
    thing, _, place = caption.removeprefix("a ").partition(" at the ")
    size, colour, shape = thing.split()
    return OTHER_WORDS["shapes"].format(place=place, shape=shape, colour=colour, size=size)


def judge(name: str) -> None:
    """Everything about one model, into the file of results as it is found."""
    run = ss.load(RUNS / name) if (RUNS / name).exists() else ss.pretrained(name)
    data, images = run.config.data.name, held_out(run)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known = results.setdefault(name, {"steps": run.step})

    def keep(title: str, value: Any) -> None:
        known[title] = value
        print(name, title, value, flush=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")

    for scale in SCALES:
        if f"w {scale}" not in known:
            keep(f"w {scale}", {**measured(run, images, scale), "variety": round(variety(run, images, scale), 4)})
    if "shuffled" not in known:
        keep("shuffled", measured(run, images, 1.5, shuffled=True))
    if "other words" not in known:
        keep("other words", measured(run, in_other_words(run, data), 1.5))
    picture(run, name)


def picture(run: Run, name: str) -> None:
    """Real pictures of held-out captions, and generated ones under them."""
    source = ss.data.sources.open_source(run.config.data.name, "test")
    rows = np.random.default_rng(0).choice(len(source), 10, replace=False)
    real = source.take(rows)
    captions = [str(caption) for caption in real["caption"]]
    out = run.sample(jax.random.key(2), 10, condition=run.condition(text=captions))
    whole = np.concatenate([real["data"], np.asarray(run.to_images(out.x))])
    plots.captioned(whole, ["real: " + c for c in captions] + captions, 256, columns=10, path=HERE / f"{name}.png")


def show() -> None:
    """The table, and accuracy and variety against scale."""
    results = json.loads(RESULTS.read_text())
    lines = [
        f"{N} held-out pictures (all 109 of emoji), multistep of order 2 with 20 evaluations; jax {jax.__version__}, CPU."
    ]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for name, found in results.items():
        shown = [title for title in found if title != "steps"]
        columns = list(dict.fromkeys(column for title in shown for column in found[title]))
        lines += [
            "",
            f"## {name}, {found['steps']:,} steps",
            "",
            f"| | {' | '.join(columns)} |",
            "|---" * (len(columns) + 1) + "|",
        ]
        for title in shown:
            cells = [found[title].get(column, "") for column in columns]
            cells = [f"{cell[0]:.3f} ± {cell[1]:.3f}" if isinstance(cell, list) else str(cell) for cell in cells]
            lines.append(f"| {title} | {' | '.join(cells)} |")
        scales = [scale for scale in SCALES if f"w {scale}" in found]
        right = np.array([found[f"w {scale}"]["all"] for scale in scales])
        axes[0].errorbar(scales, right[:, 0], 1.96 * right[:, 1], marker="o", ms=4, capsize=2, label=name)
        axes[1].plot(scales, [found[f"w {scale}"]["variety"] for scale in scales], marker="o", ms=4)
    for axis, title in zip(
        axes, ("share with all attributes right", "variety of one caption / of real pictures"), strict=True
    ):
        axis.set(title=title, xlabel="scale w")
    axes[0].legend(fontsize=8)
    figure.savefig(HERE / "scale.png", dpi=110)
    (HERE / "results.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "judge", "show"))
    parser.add_argument("name", nargs="?", help="shapes or emoji; the name of a model for judge")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--share", type=int, default=1, help="train for one of so many parts")
    parser.add_argument("--encoder", choices=("words", "minilm"), default="words")
    options = parser.parse_args()
    if options.what == "show":
        show()
    elif options.what == "judge":
        judge(options.name)
    else:
        train(options.name, options.seed, options.share, options.encoder)


if __name__ == "__main__":
    main()
