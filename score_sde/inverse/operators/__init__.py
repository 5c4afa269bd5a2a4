"""Measurements of images and other arrays: y = A(x), with adjoint, pseudo-inverse and solves where they exist."""

from score_sde.inverse.operators.base import Composed, Operator
from score_sde.inverse.operators.blur import Blur, motion_blur, motion_kernel
from score_sde.inverse.operators.fourier import FourierMask, mri
from score_sde.inverse.operators.functions import Function, Identity, Stacked, stack
from score_sde.inverse.operators.jpeg import JPEG
from score_sde.inverse.operators.kronecker import (
    Kronecker,
    average_downsampling,
    bicubic_downsampling,
    colour,
    gaussian_blur,
    grey,
)
from score_sde.inverse.operators.mask import Mask, box_mask, half_mask, outpainting_mask, random_mask
from score_sde.inverse.operators.matrix import Matrix, dense, gaussian_sensing
from score_sde.inverse.operators.nonlinear import HDR, NonlinearBlur, PhaseRetrieval
from score_sde.inverse.operators.radon import Radon
from score_sde.inverse.operators.spectral import SVD
from score_sde.inverse.operators.walsh import Walsh, walsh_sensing

__all__ = [
    "HDR",
    "JPEG",
    "SVD",
    "Blur",
    "Composed",
    "FourierMask",
    "Function",
    "Identity",
    "Kronecker",
    "Mask",
    "Matrix",
    "NonlinearBlur",
    "Operator",
    "PhaseRetrieval",
    "Radon",
    "Stacked",
    "Walsh",
    "average_downsampling",
    "bicubic_downsampling",
    "box_mask",
    "colour",
    "dense",
    "gaussian_blur",
    "gaussian_sensing",
    "grey",
    "half_mask",
    "motion_blur",
    "motion_kernel",
    "mri",
    "outpainting_mask",
    "random_mask",
    "stack",
    "walsh_sensing",
]
