"""300 configs with one thing changed: each is refused in a paragraph that names it, or differs in just that argument."""

import pytest

from configs import digits_conditional, quickstart
from configs.vp import cifar10_ddpmpp_continuous
from score_sde.config import differences
from score_sde.experiment import experiment_of
from score_sde.experiment.abstract import check
from tests.config.mutations import mutations
from tests.training import toy

SMALL = {"nf": 8, "ch_mult": (1,), "attn_resolutions": (8,), "num_res_blocks": 1}


def small(module, **network):
    config = module.get_config().to_dict()
    return {**config, "network": {**config["network"], **network}}


BASES = {
    "toy": (toy.get_config().to_dict(), 150),
    "quickstart": (small(quickstart, nf=8), 60),
    "digits_conditional": (small(digits_conditional, **SMALL), 60),
    "cifar10": (small(cifar10_ddpmpp_continuous, nf=8, ch_mult=(1, 1), num_res_blocks=1), 30),
}


def outcome(config):
    """The checked config, or the message that refuses it."""
    try:
        experiment = experiment_of(config)
        check(experiment)
    except ValueError as error:
        return None, str(error)
    return experiment.config.to_dict(), ""


@pytest.mark.parametrize("name", BASES)
def test_each_is_refused_in_words_or_differs_in_one_argument(name):
    base, count = BASES[name]
    before, message = outcome(base)
    assert before is not None, message
    refused = 0
    for mutation in mutations(base, count, seed=2026):
        after, message = outcome(mutation.config)
        what = f"{mutation.kind} of {mutation.path}: {message}"
        if after is None:
            refused += 1
            assert mutation.path.rpartition(".")[2] in message, what
            assert len(message) < 2500, what
            assert "Error" not in message, what
        else:
            assert not mutation.refused, what
            changed = {line.split(":")[0].removeprefix("config.") for line in differences(before, after)}
            # An example's facts follow from the data, so another source may change them too.
            assert {path for path in changed if not path.startswith("example.")} <= {mutation.path}, (what, changed)
    assert count / 2 < refused < count


def test_there_are_three_hundred():
    assert sum(count for _, count in BASES.values()) == 300


def test_remat_inside_the_network_needs_regather_off():
    config = small(quickstart, nf=8, remat="blocks")
    for regather, refused in ((True, True), (False, False)):
        _, message = outcome({**config, "parallel": {"rules": "fsdp", "regather": regather}})
        assert refused == ("config.network.remat = 'blocks' has no effect" in message), message
