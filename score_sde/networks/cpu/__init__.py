"""What XLA's CPU backend needs to be fast: GPUs and TPUs get plain ``lax`` from here.

XLA computes the gradient of a convolution as another convolution with permuted axes, for which its CPU backend has a naive
loop nest inside ``lax.scan`` and ``lax.while_loop``, 100 times slower (``experiments/benchmarks/networks.md``). ``conv`` has
gradients that are plain channels-last convolutions, and Winograd's algorithm where it has fewer multiplications.
``written`` gives a sum one place in memory. Both work in forward and reverse mode, to any order.
"""

from score_sde.networks.cpu.convolution import conv
from score_sde.networks.cpu.written import written

__all__ = ["conv", "written"]
