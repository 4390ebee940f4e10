"""The tiny LMM: an ordinary LLaVA with a word-level tokenizer, and what its vision tower is first trained with.

Shape shorthand: B pictures, T patches, W words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from flmm_plugin.datasets.scenes import language

SIZE, PATCH = 112, 8
SIDE = SIZE // PATCH
MEAN, STD = 0.5, 0.25
CHAT_TEMPLATE = (
    "{{ '<s> ' }}{% for m in messages %}{% if m['role'] == 'user' %}USER: "
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %} ASSISTANT:{% else %} {% for c in m['content'] %}{{ c['text'] }}{% endfor %}</s>{% endif %}"
    '{% endfor %}'
)


def build_processor() -> LlavaProcessor:
    """A word-level tokenizer over the scenes' vocabulary, and CLIP's image processor."""
    special = ['<unk>', '<s>', '</s>', '<pad>', '<image>']
    words = {word: index for index, word in enumerate(special + language.vocabulary())}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token='<unk>'))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token='<unk>',
        bos_token='<s>',
        eos_token='</s>',
        pad_token='<pad>',
        additional_special_tokens=['<image>'],
        model_max_length=512,
        model_input_names=['input_ids', 'attention_mask'],  # Llama takes no token types
        clean_up_tokenization_spaces=True,
        padding_side='left',
    )
    return LlavaProcessor(
        image_processor=CLIPImageProcessor(
            size={'shortest_edge': SIZE},
            crop_size={'height': SIZE, 'width': SIZE},
            image_mean=[MEAN] * 3,
            image_std=[STD] * 3,
        ),
        tokenizer=fast,
        patch_size=PATCH,
        vision_feature_select_strategy='default',
        chat_template=CHAT_TEMPLATE,
        num_additional_image_tokens=1,
    )


def build_model(
    processor: LlavaProcessor, width: int = 128, vision_layers: int = 4, text_layers: int = 4
) -> LlavaForConditionalGeneration:
    """A LLaVA with random weights: a CLIP vision tower, a projector and a Llama of a few layers each."""
    tokenizer = processor.tokenizer
    vision = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=vision_layers,
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=PATCH,
        hidden_act='gelu',
        projection_dim=width,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=5 * width // 2,
        num_hidden_layers=text_layers,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids('<image>'),
        vision_feature_layer=-1,
        vision_feature_select_strategy='default',
        image_seq_length=SIDE * SIDE,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlavaForConditionalGeneration(config)


def normalize(images: Tensor) -> Tensor:
    """uint8 pictures to the values that the vision tower reads."""
    return (images.float() / 255 - MEAN) / STD


@torch.no_grad()
def init_vision(tower: Any, images: Tensor) -> None:
    """Start the tower so that it sees, and so that it keeps track of where.

    Patch embedding: the whitened principal components of patches of uint8 ``images``. Position embedding: N(0, 0.35),
    and waves along rows and columns in channels that the patches leave free. Reading words needs no positions: where
    patches fill every channel it wipes them out, and the language model is left without.
    """
    patches = F.unfold(normalize(images), PATCH, stride=PATCH).transpose(1, 2).reshape(-1, 3 * PATCH * PATCH)
    values, vectors = torch.linalg.eigh(torch.cov((patches - patches.mean(0)).T))
    weight = tower.vision_model.embeddings.patch_embedding.weight
    waves = position_waves(SIDE)
    count = len(weight) - waves.shape[1]
    filters = (vectors[:, -count:] / values[-count:].clamp(min=1e-4).sqrt()).T
    weight[:count] = filters.view(count, 3, PATCH, PATCH)
    weight[count:] = 0
    table = tower.vision_model.embeddings.position_embedding.weight
    nn.init.normal_(table, std=0.35)
    table[1:, count:] = waves


def position_waves(side: int, lengths: Sequence[float] = (4.0, 2.0, 1.0, 0.5)) -> Tensor:
    """Sines and cosines along columns and rows of a (side x side) grid, ``lengths`` in sides: (side * side, 16)."""
    at = (torch.arange(side) + 0.5) / side - 0.5
    angles = 2 * math.pi * at[:, None] / torch.tensor(lengths)
    waves = torch.cat([angles.sin(), angles.cos()], 1)  # (side, 8)
    rows, columns = waves[:, None].expand(-1, side, -1), waves[None].expand(side, -1, -1)
    return torch.cat([rows, columns], 2).flatten(0, 1)


class WordReader(nn.Module):
    """The vision tower with a linear reader of words on every patch, a stand-in for CLIP's pretraining.

    A word is in the picture when it is on some patch: logits are pooled by log-sum-exp. Pictures smaller than the
    tower's are read at a random place of its position table.
    """

    def __init__(self, tower: Any, words: int) -> None:
        super().__init__()
        self.tower: Any = tower.vision_model
        self.words = nn.Linear(tower.config.hidden_size, words)
        nn.init.constant_(self.words.bias, -3.0)

    def forward(self, pixels: Tensor) -> Tensor:
        """Word logits (B, W) of pictures (B, 3, side, side)."""
        embeddings = self.tower.embeddings
        patches = embeddings.patch_embedding(pixels)
        side = patches.shape[-1]
        top, left = torch.randint(SIDE - side + 1, (2,)).tolist() if side < SIDE else (0, 0)
        table = embeddings.position_embedding.weight
        window = table[1:].view(SIDE, SIDE, -1)[top : top + side, left : left + side].reshape(side * side, -1)
        first = (embeddings.class_embedding + table[0]).expand(len(pixels), 1, -1)
        tokens = torch.cat([first, patches.flatten(2).transpose(1, 2) + window], 1)
        hidden = self.tower.encoder(self.tower.pre_layrnorm(tokens)).last_hidden_state[:, 1:]
        return self.words(hidden).logsumexp(1) - math.log(side * side)
