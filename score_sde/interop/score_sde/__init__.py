"""score_sde_pytorch (Song et al. 2021): its config files, checkpoints and names."""
