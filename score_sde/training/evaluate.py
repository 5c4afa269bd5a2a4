"""What is measured beside the training loss: the loss on held-out data, at each noise level, and pictures."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from score_sde import losses
from score_sde.config import build_conditions, build_loss, build_source, get
from score_sde.data import DataScaling, evaluation_batches
from score_sde.data.batches import take
from score_sde.devices import gathered
from score_sde.randomness import example_keys, keys_of
from score_sde.training.state import TrainState


class HeldOut:
    """The held-out split, with the averaged weights and without dropout. Labels, where there are any, are not dropped."""

    def __init__(self, config: ConfigDict, scaling: DataScaling):
        self.config = ConfigDict(config.to_dict())
        self.config.training.label_dropout = 0.0
        self.scaling = scaling
        self.source = build_source(config, get(config, "data.eval_split", "test"))
        self.key = jax.random.key(get(config, "seed") + 1)
        self._independent, self._even = self._per_example(stratified=False), self._per_example(stratified=True)

    def _per_example(self, stratified: bool):
        """Even times make one batch's mean steadier, independent ones its standard error right."""
        config = ConfigDict(self.config.to_dict())
        config.training.stratified = stratified
        per_example = build_loss(config, self.scaling)

        def loss(model, batch, key):
            keys = keys_of(key, batch["index"])
            return per_example(losses.without_dropout(model), batch, keys, jnp.zeros((), jnp.int32))[0]

        return jax.jit(loss)

    def loss(self, state: TrainState, step: int) -> float:
        """Of one batch, another one each time, as in the original. Each host does the same on its own device."""
        model = self.model(state)
        n, size = len(self.source), min(get(self.config, "training.batch_size"), len(self.source))
        index = np.random.default_rng([get(self.config, "seed"), step]).choice(n, size, replace=False)
        return float(jnp.mean(self._even(model, self._rows(index), jax.random.fold_in(self.key, step))))

    def whole_loss(self, model: Any) -> dict[str, float]:
        """The mean over the whole split, with its standard error."""
        size = min(get(self.config, "eval.batch_size"), len(self.source))
        values = []
        for batch in evaluation_batches(self.source, size):
            count = len(batch["index"])
            rows = {name: np.resize(value, (size, *value.shape[1:])) for name, value in batch.items()}
            values.append(np.asarray(self._independent(model, _jaxable(rows), self.key))[:count])
        all_values = np.concatenate(values)
        return {
            "loss": float(all_values.mean()),
            "loss_standard_error": float(all_values.std(ddof=1) / np.sqrt(len(all_values))),
            "images": len(all_values),
        }

    def per_level(self, model: Any, examples: int = 256) -> tuple[np.ndarray, np.ndarray]:
        """(log-SNR, E‖ε̂ − ε‖²/D) over noise levels, on the first held-out examples."""
        batch = self._rows(np.arange(min(examples, len(self.source))))
        times = losses.levels(model.sde)
        keys = example_keys(self.key, jnp.zeros((), jnp.int32), batch["index"])
        condition = build_conditions(self.config).of(batch)
        values = _per_level(model, self.scaling.forward(batch["data"], keys), keys, times, condition)
        return np.asarray(model.sde.log_snr(times)), np.asarray(values)

    def snapshot(self, state: TrainState, step: int, workdir: Path, metrics: Any) -> None:
        """Samples as a picture, and the reports: loss curve, loss per noise level."""
        from score_sde import plots
        from score_sde.run import Run
        from score_sde.training.metrics import read

        model = self.model(state)
        if jax.process_index() != 0:
            return
        log_snr, values = self.per_level(model)
        plots.loss_per_level(workdir / "reports" / "loss_per_level.png", log_snr, {f"step {step}": values})
        plots.loss_curve(workdir / "reports" / "loss.png", read(workdir))
        run = Run(model, self.config, step, "ema", workdir)
        n = get(self.config, "training.snapshot_samples", 64)
        out = run.sample(jax.random.fold_in(self.key, step), n, condition=run.some_labels(n))
        picture = plots.save_samples(workdir / "samples" / f"{step}.png", run.to_images(out.x), self.scaling.levels)
        if picture is not None and metrics is not None:
            metrics.image(step, "samples", picture)

    def model(self, state: TrainState) -> Any:
        """The model with averaged weights, whole, on this host's first device. Every host must ask for it."""
        return state.structure.build(gathered(state.weights("ema")))

    def _rows(self, index: np.ndarray) -> dict[str, Any]:
        rows = dict(take(self.source, index))
        return _jaxable(rows | {"index": index.astype(np.int32)})


_per_level = jax.jit(losses.per_level)


def _jaxable(batch: dict[str, Any]) -> dict[str, jax.Array]:
    return {name: jnp.asarray(value) for name, value in batch.items()}
