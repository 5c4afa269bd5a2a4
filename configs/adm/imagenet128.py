"""ADM on ImageNet 128 x 128 by class (Dhariwal & Nichol 2021, table 5), published: FID 5.91 with 250 evaluations."""

from configs.adm.default import adm, by_class, guided


def get_config():
    config = guided(128, cosine=False, batch=256, steps=4_360_000)
    config.data = {"name": "images", "path": "data/imagenet", "size": 128}
    return by_class(adm(config, 256, (1, 1, 2, 3, 4)))
