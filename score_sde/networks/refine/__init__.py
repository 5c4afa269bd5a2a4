"""RefineNets (Lin et al. 2017) as score networks: NCSN (Song & Ermon 2019) and NCSNv2 (Song & Ermon 2020)."""

from score_sde.networks.refine.network import RefineNet, ncsn, ncsnv2_64, ncsnv2_128, ncsnv2_256

__all__ = ["RefineNet", "ncsn", "ncsnv2_64", "ncsnv2_128", "ncsnv2_256"]
