"""Which attention layers of an LMM go through transformers' attention interface.

Capture replaces the function that the interface hands out, so a layer that computes attention by itself cannot be
captured. Only the configuration is needed: the model is built on the meta device, without weights.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flmm_plugin.doctor.findings import Finding, fail, first_line, ok

INTERFACE = 'ALL_ATTENTION_FUNCTIONS'
# The releases from which a family's language model goes through the interface.
ROUTED_SINCE = {'qwen2_vl': '4.53', 'qwen2_5_vl': '4.53', 'internvl': '4.52', 'default': '4.48'}


@dataclass(frozen=True)
class AttentionLayers:
    """Layers alike: ``path`` with ``*`` for their number, their class, what computes their attention, how many."""

    path: str
    layer_class: Any
    implementation: str

    @property
    def routed(self) -> bool:
        return any(INTERFACE in _source(base.forward) for base in self.layer_class.__mro__ if 'forward' in vars(base))

    @property
    def is_vision(self) -> bool:
        return any(word in self.path for word in ('vision', 'visual', 'vit'))


def check_lmm(name: str) -> list[Finding]:
    """``name``: a folder with a config.json, a hub name, or ``flmm_plugin::NAME``."""
    try:
        config = load_config(name)
        model = build_on_meta(config)
    except Exception as error:  # no such model, no network, a class that this transformers lacks
        remedy = (
            'give a folder with config.json, or a hub name and a network connection\n'
            'a model newer than your transformers needs a newer one: pip install -U transformers'
        )
        return [fail(f'LMM {name}', first_line(error), remedy)]
    layers = attention_layers(model)
    found = [
        _judge(group, count, config.model_type) for group, count in sorted(layers.items(), key=lambda i: i[0].path)
    ]
    if not any(not group.is_vision for group in layers):
        found.append(fail(f'LMM {name}', 'no attention layer of a language model found', 'is it a causal LMM?'))
    text_config = config.get_text_config() if hasattr(config, 'get_text_config') else config
    if getattr(text_config, 'attn_logit_softcapping', None):
        remedy = 'choose an LMM without attn_logit_softcapping'
        found.append(fail(f'LMM {name}', 'caps its attention logits, which capture does not reproduce', remedy))
    return found


def load_config(name: str) -> Any:
    transformers = importlib.import_module('transformers')
    path = importlib.import_module('flmm_plugin.assets').resolve(name)
    if Path(path).is_dir() and not (Path(path) / 'config.json').exists():
        raise FileNotFoundError(f'no config.json in {path}')  # transformers would guess a model from the folder's name
    if not Path(path).exists() and (path.startswith(('/', '.', '~')) or path.count('/') > 1):
        raise FileNotFoundError(f'no such folder: {path}')
    return transformers.AutoConfig.from_pretrained(path)


def build_on_meta(config: Any) -> Any:
    """The model of ``config`` without memory for its weights, asking for the attention that capture needs."""
    torch = importlib.import_module('torch')
    transformers = importlib.import_module('transformers')
    name = importlib.import_module('flmm_plugin.models.capture.attention').ATTENTION_NAME
    auto = transformers.AutoModelForImageTextToText
    if type(config) not in auto._model_mapping:
        auto = transformers.AutoModelForCausalLM
    with torch.device('meta'):
        wanted: Any = {'text_config': name, 'vision_config': 'sdpa'} if hasattr(config, 'vision_config') else name
        return auto.from_config(config, attn_implementation=wanted)


def attention_layers(model: Any) -> Counter[AttentionLayers]:
    return Counter(
        AttentionLayers(re.sub(r'\.\d+(?=\.|$)', '.*', path), type(module), _implementation(module))
        for path, module in model.named_modules()
        if _is_attention(module)
    )


def _is_attention(module: Any) -> bool:
    """The innermost module called attention that has weights of its own: some wrap it in another one of that name."""
    children = list(_named_attention(module.children()))
    return 'Attention' in type(module).__name__ and not children and any(True for _ in module.parameters())


def _named_attention(modules: Iterator[Any]) -> Iterator[Any]:
    return (module for module in modules if 'Attention' in type(module).__name__)


def _implementation(module: Any) -> str:
    return getattr(getattr(module, 'config', None), '_attn_implementation', None) or 'its own'


def _source(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ''


def _judge(group: AttentionLayers, count: int, model_type: str) -> Finding:
    subject = f'{count} x {group.layer_class.__name__} at {group.path}'
    if group.routed:
        return ok(subject, f'through the interface ({group.implementation})')
    if group.is_vision:
        return ok(subject, 'not through the interface; only the language model is captured')
    since = ROUTED_SINCE.get(model_type, ROUTED_SINCE['default'])
    remedy = f'{model_type} needs transformers {since} or later; models with code of their own cannot be captured'
    return fail(subject, 'computes attention by itself: its maps cannot be captured', remedy)
