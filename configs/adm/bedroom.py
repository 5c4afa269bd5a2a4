"""ADM on LSUN bedrooms at 256 x 256 (Dhariwal & Nichol 2021, table 5), published: FID 1.90 with 1000 evaluations."""

from configs.adm.default import adm, guided


def get_config():
    config = guided(256, cosine=False, batch=256)
    config.data = {"name": "lsun", "category": "bedroom", "size": 256}
    config.sampler.steps = 999
    return adm(config, 256, (1, 1, 2, 2, 4, 4), dropout=0.1)
