"""ADM on ImageNet 64 x 64 by class (Dhariwal & Nichol 2021, table 5), published: FID 2.07 with 250 evaluations."""

from configs.adm.default import adm, by_class, guided


def get_config():
    config = guided(64, cosine=True, batch=2048, steps=540_000)
    config.data = {"name": "images", "path": "data/imagenet", "size": 64}
    by_class(adm(config, 192, (1, 2, 3, 4), num_res_blocks=3, dropout=0.1))
    config.optim.lr = 3e-4
    return config
