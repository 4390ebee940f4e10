"""A tiny random LLaVA, for tests that need an LMM."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence, Split, WhitespaceSplit
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

WORDS = 'the a thing dog dogs two sky grass and in this image there is are under describe give me of USER ASSISTANT'
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}USER: "
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %} ASSISTANT:"
    "{% else %}{% for part in message['content'] %} {{ part['text'] }}{% endfor %}</s>{% endif %}{% endfor %}"
)


def save_tiny_llava(folder: Path, image_size: int = 96, patch_size: int = 8, seed: int = 0) -> Path:
    """Write model and processor to ``folder``: 2 layers of 4 heads, width 32, a vocabulary of words."""
    specials = ['<unk>', '<s>', '</s>', '<pad>', '<image>']
    words = [*specials, *WORDS.split(), *['.', ',', '?', ':', '0', '1', '2', '11', '12', '21', '31', '41']]
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token='<unk>'))
    tokenizer.pre_tokenizer = Sequence([WhitespaceSplit(), Split('.', 'isolated'), Split(':', 'isolated')])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token='<unk>',
        bos_token='<s>',
        eos_token='</s>',
        pad_token='<pad>',
        additional_special_tokens=['<image>'],
    )
    size = {'height': image_size, 'width': image_size}
    image_processor = CLIPImageProcessor(size={'shortest_edge': image_size}, crop_size=size)
    LlavaProcessor(
        image_processor,
        fast,
        patch_size=patch_size,
        vision_feature_select_strategy='default',
        chat_template=CHAT_TEMPLATE,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                image_size=image_size,
                patch_size=patch_size,
                projection_dim=32,
            ),
            text_config=LlamaConfig(
                vocab_size=len(words),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=4,
            ),
            image_token_index=words.index('<image>'),
            vision_feature_layer=-1,
            vision_feature_select_strategy='default',
        )
    )
    model.save_pretrained(folder)
    return folder
