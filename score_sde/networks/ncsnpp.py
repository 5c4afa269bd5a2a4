"""NCSN++ and DDPM++: one family of U-Nets (Song et al. 2021, appendix H).

    x ─ conv ─ level 0 ───────────────────────────────── level 0 ─ norm, act, conv ─ [/σ] ─ out
                 └─ level 1 ───────────────────────── level 1 ─┘
                      └─ level 2 ─ res, attention, res ─ level 2 ─┘

A level of the encoder has ``num_res_blocks`` blocks and halves the resolution; a level of the decoder has one block
more, each with a skip connection from the encoder, and doubles the resolution.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from score_sde.networks.blocks import ACTIVATIONS, Seeds, dropout_seeds
from score_sde.networks.checks import (
    as_dtype,
    check_each,
    check_input,
    check_levels,
    check_no_label,
    check_numbers,
    check_options,
    check_taps,
    labels_of,
    say_idle,
    usual_levels,
)
from score_sde.networks.cross_attention import Context
from score_sde.networks.discrete import Table, sigma_of
from score_sde.networks.embed import ClassEmbedding, NoiseEmbedding, embed_levels, embed_numbers
from score_sde.networks.levels import remembering
from score_sde.networks.parts import Parts
from score_sde.networks.text import TEXT, Tokens


class NCSNpp(nnx.Module):
    """The U-Net of NCSN++ (by default) and DDPM++ (see ``ddpmpp``). The names are those of the original's configs.

    image_size            the size of the images, one number or one per spatial axis; it determines the levels with
                          attention (a level's resolution is its shortest side). Inputs may have other sizes.
    nf, ch_mult           the channels of the first level, and the factor of each level; the default factors and
    attn_resolutions      resolutions with attention depend on the size (see ``usual_levels``)
    resblock_type         "biggan": residual blocks change the resolution; "ddpm": separate layers do
    fir, fir_kernel       whether resampling is anti-aliased, and the filter
    progressive           "output_skip": every level adds an image to the output; "residual": features instead of images
    progressive_input     "input_skip": every level gets the downsampled image; "residual": features instead
    embedding_type        the kind of noise level, see ``NoiseEmbedding``; conditional=False: no noise level
    scale_by_sigma        divide the output by σ, which is the noise level itself, or ``sigmas[label]`` if a table of
                          discrete noise levels is given
    data_in_unit_range    x is in [0, 1], and the network uses 2x − 1
    second_level          accept two noise levels, ``noise_level`` (batch, 2): t and s of a flow map. The second has no
                          effect at initialisation
    numbers               names of leaves of the condition that are a number for each example, such as a scale of guidance.
                          They have no effect at initialisation
    text_vocabulary       text-conditional, ``condition["text"]``: integers below the vocabulary, or vectors of that many
    text_features         features, ``text_length`` of them (a config has them from the leaf "text"). Cross-attention to
    text_length           tokens of ``text_width`` follows every attention, and their mean is added to the embedding
    out_channels          the channels of the output, by default those of x; a denoiser names them (``beside``)
    num_classes           class-conditional: ``condition={"label": y}``; y = num_classes, or no condition: no class
    dtype                 the dtype of the computation; parameters, normalisation and softmax stay in float32
    remat                 what the backward pass recomputes: "none", "blocks" (everything inside a block), or "full"
                          (also everything inside a level)
    """

    def __init__(
        self,
        image_size: int | Sequence[int],
        channels: int = 3,
        *,
        nf: int = 128,
        ch_mult: Sequence[int] | None = None,
        num_res_blocks: int = 4,
        attn_resolutions: Sequence[int] | None = None,
        attention_heads: int = 1,
        attention_implementation: Literal["xla", "cudnn"] | None = None,
        dropout: int | float = 0.1,
        resamp_with_conv: bool = True,
        conditional: bool = True,
        fir: bool = True,
        fir_kernel: Sequence[int | float] = (1, 3, 3, 1),
        skip_rescale: bool = True,
        resblock_type: str = "biggan",
        progressive: str = "none",
        progressive_input: str = "residual",
        progressive_combine: str = "sum",
        embedding_type: str = "fourier",
        fourier_scale: int | float = 16.0,
        init_scale: int | float = 0.0,
        nonlinearity: str = "swish",
        scale_by_sigma: bool = False,
        sigmas: ArrayLike | Sequence[float] | None = None,
        data_in_unit_range: bool = False,
        num_classes: int | None = None,
        norm_groups: int | None = None,
        second_level: bool = False,
        numbers: Sequence[str] = (),
        text_vocabulary: int | None = None,
        text_features: int | None = None,
        text_length: int = 0,
        text_width: int = 64,
        out_channels: int | None = None,
        spatial_dims: int = 2,
        dtype: Any = jnp.float32,
        remat: str = "none",
        rngs: nnx.Rngs,
    ):
        check_options(
            resblock_type=resblock_type,
            progressive=progressive,
            progressive_input=progressive_input,
            progressive_combine=progressive_combine,
            embedding_type=embedding_type,
            nonlinearity=nonlinearity,
            remat=remat,
        )
        check_numbers(
            nf=nf,
            num_res_blocks=num_res_blocks,
            attention_heads=attention_heads,
            channels=channels,
            out_channels=out_channels,
            dropout=dropout,
            fourier_scale=fourier_scale,
            init_scale=init_scale,
            num_classes=num_classes,
            norm_groups=norm_groups,
        )
        say_idle(
            fir_kernel=(not fir and tuple(fir_kernel) != (1, 3, 3, 1), "with fir = False: nothing is filtered"),
            resamp_with_conv=(
                not resamp_with_conv and resblock_type == "biggan",
                'with resblock_type = "biggan": residual blocks change the resolution',
            ),
            progressive_combine=(
                progressive_combine != "sum" and progressive_input != "input_skip",
                f"with progressive_input = {progressive_input!r}: images are combined with input_skip alone",
            ),
            fourier_scale=(
                fourier_scale != 16.0 and embedding_type == "positional",
                'with embedding_type = "positional"',
            ),
        )
        usual = usual_levels(image_size)
        ch_mult = usual[0] if ch_mult is None else ch_mult
        attn_resolutions = usual[1] if attn_resolutions is None else attn_resolutions
        check_each("ch_mult", ch_mult)
        check_taps(fir_kernel)
        if (second_level or numbers) and not conditional:
            raise ValueError(
                "second_level or numbers are set, but conditional = False: the network is told no noise level"
            )
        told_a_text = text_vocabulary is not None or text_features is not None
        resolutions = check_levels(image_size, spatial_dims, len(ch_mult), attn_resolutions)
        attended = [resolution in attn_resolutions for resolution in resolutions]
        width = 4 * nf
        out_channels = channels if out_channels is None else out_channels
        parts = Parts(
            channels=channels,
            activation=ACTIVATIONS[nonlinearity],
            told=width if conditional or num_classes is not None or told_a_text else None,
            spatial_dims=spatial_dims,
            dtype=as_dtype(dtype),
            rngs=rngs,
            out_channels=out_channels,
            fir=tuple(fir_kernel) if fir else None,
            resblock_type=resblock_type,
            resamp_with_conv=resamp_with_conv,
            progressive=progressive,
            progressive_input=progressive_input,
            progressive_combine=progressive_combine,
            skip_rescale=skip_rescale,
            init_scale=init_scale,
            dropout=dropout,
            attention_heads=attention_heads,
            attention_implementation=attention_implementation,
            norm_groups=norm_groups,
            text_width=text_width if told_a_text else None,
            remat=remat != "none",
        )
        noise: dict[str, Any] = {
            "embedding_type": embedding_type,
            "fourier_scale": fourier_scale,
            "activation": parts.activation,
            **parts.layout,
        }
        self.noise_embedding = NoiseEmbedding(nf, width, **noise) if conditional else None
        self.class_embedding = None if num_classes is None else ClassEmbedding(num_classes, width, **parts.layout)
        self.sigmas = None if sigmas is None else Table(jnp.asarray(sigmas, jnp.float32))
        self.conv_in = parts.conv_in(nf)
        self.down, kept = parts.way_down(nf, ch_mult, num_res_blocks, attended)
        self.middle = parts.middle(kept[-1])
        self.up, h = parts.way_up(nf, ch_mult, num_res_blocks, attended, kept)
        self.head = None if progressive == "output_skip" else parts.head(h, out_channels)
        self.second_embedding = NoiseEmbedding(nf, width, silent=True, **noise) if second_level else None
        self.number_embeddings = nnx.List(NoiseEmbedding(nf, width, silent=True, **noise) for _ in numbers)
        self.numbers = tuple(numbers)
        self.text = Tokens(
            vocabulary=text_vocabulary,
            features=text_features,
            length=text_length,
            width=text_width,
            out_features=width,
            **parts.layout,
        ) if told_a_text else None  # fmt: skip
        self.resblock_type = resblock_type
        self.embedding_type = embedding_type
        self.kept = tuple(kept)  # the channels of the skip features; the last are those of the middle
        self.channels = channels
        self.spatial_dims = spatial_dims
        self.scale_by_sigma = scale_by_sigma
        self.data_in_unit_range = data_in_unit_range
        self.dtype = parts.dtype
        self.remat = remat

    def __call__(
        self,
        x: Float[Array, "batch *spatial channels"],
        noise_level: Float[Array, "batch *two"],
        condition: Mapping[str, Array] | None = None,
        *,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch *spatial out_channels"]:
        self.check(x, noise_level)
        seeds = dropout_seeds(dropout_keys)
        with jax.named_scope("noise_embedding"):
            embedding, context = self.told(noise_level, condition)
        h, kept = self.encode(x, embedding, seeds, context)
        return self.finished(self.decode(h, kept, embedding, seeds, context), x, noise_level)

    # The steps of a call, between which adapters take part.

    def check(self, x: Array, noise_level: Array) -> None:
        """Raise a ValueError unless the network takes these."""
        two = self.second_embedding is not None
        check_input(x, noise_level, self.channels, self.spatial_dims, len(self.down), second_level=two)

    def finished(
        self, out: Array, x: Array, noise_level: Float[Array, "batch *two"]
    ) -> Float[Array, "batch *spatial out_channels"]:
        """The decoder's result in the dtype of x, perhaps divided by σ."""
        out = out.astype(x.dtype)
        first = noise_level if noise_level.ndim == 1 else noise_level[:, 0]
        return out / sigma_of(self.sigmas, first, out) if self.scale_by_sigma else out

    def encode(
        self,
        x: Float[Array, "batch *spatial channels"],
        embedding: Float[Array, "batch features"] | None,
        seeds: Seeds,
        context: Context | None = None,
        *,
        hint: Array | None = None,
    ) -> tuple[Array, list[Array]]:
        """The encoder and the middle: (features at the lowest resolution, the skip features from first to last).

        ``hint``: what is added to the features of the first convolution.
        """
        call = remembering(self.remat == "full")
        image = (2 * x - 1 if self.data_in_unit_range else x).astype(self.dtype)
        with jax.named_scope("conv_in"):
            h = self.conv_in(image) if hint is None else self.conv_in(image) + hint
        kept = [h]
        for i, level in enumerate(self.down):
            with jax.named_scope(f"down.{i}"):
                h, image, more = call(level, h, image, embedding, seeds, context)
                kept += more
        with jax.named_scope("middle"):
            return call(self.middle, h, embedding, seeds, context), kept

    def decode(
        self,
        h: Array,
        kept: Sequence[Array],
        embedding: Float[Array, "batch features"] | None,
        seeds: Seeds,
        context: Context | None = None,
    ) -> Float[Array, "batch *spatial out_channels"]:
        """The decoder, applied to the result of ``encode``. An adapter may first add to ``h`` or the skip features."""
        call, kept = remembering(self.remat == "full"), list(kept)
        picture: Any = None  # the output pyramid, if there is one
        for i, step in enumerate(self.up):
            with jax.named_scope(f"up.{i}"):
                opposite = [kept.pop() for _ in step.blocks]
                h, picture = call(step, h, opposite, picture, embedding, seeds, context)
        with jax.named_scope("head"):
            return picture if self.head is None else self.head(h)

    def told(
        self, noise_level: Float[Array, "batch *two"], condition: Mapping[str, Array] | None
    ) -> tuple[Float[Array, "batch features"] | None, Context | None]:
        """The embedding, with the mean of the text's tokens, and these tokens."""
        embedding = self.embedding(noise_level, condition)
        if self.text is None:
            return embedding, None
        context, vector = self.text(self.text.of(condition, TEXT, noise_level.shape[0]))
        return vector if embedding is None else embedding + vector, context

    def embedding(
        self, noise_level: Float[Array, "batch *two"], condition: Mapping[str, Array] | None
    ) -> Float[Array, "batch features"] | None:
        """The sum of the embeddings of the noise level and the class; None if the network uses neither."""
        told = None
        if self.noise_embedding is not None:
            told = embed_levels(self.noise_embedding, self.second_embedding, noise_level)
            for number in embed_numbers(self.numbers, self.number_embeddings, condition, noise_level.shape[0]):
                told = told + number
        if self.class_embedding is None:
            check_no_label(condition)
            return told
        labels = labels_of(condition, self.class_embedding.num_classes, noise_level.shape[0])
        class_vector = self.class_embedding(labels)
        return class_vector if told is None else told + class_vector


def ddpmpp(image_size: int | Sequence[int], channels: int = 3, **options: Any) -> NCSNpp:
    """DDPM++: NCSN++ without anti-aliasing, without an input pyramid, and with the positional embedding."""
    recipe: dict[str, Any] = {"fir": False, "progressive_input": "none", "embedding_type": "positional"}
    return NCSNpp(image_size, channels, **{**recipe, **options})
