"""NCSNv2 on LSUN bedrooms at 128 x 128; no figure was published."""

from configs.default import lsun, ncsnv2, refinenet


def get_config():
    config = lsun("bedroom")
    config.data.size = 128
    config.example.shape = (128, 128, 3)
    config.batches.batch_size = 128
    ncsnv2(refinenet(config, "ncsnv2_128"), levels=1086, sigma_max=190.0, snr=0.095, steps=3)
    config.averages.ema.rate = 0.9999
    return config
