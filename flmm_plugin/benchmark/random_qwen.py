"""A Qwen2.5-VL of a preset's size with random weights, behind a processor that is made on the spot.

It is read as any LMM is whose layout is measured (:class:`AutoLMM`), its own vision tower included.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn

from flmm_plugin.benchmark.presets import Preset, routed, weights_on
from flmm_plugin.errors import UserError
from flmm_plugin.models.lmms import AutoLMM
from flmm_plugin.models.weights.frozen import freeze
from flmm_plugin.plain_json import to_json

CELL = 28  # pixels of a token's side
SPECIAL = ('vision_start', 'vision_end', 'image_pad', 'video_pad', 'im_start', 'im_end')
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    '{% endfor %}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant {% endif %}'
)
#: Of the 7B model, and one as tiny as the tiny presets.
VISION = dict(depth=32, hidden_size=1280, intermediate_size=3420, num_heads=16, fullatt_block_indexes=[7, 15, 23, 31])
TINY_VISION = dict(depth=2, hidden_size=32, intermediate_size=64, num_heads=2, fullatt_block_indexes=[1])


class RandomQwen(AutoLMM):
    """Pictures take at most ``grid ** 2`` tokens, and little fewer."""

    def __init__(
        self, preset: Preset, grid: int, dtype: torch.dtype = torch.float32, device: str | torch.device = 'cpu'
    ) -> None:
        nn.Module.__init__(self)  # AutoLMM's own would load weights
        if not hasattr(transformers, 'Qwen2_5_VLConfig'):
            raise UserError(f'transformers {transformers.__version__} has no Qwen2.5-VL: 4.49 is the first that has')
        self.name = 'random Qwen2.5-VL'
        self.processor = make_processor(grid)
        config = qwen_config(preset, self.processor.tokenizer)
        torch.manual_seed(0)
        with weights_on(preset, device, dtype):
            model = transformers.Qwen2_5_VLForConditionalGeneration(config)
        self.model = routed(model.to(device, dtype))
        self._layouts: dict[tuple[int, int], Any] = {}
        freeze(self)


def qwen_config(preset: Preset, tokenizer: Any) -> Any:
    ids = {
        f'{name.removesuffix("_pad")}_token_id': tokenizer.convert_tokens_to_ids(f'<|{name}|>')
        for name in ('vision_start', 'vision_end')
    }
    ids['image_token_id'], ids['video_token_id'] = tokenizer.convert_tokens_to_ids(['<|image_pad|>', '<|video_pad|>'])
    pairs = preset.width // preset.heads // 2
    text = dict(
        vocab_size=preset.vocabulary,
        hidden_size=preset.width,
        intermediate_size=preset.mlp_width,
        num_hidden_layers=preset.layers,
        num_attention_heads=preset.heads,
        num_key_value_heads=preset.kv_heads or preset.heads,
        rope_scaling={'type': 'mrope', 'mrope_section': [pairs - 2 * (3 * pairs // 8), *[3 * pairs // 8] * 2]},
        max_position_embeddings=1 << 16,
    )
    vision = dict(VISION if preset.large_tower else TINY_VISION, out_hidden_size=preset.width)
    return transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)


def make_processor(grid: int) -> Any:
    """Qwen's own classes over bytes as words."""
    most = grid**2 * CELL**2
    images = transformers.Qwen2VLImageProcessorFast(min_pixels=int(0.9 * most), max_pixels=most)
    with TemporaryDirectory() as folder:
        tokens = [*sorted(ByteLevel.alphabet()), '<|endoftext|>', *(f'<|{name}|>' for name in SPECIAL)]
        Path(folder, 'vocab.json').write_text(to_json({token: index for index, token in enumerate(tokens)}))
        Path(folder, 'merges.txt').write_text('#version: 0.2\n')
        tokenizer = transformers.Qwen2TokenizerFast.from_pretrained(folder)
    tokenizer.add_special_tokens({'additional_special_tokens': [f'<|{name}|>' for name in SPECIAL]})
    videos = transformers.Qwen2VLVideoProcessor()
    return transformers.Qwen2_5_VLProcessor(images, tokenizer, videos, chat_template=CHAT_TEMPLATE)
