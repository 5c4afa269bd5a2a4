"""InstantID (Wang et al. 2024): whose picture it is, from one vector, and where its parts are, from an image of keypoints.

1. The vector becomes tokens by a resampler, which every cross-attention of the base sees beside the text (``ImageTokens``).
2. A ControlNet sees the keypoints. Its own cross-attentions see these tokens in the place of the text's; the mean of the
   text still enters its embedding, as in the base.
"""

from flax import nnx
from jaxtyping import Array

from score_sde.networks.adapters.adapted import Adapter, Condition
from score_sde.networks.adapters.control import ControlNet
from score_sde.networks.adapters.image_tokens import ImageTokens
from score_sde.networks.blocks import Seeds
from score_sde.networks.cross_attention import Context
from score_sde.networks.ncsnpp import NCSNpp


class Identity(Adapter):
    """``condition["identity"]``: a vector (batch, ``features``); ``condition["keypoints"]``: an image of the size of x with
    ``keypoint_channels`` channels; ``identity_scale`` and ``keypoints_scale``: the weight of either, 1 unless given.
    """

    def __init__(
        self,
        base: NCSNpp,
        *,
        features: int,
        keypoint_channels: int = 1,
        tokens: int = 16,
        depth: int = 4,
        heads: int = 4,
        rngs: nnx.Rngs,
    ):
        self.image = ImageTokens(
            base, features=features, tokens=tokens, depth=depth, heads=heads, leaf="identity", rngs=rngs
        )
        self.control = ControlNet(base, control_channels=keypoint_channels, leaf="keypoints", rngs=rngs)

    def context(self, context: Context | None, condition: Condition) -> Context | None:
        return self.image.context(context, condition)

    def add(
        self,
        x: Array,
        noise_level: Array,
        condition: Condition,
        seeds: Seeds,
        h: Array,
        kept: list[Array],
    ) -> tuple[Array, list[Array]]:
        tokens = self.image.tokens(condition, len(x))
        return self.control.add(x, noise_level, condition, seeds, h, kept, seen=tokens)
