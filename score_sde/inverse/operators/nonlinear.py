"""Measurements that are not linear: phase retrieval, clipped exposure, blur of light. ``A.linearize(x)`` has their
Jacobians.
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from score_sde.checks import require
from score_sde.inverse.operators.base import IMAGE, STATIC, Operator, as_shape, assign


@dataclasses.dataclass(frozen=True)
class PhaseRetrieval(Operator):
    """y = |FFT(pad(x − black))| / √n: the amplitudes of diffraction, without phases, over the n padded pixels.

    Each side is padded with zeros on both ends to ``oversampling`` times its length, at least; what the benchmarks of DPS
    and DAPS call 2 is 1.5 here. ``black`` is the value of x that means no light (−1 for images in [−1, 1]; 0, the
    default, measures x as it is, and then x and −x cannot be told apart). Shifts within the padding and the image
    turned by 180° always measure the same. All frequencies are measured: those of a real image come twice.
    """

    oversampling: float = dataclasses.field(default=2.0, metadata=STATIC)
    black: float = dataclasses.field(default=0.0, metadata=STATIC)

    linear = False

    def __post_init__(self):
        assign(self, shape=as_shape(self.shape, IMAGE))
        require(self.oversampling >= 1, f"oversampling = {self.oversampling}; allowed: 1 (no padding) or more")

    def apply(self, x: Float[Array, "height width channels"]) -> Float[Array, "rows columns channels"]:
        margins = [round((self.oversampling - 1) * n / 2) for n in self.shape[:2]]
        padded = jnp.pad(x - self.black, (*((m, m) for m in margins), (0, 0)))
        return jnp.abs(jnp.fft.fft2(padded, axes=(0, 1), norm="ortho"))


@dataclasses.dataclass(frozen=True)
class HDR(Operator):
    """y = clip(exposure · x, −1, 1): what an overexposed picture keeps of a scene of high dynamic range (x in [−1, 1]).

    The derivative is 0 where it is clipped.
    """

    exposure: float = dataclasses.field(default=2.0, metadata=STATIC)

    linear = False

    def __post_init__(self):
        super().__post_init__()
        require(self.exposure > 0, f"exposure = {self.exposure}; allowed: above 0")

    def apply(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return jnp.clip(self.exposure * x, -1.0, 1.0)


@dataclasses.dataclass(frozen=True, init=False)
class NonlinearBlur(Operator):
    """y = g⁻¹(B g(x)): a linear ``blur`` B of light, where pixels in [−1, 1] are gamma-encoded.

    With u = (x + 1)/2, light is g = sign(u) ((|u| + ε)^γ − ε^γ), ε = 0.05: a power law that is increasing and has a
    derivative on all of R, so that values below black do no harm. It is a model of a camera; the "nonlinear blur" of
    DPS is another problem, a network that was trained on GOPRO.
    """

    blur: Operator
    gamma: float = dataclasses.field(metadata=STATIC)

    linear = False

    def __init__(self, blur: Operator, gamma: float = 2.2):
        require(gamma > 0, f"gamma = {gamma}; allowed: above 0 (1 is the linear blur)")
        require(
            blur.measured == blur.shape,
            f"blur maps {blur.shape} to {blur.measured}; it must keep the shape of the image",
        )
        assign(self, blur=blur, gamma=gamma, shape=blur.shape)

    def apply(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        dark = EPSILON**self.gamma
        light = _odd(lambda u: (u + EPSILON) ** self.gamma - dark, (x + 1) / 2)
        return 2 * _odd(lambda g: (g + dark) ** (1 / self.gamma) - EPSILON, self.blur.apply(light)) - 1


EPSILON = 0.05


def _odd(f: Callable[[Array], Array], u: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """sign(u) f(|u|), whose derivative at 0 is f'(0)."""
    sign = jnp.where(u >= 0, 1.0, -1.0).astype(u.dtype)
    return sign * f(sign * u)
