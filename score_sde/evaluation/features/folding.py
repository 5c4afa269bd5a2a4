"""A convolution and the normalisation with fixed moments that follows it, as one convolution."""

from collections.abc import Mapping
from typing import Any

import numpy as np

EPSILON = 1e-3
"""Of TensorFlow's batch normalisation, in both networks."""


def folded(state: Mapping[str, Any], conv: str, norm: str, name: str) -> dict[str, np.ndarray]:
    """w ← w γ/√(v + ε), b = β − m γ/√(v + ε), in HWIO, as ``name``.kernel and ``name``.bias; in float64 until the end."""
    kernel = np.asarray(state[f"{conv}.weight"], np.float64).transpose(2, 3, 1, 0)
    gamma, beta, mean, variance = (
        np.asarray(state[f"{norm}.{part}"], np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / np.sqrt(variance + EPSILON)
    return {
        f"{name}.kernel": np.asarray(kernel * factor, np.float32),
        f"{name}.bias": np.asarray(beta - mean * factor, np.float32),
    }
