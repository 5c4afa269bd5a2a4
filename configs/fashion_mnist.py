"""Fashion-MNIST from Debian's package, padded to 32 x 32: a DDPM++ for about ten minutes on one GPU, VP SDE."""

from ml_collections import ConfigDict

from configs.default import cifar10, ddpmpp, vp


def get_config():
    config = vp(ddpmpp(cifar10()))
    config.data = ConfigDict({"name": "fashion_mnist", "pad": 2})
    del config["example"]  # it follows from the data
    config.scaling.dequantize = True
    config.network.update(nf=64, num_res_blocks=2, dtype="bfloat16")
    config.averages.ema.rate = 0.999
    config.optim.update(lr=1e-3, warmup=500, decay="cosine")
    config.loss.times = ConfigDict({"name": "stratified"})
    config.training.update(
        steps=15_000, steps_per_call=10, evaluate_every=250, checkpoint_every=1_000, snapshot_every=5_000
    )
    config.sampler.update(time_grid=None, final="denoise")
    return config
