"""What every frozen LMM shares: preparing text, reading it with attention and hidden states captured, answering.

An adapter (one short file for each family) adds :meth:`FrozenLMM.preprocess` and nothing else in the ordinary case.
Shape shorthand: N tokens, T phrase tokens, P phrases, L layers, H heads, D hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, ProcessorMixin

from flmm_plugin.models.caches.output_cache import OutputCache
from flmm_plugin.models.capture.heads import choose_heads, heads_by_layer
from flmm_plugin.models.capture.hidden_states import find_decoder
from flmm_plugin.models.capture.recording import record_outputs
from flmm_plugin.models.lmms.batching import pad_batch, split_batch
from flmm_plugin.models.lmms.compat import crop_cache, last_logits_only
from flmm_plugin.models.lmms.continuation import continued_mask, continued_positions
from flmm_plugin.models.lmms.pretrained import PretrainedLMM
from flmm_plugin.models.lmms.shapes import preprocess_shape
from flmm_plugin.models.lmms.text import expand_image, tokenize
from flmm_plugin.structures import ImageInputs, LMMInputs, LMMOutputs, Segment


class FrozenLMM(PretrainedLMM):
    """A pretrained LMM that is only ever read: no gradient, always in evaluation mode.

    Args:
        pretrained: a hub name, a folder written by ``save_pretrained``, or ``flmm_plugin::NAME`` for a shipped one.
        dtype: torch dtype by name (``'bfloat16'``), or ``'auto'`` for the checkpoint's own.
        processor: replaces the processor that ``pretrained`` comes with.
        heads: which attention heads make maps: a file written by ``tools/select_heads.py``, or indices
            ``layer * heads_per_layer + head``; all by default.
        quantization: arguments of transformers' ``BitsAndBytesConfig``, for example ``dict(load_in_4bit=True)``.
        map_folder: where the maps and hidden states of all samples are kept in half precision, for training of several
            epochs; they are found again by a sample's content and the LMM's weights.
        exact_maps: keep them there as they are, at twice the size.
        device_map: ``'auto'`` deals an LMM that is too large for one GPU out to all of them (needs accelerate).
    """

    #: An adapter of an LMM whose image tokens see one another says False.
    causal = True
    map_cache: OutputCache | None = None

    def __init__(
        self,
        pretrained: str,
        *,
        dtype: str = 'auto',
        processor: ProcessorMixin | None = None,
        heads: str | Sequence[int] | None = None,
        quantization: dict[str, Any] | None = None,
        map_folder: str | None = None,
        exact_maps: bool = False,
        device_map: str | dict[str, Any] | None = None,
    ) -> None:
        super().__init__(pretrained, dtype, processor, quantization, device_map)
        if heads is not None:
            self.heads = choose_heads(heads, self.num_layers, self.num_heads, self.fingerprint())
        if map_folder is not None:
            self.map_cache = OutputCache(map_folder, self, exact_maps)

    def preprocess(self, image: Tensor) -> ImageInputs:
        """Preprocess a uint8 RGB image (3, H, W) as this family does."""
        raise NotImplementedError

    def render(self, prompt: str) -> str:
        """The user's question in the LMM's chat template, up to where the answer begins."""
        content = [{'type': 'image'}, {'type': 'text', 'text': prompt}]
        return self.processor.apply_chat_template([{'role': 'user', 'content': content}], add_generation_prompt=True)

    def tokenize(self, prompt: str, segments: Sequence[Segment] = ()) -> tuple[Tensor, Tensor, Tensor]:
        """Tokenise the question in the chat template and the answer, segment by segment, without special tokens.

        Returns:
            ``input_ids``, ``phrase_ids`` and ``branch_ids``, each (M,) int64, the image still one token.
        """
        return tokenize(self.processor.tokenizer, self.render(prompt), segments)

    def prepare(self, image: Tensor, prompt: str, segments: Sequence[Segment] = ()) -> LMMInputs:
        """Inputs of one sample: a uint8 RGB image (3, H, W), the user's question and the answer in segments."""
        return self.prepare_tokens(image, *self.tokenize(prompt, segments))

    def prepare_tokens(
        self, image: Tensor, input_ids: Tensor, phrase_ids: Tensor, branch_ids: Tensor | None = None
    ) -> LMMInputs:
        """Inputs of one sample whose text is tokenised already.

        Args:
            input_ids: (M,) int64 with exactly one image token, which is expanded here to the image's tokens.
            phrase_ids: (M,) int64, the phrase of each token, -1 elsewhere.
            branch_ids: (M,) int64, see :class:`LMMInputs`; the trunk comes first and grounds nothing.
        """
        return expand_image(
            input_ids, phrase_ids, branch_ids, self.image_token_id, lambda: preprocess_shape(self.preprocess, image)
        )

    @torch.no_grad()
    def forward(self, samples: Sequence[LMMInputs], all_tokens: bool = False) -> list[LMMOutputs]:
        """Forward pass over a batch; keeps the phrases' attention to the image and their hidden states.

        Where a text has branches, the trunk is read once and its keys and values serve all of them.

        Args:
            all_tokens: keep the hidden states of every token (of the branches, where there are any), not of the
                phrases' alone.
        """
        if self.map_cache is None or all_tokens:
            return self._forward(samples, all_tokens)
        return self.map_cache.fetch(samples, self._forward)

    def _forward(self, samples: Sequence[LMMInputs], all_tokens: bool = False) -> list[LMMOutputs]:
        if any(sample.branch_ids is not None for sample in samples):
            return [self._forward_branches(sample, all_tokens) for sample in samples]
        read: list[LMMOutputs] = []
        for part in split_batch(samples, self.hidden_size, self.device):
            with self._record(part, all_tokens=all_tokens, unmasked=self._needs_no_mask(part)) as outputs:
                self.model(**self.collate(part), use_cache=False, **last_logits_only(self.model))
            read += outputs
        return read

    def _needs_no_mask(self, samples: Sequence[LMMInputs]) -> bool:
        """Right-padded texts under causal attention, no token of which is out of reach of a sliding window."""
        window = getattr(self.config.text_config, 'sliding_window', None)
        return self.causal and (window is None or max(len(sample.input_ids) for sample in samples) < window)

    def _record(self, samples: Sequence[LMMInputs], **options: Any) -> AbstractContextManager[list[LMMOutputs]]:
        heads = None if self.heads is None else heads_by_layer(self.heads, self.num_layers, self.num_heads)
        return record_outputs(self.model, samples, heads=heads, **options)

    def _forward_branches(self, sample: LMMInputs, all_tokens: bool) -> LMMOutputs:
        if sample.branch_ids is None:
            return self._forward([sample], all_tokens)[0]
        trunk = sample.trunk_length
        return self.forward_cached(sample, self.read(sample.first(trunk)), trunk, all_tokens)

    @torch.no_grad()
    def read(self, sample: LMMInputs) -> Cache:
        """Read one sample and return the keys and values of its tokens."""
        past = DynamicCache()
        self.model(**self.collate([sample]), past_key_values=past, use_cache=True, **last_logits_only(self.model))
        return past

    @torch.no_grad()
    def forward_cached(self, sample: LMMInputs, past: Cache, cached: int, all_tokens: bool = False) -> LMMOutputs:
        """As :meth:`forward` for one sample whose first ``cached`` tokens, the image's among them, were read before.

        Args:
            past: what :meth:`read` or the LMM's own ``generate`` left of those tokens; what else it holds is dropped,
                and it is given back as long as it was taken.
            all_tokens: keep the hidden states of every token after the first ``cached``.

        Raises:
            ValueError: a phrase, or a token of the image, lies among the first ``cached`` tokens or after them.
        """
        if (sample.phrase_ids[:cached] >= 0).any() or (sample.input_ids[cached:] == self.image_token_id).any():
            raise ValueError(f'the first {cached} tokens must hold the image and no phrase')
        crop_cache(past, cached)
        decoder = find_decoder(self.model, self.config.text_config)
        with self._record([sample], cached=cached, all_tokens=all_tokens) as outputs:
            decoder(
                input_ids=self._place(sample.input_ids[None, cached:]),
                position_ids=self._place(continued_positions(sample, cached)[None]),
                attention_mask=self._place(continued_mask(sample, cached, self.model.dtype)),
                past_key_values=past,
                use_cache=True,
            )
        crop_cache(past, cached)
        return outputs[0]

    def collate(self, samples: Sequence[LMMInputs]) -> dict[str, Tensor]:
        """Arguments of the LMM's forward pass for a batch; see :func:`pad_batch`.

        Token ids and pixels are on its device. Sizes of images are not: transformers reads them on the host.
        """
        batch = pad_batch(samples, padding=next(iter({0, 1} - {self.image_token_id})))
        moved = {'input_ids', 'pixel_attention_mask', *samples[0].per_token}
        return {
            name: self._place(tensor) if name in moved or tensor.is_floating_point() else tensor
            for name, tensor in batch.items()
        }

    def _place(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, self.model.dtype if tensor.is_floating_point() else None, non_blocking=True)

    @torch.no_grad()
    def generate(self, image: Tensor, prompt: str, max_new_tokens: int = 128) -> tuple[Tensor, str]:
        """The LMM's own greedy answer to a question about an image: its token ids (M,) and its text."""
        inputs = self.collate([self.prepare(image, prompt)])
        attention_mask = torch.ones_like(inputs['input_ids'])
        sequence = self.model.generate(
            **inputs, attention_mask=attention_mask, do_sample=False, max_new_tokens=max_new_tokens
        )
        answer = sequence[0, inputs['input_ids'].shape[1] :].cpu()
        return answer, self.processor.tokenizer.decode(answer, skip_special_tokens=True).strip()
