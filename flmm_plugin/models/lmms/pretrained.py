"""A pretrained LMM of transformers: how it is loaded, its dimensions, and how it is told from others.

Shape shorthand: L layers, H heads.
"""

from __future__ import annotations

from collections.abc import Callable
from logging import getLogger
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig, ProcessorMixin

from flmm_plugin.assets import resolve
from flmm_plugin.errors import loading
from flmm_plugin.models.capture.attention import ATTENTION_NAME
from flmm_plugin.models.capture.hidden_states import find_decoder
from flmm_plugin.models.capture.layers import attention_layers
from flmm_plugin.models.lmms.compat import dtype_argument
from flmm_plugin.models.lmms.processing import load_config
from flmm_plugin.models.weights.frozen import fingerprint, freeze, weights_hash
from flmm_plugin.quiet import without_messages


class PretrainedLMM(nn.Module):
    """Loads an LMM with the attention that can be captured, and freezes it. Arguments: see :class:`FrozenLMM`."""

    #: Indices ``layer * H + head`` of the attention heads that make maps; None for all.
    heads: tuple[int, ...] | None = None
    num_grids = 1
    #: Were the weights dealt out to devices when they were loaded?
    dealt_out = False

    def __init__(
        self,
        pretrained: str,
        dtype: str,
        processor: ProcessorMixin | None,
        quantization: dict[str, Any] | None,
        device_map: str | dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        path = resolve(pretrained)
        self.name = pretrained
        self.dealt_out = device_map is not None
        # A config of its own: some classes pass attn_implementation on before they have their text_config.
        config = load_config(pretrained)
        with loading(f'the LMM {pretrained}'):
            self.processor = own_processor(path) if processor is None else processor
            self.model = AutoModelForImageTextToText.from_pretrained(
                path,
                config=config,
                attn_implementation=attention_by_part(config),
                trust_remote_code=False,
                **dtype_argument(dtype),
                **({} if quantization is None else {'quantization_config': BitsAndBytesConfig(**quantization)}),
                **({} if device_map is None else {'device_map': device_map}),
            )
        freeze(self)

    def _apply(self, fn: Any, recurse: bool = True) -> PretrainedLMM:
        """Weights that were dealt out to devices stay there when the model that holds this one is moved."""
        return self if self.dealt_out else super()._apply(fn, recurse)

    @property
    def config(self) -> Any:
        return self.model.config

    @property
    def revision(self) -> str | None:
        """The Hub's commit that it was loaded from; None for a folder."""
        return getattr(self.config, '_commit_hash', None)

    @property
    def text_config(self) -> Any:
        """The language model's part of the config."""
        return self._found('text_config', self.config.get_text_config)

    @property
    def decoder(self) -> nn.Module:
        """The stack of the language model's layers."""
        return self._found('decoder', lambda: find_decoder(self.model, self.text_config))

    def _found(self, name: str, find: Callable[[], Any]) -> Any:
        """Part of the model, looked for once: that takes as long as some layers of a short text on a GPU."""
        known = vars(self).setdefault('_found_parts', {})
        if name not in known or known[name][0] is not self.model:
            known[name] = (self.model, find())
        return known[name][1]

    @property
    def num_layers(self) -> int:
        return self.text_config.num_hidden_layers

    @property
    def attention_layers(self) -> tuple[int, ...]:
        """The layers that make maps: all, but for convolutions and linear attention between them."""
        return attention_layers(self.text_config)

    @property
    def num_heads(self) -> int:
        """Attention heads of a layer."""
        return self.text_config.num_attention_heads

    @property
    def hidden_size(self) -> int:
        return self.text_config.hidden_size

    @property
    def num_maps(self) -> int:
        """Channels of the attention maps: the heads that are kept, of all layers, x grids."""
        kept = len(self.attention_layers) * self.num_heads if self.heads is None else len(self.heads)
        return kept * self.num_grids

    @property
    def device(self) -> torch.device:
        # Weights that wait on the disk are on none until they are needed.
        devices = (parameter.device for parameter in self.model.parameters())
        return next((device for device in devices if device.type != 'meta'), torch.device('meta'))

    @property
    def image_token_id(self) -> int:
        token = getattr(self.config, 'image_token_id', None)
        return self.config.image_token_index if token is None else token

    def train(self, mode: bool = True) -> PretrainedLMM:
        """Stays in evaluation mode whatever ``mode`` says: dropout would change what the LMM attends to."""
        return super().train(False)

    def weights_hash(self) -> str:
        """sha256 of all weights, to prove that training left them alone."""
        return weights_hash(self.model)

    def fingerprint(self) -> str:
        """Tells one LMM from another of the same shapes, by the layers of its text model (fine-tuned ones differ).

        Empty where the weights were quantised: nothing can be said of the LMM they come from.
        """
        if getattr(self.config, 'quantization_config', None) is not None:
            return ''
        decoder: Any = self.decoder
        return fingerprint(decoder.layers)


def attention_by_part(config: Any) -> str | dict[str, str]:
    """transformers' ``attn_implementation``: ours for the language model, its own choice for what else there is."""
    text = config.get_text_config()
    parts = [name for name in config.sub_configs if getattr(config, name, None) is text]
    return {parts[0]: ATTENTION_NAME} if parts else ATTENTION_NAME


def own_processor(path: str) -> ProcessorMixin:
    """The processor that a model comes with."""
    with without_messages(getLogger('transformers.models.auto.image_processing_auto'), 'Using a slow image processor'):
        return AutoProcessor.from_pretrained(path, trust_remote_code=False)
