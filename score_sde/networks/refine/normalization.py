"""Instance normalisation that keeps the mean of each channel (Song & Ermon 2019, appendix A.1)."""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from score_sde.networks.blocks import Image

Variance = Literal["unbiased", "population"]
Labels: TypeAlias = Int[Array, "batch"] | None
EPSILON = 1e-5


class InstanceNormPlus(nnx.Module):
    """InstanceNorm++: y = γ (x − μ)/√(v + ε) + γ α (μ − m)/√(s² + ε) + β, with γ, α and β for each channel,

    where μ and v are the mean and the variance of a channel over space, m and s² those of the μ over channels. With
    ``classes``: γ, α and β for each class. ``variance``: whether s² is divided by C − 1 or by C; v is over n pixels.
    """

    def __init__(self, channels: int, *, classes: int | None, variance: Variance, rngs: nnx.Rngs):
        if classes is None:
            self.scale, self.mean_scale = (_near_one(rngs, channels) for _ in range(2))
            self.bias = nnx.Param(jnp.zeros(channels))
        else:
            start = jnp.concatenate([_near_one(rngs, classes, 2, channels)[...], jnp.zeros((classes, 1, channels))], 1)
            self.embedding = nnx.Param(start)
        self.classes = classes
        self.variance = variance

    def __call__(self, x: Image, labels: Labels) -> Image:
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        mean, centred, v = _moments(wide)
        means = mean - jnp.mean(mean, -1, keepdims=True)
        spread = jnp.sum(jnp.square(means), -1, keepdims=True) / _divisor(x.shape[-1], self.variance)
        scale, mean_scale, bias = self._parameters(labels, wide)
        shift = scale * mean_scale * means * jax.lax.rsqrt(spread + EPSILON) + bias
        return (centred * (scale * jax.lax.rsqrt(v + EPSILON)) + shift).astype(x.dtype)

    def _parameters(self, labels: Labels, x: Array) -> list[Float[Array, "rows *ones channels"]]:
        """γ, α, β: of all examples, or of the class of each."""
        if self.classes is None:
            three = jnp.stack([p[...] for p in (self.scale, self.mean_scale, self.bias)])[None]
        else:
            three = self.embedding[...][labels]
        three = three.astype(x.dtype).reshape(-1, 3, *(1,) * (x.ndim - 2), x.shape[-1])
        return [three[:, i] for i in range(3)]


class VarianceNorm(nnx.Module):
    """y = α x/√(v + ε), with the variance v of each channel over space; ``variance``: over n − 1 or n pixels."""

    def __init__(self, channels: int, *, classes: int | None, variance: Variance, rngs: nnx.Rngs):
        if classes is not None:
            raise ValueError('normalization = "variancenorm" has no parameters by label; use "instancenorm++"')
        self.mean_scale = _near_one(rngs, channels)
        self.classes = None
        self.variance = variance

    def __call__(self, x: Image, labels: Labels) -> Image:
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        pixels = math.prod(x.shape[1:-1])
        v = _moments(wide)[2] * pixels / _divisor(pixels, self.variance)
        return (self.mean_scale[...].astype(wide.dtype) * wide * jax.lax.rsqrt(v + EPSILON)).astype(x.dtype)


def _moments(x: Image) -> tuple[Array, Array, Array]:
    """The mean of each channel over space, x without it, and the variance."""
    space = tuple(range(1, x.ndim - 1))
    mean = jnp.mean(x, space, keepdims=True)
    centred = x - mean
    return mean, centred, jnp.mean(jnp.square(centred), space, keepdims=True)


def _divisor(n: int, variance: Variance) -> int:
    return n - 1 if variance == "unbiased" else n


def _near_one(rngs: nnx.Rngs, *shape: int) -> nnx.Param:
    return nnx.Param(1 + 0.02 * jax.random.normal(rngs.params(), shape))


MakeNorm: TypeAlias = Callable[[int], Any]
"""From the number of channels to a norm."""
NORMS: dict[str, type] = {"instancenorm++": InstanceNormPlus, "variancenorm": VarianceNorm}


def norm_of(name: str, **options: Any) -> MakeNorm:
    """The constructor of the norm of this name."""
    return functools.partial(NORMS[name], **options)
