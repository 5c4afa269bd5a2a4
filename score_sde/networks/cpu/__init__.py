"""Optimisations for XLA's CPU backend; GPUs and TPUs use plain ``lax``.

XLA computes the gradient of a convolution as a convolution with permuted axes. Inside ``lax.scan`` and
``lax.while_loop`` its CPU backend uses a naive loop nest for it, 100 times slower
(``experiments/benchmarks/networks.md``). The gradients of ``conv`` are plain channels-last convolutions, or Winograd's
algorithm where it is faster. ``written`` stores a sum in memory. Both work in forward and reverse mode, to any order.
"""

from score_sde.networks.cpu.convolution import conv
from score_sde.networks.cpu.written import written

__all__ = ["conv", "written"]
