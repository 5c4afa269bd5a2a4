"""Flags of XLA for tests, which compile much and compute little: without LLVM's optimisation, and with the fusion emitters
that are quicker so.
"""

QUICK = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"


def devices(number: int) -> str:
    """The same on so many simulated devices."""
    return f"--xla_force_host_platform_device_count={number} {QUICK}"
