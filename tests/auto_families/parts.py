"""What tiny models have in common: words, a chat template, sizes, and how they are saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from packaging.version import Version
from transformers import PreTrainedTokenizerFast

from tests.tiny_lmms import SIZES, words

TEXT: dict[str, Any] = dict(SIZES, num_key_value_heads=2)
#: What makes queries and keys, with latent ones' second halves.
LOOKING = ('q_proj.weight', 'k_proj.weight', 'q_b_proj.weight', 'kv_b_proj.weight')
#: Of Qwen3.5's texts: linear attention, then a layer of full attention.
LINEAR_FIRST = dict(
    layer_types=['linear_attention', 'full_attention'],
    linear_num_key_heads=2,
    linear_num_value_heads=2,
    linear_key_head_dim=8,
    linear_value_head_dim=8,
    rope_parameters=dict(
        rope_type='default',
        rope_theta=10000.0,
        mrope_section=[3, 3, 2],
        mrope_interleaved=True,
        partial_rotary_factor=1.0,
    ),
)


def template(image: str) -> str:
    """A chat template with a system prompt that writes ``image`` where the picture is."""
    return (
        "{% for message in messages %}{% if message['role'] == 'user' %}USER : "
        "{% for part in message['content'] %}{% if part['type'] == 'image' %}" + image + ' '
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% else %}"
        "{% for part in message['content'] %} {{ part['text'] }}{% endfor %}</s>{% endif %}{% endfor %}"
        '{% if add_generation_prompt %} ASSISTANT :{% endif %}'
    )


def tokenizer(folder: Path, **named: str) -> PreTrainedTokenizerFast:
    """The words of the tiny LLaVA and special tokens, by the name that a processor asks for them."""
    made = words(folder, extra_special_tokens=dict(named))
    made.add_special_tokens({'additional_special_tokens': ['<image>', *named.values()]})
    return made


def as_class(words: PreTrainedTokenizerFast, name: str, **named: str) -> PreTrainedTokenizerFast:
    """The same words by the class of that name, which a processor asks for before transformers 5."""
    if Version('5') <= Version(transformers.__version__):
        return words
    special = dict(unk_token='<unk>', bos_token='<s>', eos_token='</s>', pad_token='<pad>')
    return getattr(transformers, name)(tokenizer_object=words._tokenizer, **special, extra_special_tokens=named)


def save(folder: Path, processor: Any, model: Callable[[Any], Any], config: Any) -> Path:
    """Random weights; those of attention are large enough that a token attends to some more than to others."""
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    made = model(config)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if not parameter.any():  # some projectors begin at zero
                parameter.normal_(std=0.1)
            if 'vision' not in name and 'visual' not in name and name.endswith(LOOKING):
                parameter *= 16
    made.save_pretrained(folder)
    return folder
