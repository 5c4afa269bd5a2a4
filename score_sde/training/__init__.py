"""Training: for now only what saving and loading weights needs."""
