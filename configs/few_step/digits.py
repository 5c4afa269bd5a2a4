"""The digits by class in one or two evaluations: a student of the box's ``digits_conditional``.

python main.py --config=configs/few_step/digits.py --workdir=runs/digits_fast
python main.py --config=configs/few_step/digits.py --workdir=runs/digits_fast --config.loss=shortcut      # another loss
"""

from ml_collections import ConfigDict

from configs import digits_conditional

ANGLES = {"name": "angle_uniform"}


def get_config():
    config = digits_conditional.get_config()
    config.guidance = None
    config.task = ConfigDict({"name": "distillation", "teacher": {"run": "digits_conditional"}})
    config.denoiser.name = "network_flow_map"
    config.network.second_level = True
    config.loss = ConfigDict({"name": "lagrangian", "pairs": {"times": ANGLES, "equal": 0.25}})
    config.optim.update(lr=1e-3, warmup=100)
    config.training.update(steps=4000, snapshot_every=4000)
    config.sampler = ConfigDict({"name": "few_step", "steps": 2})
    return config
