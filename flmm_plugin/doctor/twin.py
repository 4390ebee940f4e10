"""A small random model of an LMM's config, for certifying it without its weights."""

from __future__ import annotations

import importlib
from typing import Any

#: What says nothing of places and attention is made narrow: a 72B model's twin fits into a laptop's memory.
WIDTHS = dict(
    intermediate_size=1024, intermediate_size_mlp=1024, moe_intermediate_size=64, shared_expert_intermediate_size=64
)


def save_twin(name: str, folder: str) -> str:
    """Write to ``folder`` a model of ``name``'s config with two layers in each tower, and weights drawn at random.

    Its width, heads and vocabulary are the config's own. Drawn in fp32, whatever the config says: five times as
    fast as in bf16. Written in bf16.
    """
    transformers, torch = importlib.import_module('transformers'), importlib.import_module('torch')
    dtype_argument = importlib.import_module('flmm_plugin.models.lmms.compat').dtype_argument
    path = importlib.import_module('flmm_plugin.assets').resolve(name)
    config = transformers.AutoConfig.from_pretrained(path)
    text = config.get_text_config()
    for part in (text, *(getattr(config, field, None) for field in config.sub_configs if field != 'text_config')):
        if part is not None:
            shorten(part)
    for field, width in WIDTHS.items():
        if isinstance(getattr(text, field, None), int):
            setattr(text, field, min(getattr(text, field), width))
    config.tie_word_embeddings = text.tie_word_embeddings = True
    torch.manual_seed(0)
    ((argument, _),) = dtype_argument('').items()
    model = transformers.AutoModelForImageTextToText.from_config(config, **{argument: torch.float32})
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():  # a projector that begins at zero would answer nothing
                parameter.normal_(std=0.02)
    model.to(torch.bfloat16).save_pretrained(folder)
    transformers.AutoProcessor.from_pretrained(path).save_pretrained(folder)
    return folder


def shorten(config: Any) -> None:
    """Two layers, of two kinds where there are two; what is said of single layers is kept for these."""
    kinds = getattr(config, 'layer_types', None) or ['']
    kept = [0, next((index for index, kind in enumerate(kinds) if kind != kinds[0]), 1)]
    for field in ('num_hidden_layers', 'depth'):
        depth = getattr(config, field, None)
        if isinstance(depth, int) and depth > 2:
            lists = {name: value for name, value in vars(config).items() if isinstance(value, (list, tuple))}
            for name, value in lists.items():
                if len(value) == depth:
                    setattr(config, name, [value[index] for index in kept])
            setattr(config, field, 2)
    for field, own in (('fullatt_block_indexes', [1]), ('deepstack_visual_indexes', [0]), ('num_kv_shared_layers', 0)):
        if getattr(config, field, None):
            setattr(config, field, own)
