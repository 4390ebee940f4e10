"""A tiny Qwen2.5-VL: pictures of any aspect, windows in the tower, rotary positions of three axes.

Shape shorthand: as in family.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2TokenizerFast,
    Qwen2VLImageProcessorFast,
    Qwen2VLVideoProcessor,
)

from flmm_plugin.tiny.family import MEAN, STD, Picture, TinyFamily, build_tokenizer, text_sizes
from flmm_plugin.tiny.llava import whitening

PATCH, MERGE, FRAMES = 7, 2, 2  # a token is 14 x 14 pixels; a still picture is two equal frames
WINDOW = 4 * MERGE * PATCH
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ('<|im_start|>', '<|im_end|>', '<|vision_start|>', '<|vision_end|>', '<|image_pad|>', '<|video_pad|>')


class TinyQwen(TinyFamily):
    """A tower of windows and full attention on patches of 7 pixels, merged by 2 x 2; a Qwen2 with multimodal rotary."""

    model = Qwen2_5_VLForConditionalGeneration
    canvases = ((192, 192), (160, 224), (224, 160), (144, 256), (256, 144))

    def build_processor(self) -> Qwen2_5_VLProcessor:
        made = build_tokenizer(['<unk>', '<pad>', *SPECIAL], '<|im_end|>', additional_special_tokens=list(SPECIAL))
        tokenizer = Qwen2TokenizerFast(
            tokenizer_object=made._tokenizer,
            unk_token='<unk>',
            eos_token='<|im_end|>',
            pad_token='<pad>',
            additional_special_tokens=list(SPECIAL),
            model_max_length=1024,
            padding_side='left',
        )
        images = dict(
            patch_size=PATCH,
            merge_size=MERGE,
            temporal_patch_size=FRAMES,
            min_pixels=84 * 84,
            max_pixels=224 * 224,
            image_mean=[MEAN] * 3,
            image_std=[STD] * 3,
        )
        return Qwen2_5_VLProcessor(
            Qwen2VLImageProcessorFast(**images), tokenizer, Qwen2VLVideoProcessor(**images), chat_template=CHAT_TEMPLATE
        )

    def build_model(self, processor: Any, width: int = 128, layers: int = 4) -> Qwen2_5_VLForConditionalGeneration:
        tokenizer = processor.tokenizer
        vision = dict(
            depth=layers,
            hidden_size=width,
            out_hidden_size=width,
            intermediate_size=2 * width,
            num_heads=4,
            patch_size=PATCH,
            spatial_merge_size=MERGE,
            temporal_patch_size=FRAMES,
            window_size=WINDOW,
            fullatt_block_indexes=list(range(1, layers, 2)),
        )
        # Heads of 16 have 8 frequencies: 2 for the time, which text alone has, 3 each for rows and columns of a picture
        # of some 14 rows. Of the usual base (1e6) those of columns would be too slow to tell one from the next.
        text = dict(
            text_sizes(tokenizer, width, layers),
            bos_token_id=tokenizer.convert_tokens_to_ids('<|im_start|>'),  # else transformers 5 takes the large one's
            max_position_embeddings=1024,
            rope_theta=50.0,
            rope_scaling={'type': 'mrope', 'mrope_section': [2, 3, 3]},
            use_sliding_window=False,
        )
        ids = {
            f'{name}_token_id': tokenizer.convert_tokens_to_ids(token)
            for name, token in zip(('vision_start', 'vision_end', 'image', 'video'), SPECIAL[2:], strict=True)
        }
        config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
        return Qwen2_5_VLForConditionalGeneration(config)

    def pixels(self, processor: Any, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        return dict(processor.image_processor(images=list(pictures), return_tensors='pt'))

    def tower(self, model: Any) -> nn.Module:
        return model.model.visual

    @torch.no_grad()
    def init_tower(self, tower: Any, pixels: dict[str, Tensor]) -> None:
        """Patch embedding: the whitened principal components of patches, half of them of either frame."""
        weight = tower.patch_embed.proj.weight
        patches = pixels['pixel_values'].view(-1, 3, FRAMES, PATCH, PATCH)[:, :, 0].flatten(1)
        filters = whitening(patches[:: max(1, len(patches) // 50_000)], len(weight)).view(-1, 3, 1, PATCH, PATCH)
        weight.copy_(filters.expand_as(weight) / FRAMES)

    def read(self, tower: Any, pixels: dict[str, Tensor]) -> Tensor:
        grid = pixels['image_grid_thw']
        seen = tower(pixels['pixel_values'], grid_thw=grid)
        merged = getattr(seen, 'pooler_output', seen)  # transformers 5 gives the patches too
        return merged.view(len(grid), self.num_tokens(pixels), -1)

    def image_tokens(self, model: Any, pixels: dict[str, Tensor]) -> Tensor:
        return self.read(model.model.visual, pixels)

    def num_tokens(self, pixels: dict[str, Tensor]) -> int:
        return int(pixels['image_grid_thw'][0].prod()) // MERGE**2

    def positions(self, model: Any, ids: Tensor, pixels: dict[str, Tensor]) -> Tensor:
        find = model.model.get_rope_index
        known = {}
        if 'mm_token_type_ids' in signature(find).parameters:  # transformers 5 is told which tokens are an image's
            known['mm_token_type_ids'] = (ids == model.config.image_token_id).int()[None]
        return find(input_ids=ids[None], image_grid_thw=pixels['image_grid_thw'][:1], **known)[0][:, 0]

    def save(self, model: Any, processor: Any, folder: Path) -> None:
        """The tokenizer under its general class: transformers 5 makes a Qwen2Tokenizer anew, of bytes and merges."""
        super().save(model, processor, folder)
        path = folder / 'tokenizer_config.json'
        config = json.loads(path.read_text())
        path.write_text(json.dumps(dict(config, tokenizer_class='PreTrainedTokenizerFast'), indent=2) + '\n')
        (folder / 'vocab.json').unlink(missing_ok=True)
