"""LMMs with random weights, of sizes worth measuring: what a forward pass costs does not depend on the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from flmm_plugin.benchmark.inputs import TEXT_TOKENS, check_room, text_tokens
from flmm_plugin.errors import UserError
from flmm_plugin.models.capture.attention import ATTENTION_NAME
from flmm_plugin.models.capture.hidden_states import find_decoder
from flmm_plugin.models.lmms import FrozenLMM
from flmm_plugin.models.weights.frozen import freeze
from flmm_plugin.structures import ImageGrid, ImageInputs

VOCABULARY = 2000
IMAGE_TOKEN = 1
PATCH = 4
#: Lengths that are measured where none is asked for
TOKENS = (700, 1500, 3000)


@dataclass(frozen=True)
class Preset:
    """Dimensions of the language model, a Llama; Mistral's layers are those of one with fewer ``kv_heads`` than heads.

    ``kv_heads``: heads of keys and values, as many as ``heads`` by default. ``dtype``: what it is measured in where
    nothing else is asked for. ``needs_gpu``: it is too large for a CPU, and its weights are made on the device itself.
    ``family``: ``llava``, or ``qwen2.5-vl``, whose vision tower is its own with ``large_tower``.
    """

    layers: int
    heads: int
    width: int
    mlp_width: int
    kv_heads: int | None = None
    vocabulary: int = VOCABULARY
    dtype: str = 'float32'
    needs_gpu: bool = False
    family: str = 'llava'
    large_tower: bool = False


LARGE: dict[str, Any] = dict(layers=32, heads=32, width=4096, vocabulary=32064, dtype='bfloat16', needs_gpu=True)
PRESETS = {
    'tiny': Preset(layers=2, heads=4, width=64, mlp_width=128),
    'mid': Preset(layers=8, heads=16, width=1024, mlp_width=2816),
    'llava-1.5-7b': Preset(**LARGE, mlp_width=11008),
    'llava-next-7b': Preset(**LARGE, mlp_width=14336, kv_heads=8),
    'tiny-qwen2.5-vl': Preset(layers=2, heads=4, width=64, mlp_width=128, kv_heads=2, family='qwen2.5-vl'),
    'qwen2.5-vl-7b': Preset(
        layers=28,
        heads=28,
        width=3584,
        mlp_width=18944,
        kv_heads=4,
        vocabulary=152064,
        dtype='bfloat16',
        needs_gpu=True,
        family='qwen2.5-vl',
        large_tower=True,
    ),
}
PAPER_UNET = dict(base_channels=64)
TINY_UNET = dict(base_channels=4, num_stages=3, upsample_input=16)
#: The small presets have SAM's own prompt encoder and decoder behind an encoder of one layer
SMALL_SAM: dict[str, Any] = dict(embed_dim=32, depth=1, num_heads=2, global_attn_indexes=(0,))
TINY_SAM: dict[str, Any] = dict(SMALL_SAM, image_size=256, prompt_embed_dim=64)

MASK_HEADS = {name: TINY_UNET if name.startswith('tiny') else PAPER_UNET for name in PRESETS}
SAM: dict[str, str | dict[str, Any]] = {
    name: 'vit_l' if preset.needs_gpu else TINY_SAM if name.startswith('tiny') else SMALL_SAM
    for name, preset in PRESETS.items()
}


def preset_for(name: str, device: str) -> Preset:
    """The preset of that name.

    Raises:
        UserError: it needs a GPU and ``device`` is the CPU.
    """
    preset = PRESETS[name]
    if preset.needs_gpu and torch.device(device).type == 'cpu':
        small = ', '.join(other for other, one in PRESETS.items() if not one.needs_gpu)
        raise UserError(f'the preset {name} needs a GPU (--device cuda); on a CPU there are the presets {small}')
    return preset


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Inside the block, new floating-point tensors have this dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def weights_on(preset: Preset, device: str | torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Inside the block, the weights of large models are made in place: a host would hold them in fp32 first, and take
    minutes to draw them. Small ones are made on the host, so that they are the same on all devices."""
    if not preset.needs_gpu:
        yield
        return
    with torch.device(device), default_dtype(dtype):
        yield


def routed(model: Any) -> Any:
    """The model, its language model's attention being the one that can be captured."""
    decoder: Any = find_decoder(model, model.config.text_config)
    decoder.config._attn_implementation = ATTENTION_NAME
    return model


class RandomLlava(FrozenLMM):
    """A LLaVA of a preset's size whose image has ``grid x grid`` tokens; its vision tower is negligibly small."""

    def __init__(
        self, preset: Preset, grid: int, dtype: torch.dtype = torch.float32, device: str | torch.device = 'cpu'
    ) -> None:
        nn.Module.__init__(self)  # FrozenLMM's own would load weights
        self.name = 'random LLaVA'
        self.grid = grid
        torch.manual_seed(0)
        with weights_on(preset, device, dtype):
            model = LlavaForConditionalGeneration(llava_config(preset, grid))
        self.model = routed(model.to(device, dtype))
        freeze(self)

    def preprocess(self, image: Tensor) -> ImageInputs:
        """The picture squashed to the grid's square."""
        side = self.grid * PATCH
        pixels = F.interpolate(image[None] / 127.5 - 1, size=(side, side), mode='bilinear', antialias=True)
        grids = (ImageGrid(torch.arange(self.grid**2), self.grid, self.grid),)
        return ImageInputs({'pixel_values': pixels}, self.grid**2, grids, target_size=(side, side))


def llava_config(preset: Preset, grid: int) -> LlavaConfig:
    return LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=1,
            image_size=grid * PATCH,
            patch_size=PATCH,
        ),
        text_config=LlamaConfig(
            vocab_size=preset.vocabulary,
            hidden_size=preset.width,
            intermediate_size=preset.mlp_width,
            num_hidden_layers=preset.layers,
            num_attention_heads=preset.heads,
            num_key_value_heads=preset.kv_heads,
            max_position_embeddings=1 << 16,
        ),
        image_token_index=IMAGE_TOKEN,
        vision_feature_layer=-1,
        vision_feature_select_strategy='default',
    )


def grid_for(tokens: int, phrases: int) -> int:
    """Side of the image's grid of tokens in a sequence of ``tokens``: the largest square that leaves 64 for the text.

    Raises:
        UserError: there is no room for an image.
    """
    check_room(tokens, phrases)
    return max(1, math.isqrt(max(tokens - max(text_tokens(phrases), TEXT_TOKENS), 0)))
