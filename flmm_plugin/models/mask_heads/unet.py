"""The U-Net that turns attention maps into mask logits (F-LMM section 3.2).

The architecture is MMSegmentation's ``UNet`` with ``InterpConv`` up-sampling, of which the authors' checkpoints carry
the parameter names; the modules below exist to have these names. Shape shorthand: P phrases, C maps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flmm_plugin.registry import MODELS


class ConvNormReLU(nn.Module):
    """Convolution without bias, GroupNorm over all channels as one group, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.gn = nn.GroupNorm(1, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.gn(self.conv(x)))


class ConvBlock(nn.Module):
    """``num_convs`` 3x3 convolutions in a row."""

    def __init__(self, in_channels: int, out_channels: int, num_convs: int) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * num_convs
        self.convs = nn.Sequential(*(ConvNormReLU(a, b) for a, b in itertools.pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        return self.convs(x)


class Double(nn.Module):
    """Bilinear up-sampling by two, in fp32 under autocast as well."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x.float(), scale_factor=2, mode='bilinear').to(x.dtype)


class InterpConv(nn.Module):
    """Up-sampling and a 1x1 convolution, which may come first: each mixes what the other leaves alone."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.interp_upsample = nn.Sequential(Double(), ConvNormReLU(in_channels, out_channels, kernel_size=1))

    def forward(self, x: Tensor) -> Tensor:
        double, block = cast(Iterable[Any], self.interp_upsample)
        # A quarter of the pixels to convolve, and half the channels to up-sample.
        return F.relu(block.gn(double(block.conv(x))))


class UpBlock(nn.Module):
    """Up-sample, join the encoder's features of that size, convolve."""

    def __init__(self, in_channels: int, out_channels: int, num_convs: int) -> None:
        super().__init__()
        self.conv_block = ConvBlock(2 * out_channels, out_channels, num_convs)
        self.upsample = InterpConv(in_channels, out_channels)

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        return self.conv_block(torch.cat([skip, self.upsample(x)], dim=1))


@MODELS.register_module()
class UNetMaskHead(nn.Module):
    """Attention maps (P, C, h, w) -> mask logits (P, H, W), the longer side of H, W being ``upsample_input`` or larger.

    Args:
        in_channels: C; :class:`FLMM` derives it from the LMM.
        base_channels: width of the first stage, doubled at each further one.
        num_stages: stages of the encoder; each but the first halves the size.
        num_convs: 3x3 convolutions in a stage.
        upsample_input: side to which the maps' longer side is enlarged first; None leaves them.
        normalize_input: divide every map by its spatial sum first.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        base_channels: int = 64,
        num_stages: int = 4,
        num_convs: int = 2,
        upsample_input: int | None = 64,
        normalize_input: bool = True,
    ) -> None:
        super().__init__()
        self.upsample_input = upsample_input
        self.normalize_input = normalize_input
        self.stride = 2 ** (num_stages - 1)
        widths = [base_channels * 2**stage for stage in range(num_stages)]
        self.encoder = nn.ModuleList([nn.Sequential(ConvBlock(in_channels, widths[0], num_convs))])
        self.decoder = nn.ModuleList()
        for narrow, wide in itertools.pairwise(widths):
            self.encoder.append(nn.Sequential(nn.MaxPool2d(2), ConvBlock(narrow, wide, num_convs)))
            self.decoder.append(UpBlock(wide, narrow, num_convs))
        self.conv_seg = nn.Conv2d(base_channels, 1, kernel_size=1)
        self.init_weights()

    def init_weights(self) -> None:
        """He initialisation by fan-out, the authors' choice."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, maps: Tensor) -> Tensor:
        x = maps.to(self.conv_seg.weight.dtype)
        if self.normalize_input:
            x = x / x.sum(dim=(-2, -1), keepdim=True).clamp(min=1e-12)
        if self.upsample_input is not None:
            # By factor and not by size: the two sample at slightly different places when the factor is no integer.
            factor = max(1.0, self.upsample_input / max(x.shape[-2:]))
            x = F.interpolate(x.float(), scale_factor=factor, mode='bilinear').to(x.dtype)
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.stride, 0, -height % self.stride))
        if x.device.type == 'cpu':
            # Every layer keeps the layout, in which oneDNN's convolutions take 0.6 of the time.
            x = x.contiguous(memory_format=torch.channels_last)

        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for block, skip in zip(reversed(self.decoder), reversed(skips[:-1]), strict=True):
            x = block(skip, x)
        return self.conv_seg(x[..., :height, :width])[:, 0]
