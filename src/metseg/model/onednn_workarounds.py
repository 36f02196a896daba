"""Convolutions with correct results on a CPU for all shapes, with higher precision where oneDNN is wrong.

oneDNN in torch 2.13 is correct for most operations of a network, and several times as fast in bfloat16 as in float32.
It fails in rare cases, forwards or backwards, with results that are off by half or by 1e35:

- a kernel that reaches beyond both ends of its input: in every precision, and it may write outside its memory;
- bfloat16: grouped convolutions of volumes; on processors with AMX also strides of 4, and sides of one voxel.

A volume of few slices is enough for so narrow a bottleneck. These cases, with a small margin, are computed in a
precision with correct results; the tensors are so small that this costs almost nothing.

Where oneDNN is correct but torch does not use it, predictions call it directly: for single small volumes, for adding
the output of a convolution to an existing tensor, and for biases that torch would round to bfloat16.

A convolution of doubled features is a transposed convolution of the features: predictions and trainings compute that.
Trainings get quick gradients of depthwise convolutions (`metseg.model.depthwise_gradients`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from metseg.model.depthwise_gradients import convolve_depthwise, has_quick_gradients
from metseg.model.networks.layers import (
    CHANNELS_LAST,
    Network,
    ThreeSlicesConv2d,
    UpsampledConv2d,
    UpsampledConv3d,
    with_classes,
)

Module = TypeVar("Module", bound=nn.Module)

#: In bfloat16 there are no larger strides, and no sides of fewer voxels, going in or coming out.
LARGEST_STRIDE, LEAST_SIDE = 3, 3

#: Product of a volume's channels and first two axes up to which torch does not use oneDNN for a single volume.
SMALL = 20_480

#: oneDNN's convolution, the one that adds to a tensor, and whether oneDNN has bfloat16 here. Of torch's own machinery:
#: they may not be there one day.
_CONVOLVE: Any = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
_CONVOLVE_AND_ADD: Any = getattr(torch.ops.mkldnn, "_convolution_pointwise_", None)
_HAS_BFLOAT16: Any = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)


def use_safe_convolutions(network: Network) -> Network:
    """Return the network with its convolutions changed in place; weights and their names stay as they are."""
    return with_classes(network, _CAREFUL)


def use_usual_convolutions(network: Network) -> Network:
    """Return the network with torch's own convolutions again, changed in place, for exports."""
    return with_classes(network, {careful: usual for usual, careful in _CAREFUL.items()})


def with_parameters(module: Module, parameters: Mapping[str, Tensor | None]) -> Module:
    """Return a copy of a module without submodules, with other parameters.

    The original is never changed, because another thread may use it; `torch.func.functional_call` would change it for
    the duration of a call.
    """
    twin = copy.copy(module)
    twin._parameters = {**module._parameters, **parameters}  # type: ignore[dict-item]
    return twin


def add_convolved(total: Tensor, convolution: nn.Module, volume: Tensor) -> Tensor:
    """Add the output of a convolution to ``total`` in place and return it; for predictions only, without gradients.

    oneDNN adds while it convolves, and needs no tensor for the output: this saves 33 MB on the finest level of
    `mets-3d`.

    Args:
        total: (N, K, ...), in the shape of the output.
        convolution: from a network of `use_safe_convolutions`; any other is called as usual.
        volume: (N, C, ...); shares no memory with ``total``.
    """
    if isinstance(convolution, _CarefulDown) and convolution._may_add_to(total, volume):
        added: Tensor = _CONVOLVE_AND_ADD.binary(
            total,
            volume,
            convolution.weight,
            convolution.bias,
            convolution.padding,
            convolution.stride,
            convolution.dilation,
            convolution.groups,
            "add",
            1.0,  # times what is there
            *(None, [], None),  # and no activation afterwards
        )
        return added
    total += convolution(volume)
    return total


class _Careful:
    """Comes before a convolution's own class."""

    def _answer(self: Any, volume: Tensor, *further: Any) -> Tensor:
        usual: Any = super().forward  # type: ignore[misc]
        precision = self._precision(volume)
        answer: Tensor
        if precision is None:
            answer = usual(volume, *further)
            return answer
        with torch.autocast("cpu", enabled=False):
            if precision == torch.float32:
                answer = usual(volume.float(), *further)
                return answer
            doubled = with_parameters(self, {name: weight.double() for name, weight in self.named_parameters()})
            precise: Any = super(_Careful, doubled).forward  # type: ignore[misc]
            answer = precise(volume.double(), *further)
            return answer.float()

    def _precision(self: Any, volume: Tensor) -> torch.dtype | None:
        """Return in what to compute; None: as asked for. Weights that are not float32 are somebody's own choice."""
        if volume.device.type != "cpu" or self.weight.dtype != torch.float32:
            return None
        sides = volume.shape[2:]
        if any(side < reach for side, reach in zip(sides, self._reach(), strict=True)):
            return torch.float64  # which oneDNN does not know: torch itself computes it
        if not torch.is_autocast_enabled("cpu"):
            return None
        grouped = self.groups > 1 and len(sides) == 3
        narrow = min(*sides, *self._sides_after(sides)) < LEAST_SIDE
        return torch.float32 if grouped or narrow or max(self.stride) > LARGEST_STRIDE else None

    def _reach(self: Any) -> list[int]:
        """Return over how many voxels of each axis the kernel reaches."""
        return [dilation * (kernel - 1) + 1 for kernel, dilation in zip(self.kernel_size, self.dilation, strict=True)]


class _CarefulDown(_Careful):
    def forward(self, input: Tensor) -> Tensor:
        return self._answer(input)

    def _may_add_to(self: Any, total: Tensor, volume: Tensor) -> bool:
        """Return whether oneDNN is correct for this input, and ``total`` has its layout."""
        return (
            _CONVOLVE_AND_ADD is not None
            and total.dtype == torch.float32
            and total.is_contiguous(memory_format=CHANNELS_LAST[total.ndim - 2])
            and self._may_ask_onednn(volume)
            and self._precision(volume) is None
        )

    def _may_ask_onednn(self: Any, volume: Tensor) -> bool:
        """Return whether oneDNN takes this in float32, in a prediction."""
        return (
            volume.dtype == torch.float32 and not torch.is_autocast_enabled("cpu") and self._onednn_may_predict(volume)
        )

    def _onednn_may_predict(self: Any, volume: Tensor) -> bool:
        """Return whether this is a prediction on a CPU with oneDNN, with a padding that oneDNN supports."""
        onednn: Any = torch.backends.mkldnn
        return (
            volume.device.type == "cpu"
            and self.padding_mode == "zeros"
            and not isinstance(self.padding, str)
            and onednn.is_available()
            and onednn.enabled
            and not torch.is_grad_enabled()
        )

    def _rounds_bias(self: Any, input: Tensor) -> bool:
        """Return whether torch would round a bias to bfloat16 in a prediction, where oneDNN needs no rounding."""
        return (
            _CONVOLVE is not None
            and torch.is_autocast_enabled("cpu")
            and torch.get_autocast_dtype("cpu") == torch.bfloat16
            and self.weight.dtype == torch.float32
            and input.dtype in (torch.float32, torch.bfloat16)
            and len(input) > 0
            and _HAS_BFLOAT16()
            and self._onednn_may_predict(input)
        )

    def _convolved(self: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return what torch would, with an exact bias where that is possible."""
        if bias is not None and self._rounds_bias(input):
            return _with_exact_bias(
                input,
                weight,
                bias,
                padding=self.padding,
                stride=self.stride,
                dilation=self.dilation,
                groups=self.groups,
            )
        usual: Any = super()._conv_forward  # type: ignore[misc]
        answer: Tensor = usual(input, weight, bias)
        return answer

    def _sides_after(self: Any, sides: torch.Size) -> list[int]:
        # By name there are "valid", which is no padding, and "same", which torch allows without a stride only.
        if self.padding == "same":
            return list(sides)
        paddings = (0,) * len(sides) if self.padding == "valid" else self.padding
        axes = zip(sides, self._reach(), self.stride, paddings, strict=True)
        return [(side + 2 * padding - reach) // stride + 1 for side, reach, stride, padding in axes]


class _CarefulUp(_Careful):
    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return self._answer(input, output_size)

    def _sides_after(self, sides: torch.Size) -> list[int]:
        return list(sides)  # what comes out is not smaller


def _with_exact_bias(
    images: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    padding: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int = 1,
) -> Tensor:
    """Return what autocast would, but for the bias, which is added in float32 before the sum is rounded.

    A bias is the same for all voxels, and so is its rounding error. In `mets-sim`, where folded norms are biases,
    it caused two thirds of the change of the logits by bfloat16 (`docs/experiments.md`).
    """
    rounded, kernel = images.to(torch.bfloat16), weight.to(torch.bfloat16)
    no_activation: tuple[str, list[float], str] = ("none", [], "")
    with torch.autocast("cpu", enabled=False):
        answer: Tensor = _CONVOLVE(rounded, kernel, bias, padding, stride, dilation, groups, *no_activation)
    return answer


class _Conv2d(_CarefulDown, nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if has_quick_gradients(self, input):
            return convolve_depthwise(input, weight, self.stride[0])
        return self._convolved(input, weight, bias)


class _Conv3d(_CarefulDown, nn.Conv3d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self._is_small(input):
            # What torch itself would call for more numbers.
            answer: Tensor = torch.ops.aten.mkldnn_convolution(
                input, weight, bias, self.padding, self.stride, self.dilation, self.groups
            )
            return answer
        return self._convolved(input, weight, bias)

    def _is_small(self, input: Tensor) -> bool:
        """Return whether torch would not use oneDNN in a prediction, though it takes less than half the time."""
        return len(input) == 1 and input.shape[:-1].numel() <= SMALL and self._may_ask_onednn(input)


class _Merged:
    """Comes before a convolution of doubled features and a skip, and leaves out the doubling and the join.

    With both, each value is read by a kernel of 3 voxels a side at 2 neighbours a side; a transposed convolution of
    kernel 4 and stride 2 reads each feature once. In slices that is 4/9 of the multiplications, in volumes 8/27;
    `benchmarks/doubled_features.py` measures the time.
    """

    def forward(self: Any, features: Tensor, skip: Tensor) -> Tensor:
        if not self._may_merge(features):
            usual: Any = super().forward  # type: ignore[misc]
            joined: Tensor = usual(features, skip)
            return joined
        width = features.shape[1]
        enlarge = functional.conv_transpose2d if features.ndim == 4 else functional.conv_transpose3d
        answer = enlarge(features, kernel_of_doubled(self.weight[:, :width]), stride=2, padding=1)
        answer += self._conv_forward(skip, self.weight[:, width:], self.bias)
        return answer

    def _may_merge(self: Any, features: Tensor) -> bool:
        """Return whether this is a CPU, where the gain is measured, and oneDNN is correct for these sides."""
        plain = {*self.kernel_size} == {3} and {*self.padding} == {*self.stride} == {*self.dilation} == {1}
        return (
            features.device.type == "cpu"
            and min(features.shape[2:]) >= LEAST_SIDE
            and plain
            and self.groups == 1
            and self.padding_mode == "zeros"
        )


def kernel_of_doubled(weight: Tensor) -> Tensor:
    """Return the kernel (C, K, 4, ...) of the transposed convolution that equals doubling and then convolving.

    It has stride 2 and padding 1. Of the four voxels along an axis to which a feature adds, the outer ones see one of
    its two copies, the inner ones both.

    Args:
        weight: (K, C, 3, ...) of the convolution with padding 1.
    """
    kernel = weight.flip(dims=tuple(range(2, weight.ndim)))
    for axis in range(weight.ndim - 2):  # from the last one, as torch counts paddings
        before, after = [0] * (2 * axis) + [1, 0], [0] * (2 * axis) + [0, 1]
        kernel = functional.pad(kernel, before) + functional.pad(kernel, after)
    return kernel.transpose(0, 1)


class _UpsampledConv2d(_Merged, UpsampledConv2d, _Conv2d): ...  # type: ignore[misc]


class _UpsampledConv3d(_Merged, UpsampledConv3d, _Conv3d): ...  # type: ignore[misc]


class _ThreeSlicesConv2d(ThreeSlicesConv2d, _Conv2d):
    """As one convolution of the volume by a kernel that is three slices thick and one pixel wide.

    The slices in channels-last layout already are a volume in that layout, so nothing is copied.
    """

    def forward(self, features: Tensor, slices: int) -> Tensor:  # type: ignore[override]
        if features.device.type != "cpu" or min(slices, *features.shape[2:]) < LEAST_SIDE:
            return super().forward(features, slices)
        pixels = features.contiguous(memory_format=torch.channels_last)
        volume = pixels.reshape(-1, slices, *pixels.shape[1:]).transpose(1, 2)
        kernel = self.weight.reshape(self.out_channels, 3, -1, 1, 1).transpose(1, 2)
        around = (1, 0, 0)
        if self.bias is not None and self._rounds_bias(volume):
            ones = (1, 1, 1)
            answer = _with_exact_bias(volume, kernel, self.bias, padding=around, stride=ones, dilation=ones)
        else:
            answer = functional.conv3d(volume, kernel, self.bias, padding=around)
        return answer.transpose(1, 2).flatten(0, 1)


class _ConvTranspose2d(_CarefulUp, nn.ConvTranspose2d): ...


class _ConvTranspose3d(_CarefulUp, nn.ConvTranspose3d): ...


_CAREFUL: dict[type, type] = {
    nn.Conv2d: _Conv2d,
    nn.Conv3d: _Conv3d,
    ThreeSlicesConv2d: _ThreeSlicesConv2d,
    UpsampledConv2d: _UpsampledConv2d,
    UpsampledConv3d: _UpsampledConv3d,
    nn.ConvTranspose2d: _ConvTranspose2d,
    nn.ConvTranspose3d: _ConvTranspose3d,
}
