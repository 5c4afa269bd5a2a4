"""Flags of XLA for tests, which compile much and compute little: without LLVM's optimisation, and with the fusion emitters
that are quicker so.
"""

from importlib.metadata import version

OPTIONS: dict[str, int | bool] = {"xla_backend_optimization_level": 0}
if version("jaxlib").startswith("0.10."):  # later ones have no other emitters
    OPTIONS["xla_cpu_use_fusion_emitters"] = False
QUICK = " ".join(f"--{name}={str(value).lower()}" for name, value in OPTIONS.items())


def devices(number: int) -> str:
    """The same on so many simulated devices."""
    return f"--xla_force_host_platform_device_count={number} {QUICK}"
