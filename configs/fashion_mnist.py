"""Fashion-MNIST from Debian's package, padded to 32 x 32: a DDPM++ for about ten minutes on one GPU, VP SDE."""

from configs.default import cifar10, ddpmpp, vp


def get_config():
    config = vp(ddpmpp(cifar10()))
    config.data.dataset = "fashion_mnist"
    config.data.options = {"pad": 2}
    config.data.num_channels = 1
    config.data.uniform_dequantization = True
    config.model.nf = 64
    config.model.num_res_blocks = 2
    config.model.ema_rate = 0.999
    config.model.dtype = "bfloat16"
    config.optim.update(lr=1e-3, warmup=500, decay="cosine")
    config.training.update(
        batch_size=128, n_iters=15_000, snapshot_freq=5_000, snapshot_freq_for_preemption=1_000, eval_freq=250
    )
    config.training.update(stratified=True, steps_per_call=10)
    config.sampling.scheme = "even"
    return config
