"""--mode=edit: change pictures, all of them or a part, towards a prompt or a class.

Without a mask: SDEdit with a ``strength``. With one, a model that is told the rest of the picture (``control.Hidden``, by
concatenation) paints the hidden part; any other model draws it by SDEdit. Outside the mask the pictures stay as they are, to
the last bit.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool
from ml_collections import ConfigDict

from score_sde import plots, samplers
from score_sde.conditions import Condition
from score_sde.control import Hidden
from score_sde.control.hidden import hidden
from score_sde.data.batches import take
from score_sde.denoiser import Denoiser
from score_sde.experiment.evaluate import loaded, steps_of
from score_sde.experiment.loading import experiment_of
from score_sde.experiment.pictures import opened, pictures
from score_sde.experiment.run import Run
from score_sde.files import written_whole
from score_sde.inverse.operators import box_mask, outpainting_mask

SHOWN, AT_ONCE = 40, 1000
MASKS = {"box": box_mask, "outside": outpainting_mask}


def edit(
    config: Mapping[str, Any] | ConfigDict,
    workdir: str | Path,
    images: str,
    *,
    strength: float | None = None,
    mask: str | None = None,
    prompts: Sequence[str] = (),
    label: int | None = None,
    n: int | None = None,
    folder: str = "edit",
) -> Path:
    """Edit ``images`` (a file, a folder or a source; the first n), by the prompts in turn, to the class ``label``, or both.
    The sampler is a multistep method with 20 steps, whatever the config's.

    strength    above 0, little, to 1, everything; by default 0.6, and 1 with a mask
    mask        a picture that is white where it is to be painted; or "box:SIZE", a square in the middle, or "outside:SIZE",
                all around one

    FOLDER/STEP.npz has ``original``, ``edited``, ``mask``; FOLDER/STEP.png shows them. Returns the .npz of the last step.
    """
    workdir, experiment = Path(workdir), experiment_of(config)
    for step in steps_of(experiment, workdir):
        run, file = loaded(workdir, experiment, step, "edit"), workdir / folder / f"{step}.npz"
        source = pictures(run, images)
        count = n or max(len(source), len(prompts))
        if count > AT_ONCE:
            raise ValueError(f"{count} pictures at once; allowed: up to {AT_ONCE}. Give --num_samples, or fewer images")
        original = take(source, np.arange(count) % len(source))["data"]
        where = None if mask is None else mask_of(mask, run)
        condition = told(run, original, prompts, label, where)
        chosen = (0.6 if where is None else 1.0) if strength is None else strength
        edited = edited_by(run, original, condition, chosen, where)
        if jax.process_index() == 0:
            arrays = {"original": original, "edited": edited} | ({} if where is None else {"mask": where})
            with written_whole(file) as part, part.open("wb") as stream:
                np.savez(stream, **arrays)  # type: ignore[arg-type]
            white = (run.scaling.levels or 256) - 1
            seen = original if where is None else np.where(where, white, original).astype(original.dtype)
            both = {"before": seen[:SHOWN], "after": edited[:SHOWN]}
            with written_whole(file.with_suffix(".png")) as part:
                plots.image_grids(both, run.scaling.levels, columns=min(8, count), path=part)
            print(f"written {file} ({', '.join(arrays)}) and {file.with_suffix('.png').name}")
    return file


def told(
    run: Run, original: np.ndarray, prompts: Sequence[str], label: int | None, mask: Bool[np.ndarray, "h w 1"] | None
) -> Condition:
    """Prompts and label; and what is made from pictures, from these: an edit keeps the edges that the model is told."""
    n, conditions = len(original), run.experiment.conditions
    values: dict[str, Any] = conditions.made_of({"data": original}, run.keys(n))
    for name, leaf in conditions.leaves.items():
        if mask is not None and isinstance(leaf.made, Hidden):
            x = jax.vmap(leaf.made.unit)(jnp.asarray(original))
            values[name] = jax.vmap(lambda x: hidden(x, jnp.asarray(mask[..., 0])))(x)
    guiding = run.experiment.guiding_leaf
    if label is not None and guiding is None:
        values["label"] = label
    condition = run.prompted(prompts, n, **values) if prompts else run.condition(n, **values)
    if label is not None and guiding is not None:
        condition = {**(condition or {}), guiding: jnp.full(n, label)}
    return condition


def edited_by(
    run: Run, original: np.ndarray, condition: Condition, strength: float, mask: Bool[np.ndarray, "h w 1"] | None
) -> np.ndarray:
    """The pictures after the edit, in the form of the data; not those that a sampler failed for, which raise an error."""
    x, key = run.from_images(original), jax.random.key(run.config.seed)
    model = run.guided(condition)
    if not isinstance(model, Denoiser):
        raise ValueError(
            "an edit follows a denoiser from some noise level down; this run is of a flow map or another model"
        )
    out = samplers.edit(model, key, x, strength, condition=condition)
    failed = np.flatnonzero(np.asarray(out.failed_at) >= 0)
    if failed.size:
        raise ValueError(f"the sampler failed for the pictures {failed.tolist()}: their values became infinite")
    edited = run.to_images(out.x)
    return np.asarray(edited if mask is None else samplers.pasted(original, edited, mask))


def mask_of(text: str, run: Run) -> Bool[np.ndarray, "h w 1"]:
    """True where pictures are to be painted."""
    kind, _, size = text.partition(":")
    if kind in MASKS and size.isdigit():
        return ~np.asarray(MASKS[kind](run.shape, int(size)).mask)[..., :1]
    path = Path(text).expanduser()
    if not path.is_file():
        raise ValueError(
            f'mask = {text!r}; give a picture, white where it is to be painted, or "box:SIZE", "outside:SIZE"'
        )
    mask = opened(path, run, 1) > 127
    if not mask.any():
        raise ValueError(f"the mask {path} is black everywhere: nothing is to be painted. White is painted")
    return mask
