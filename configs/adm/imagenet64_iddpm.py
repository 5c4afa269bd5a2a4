"""iDDPM on ImageNet 64 x 64 without classes (Nichol & Dhariwal 2021, table 1), published: FID 19.2, 3.57 bits/dim."""

from configs.adm.default import guided, iddpm


def get_config():
    config = iddpm(guided(64, cosine=True, scales=4000, steps=1_500_000), (1, 2, 3, 4), dropout=0.0)
    config.data = {"name": "imagenet64"}
    config.sampler.steps = 3999
    return config
