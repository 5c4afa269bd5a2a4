"""ADM on ImageNet 256 x 256 by class (Dhariwal & Nichol 2021, table 5), published: FID 10.94 with 250 evaluations."""

from configs.adm.default import adm, by_class, guided


def get_config():
    config = guided(256, cosine=False, batch=256, steps=1_980_000)
    config.data = {"name": "images", "path": "data/imagenet", "size": 256}
    return by_class(adm(config, 256, (1, 1, 2, 2, 4, 4)))
