"""How a frozen LMM is read: in batches, by branches, and going on from what was read before.

Shape shorthand: N tokens, M of a prompt and its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from flmm_plugin.models.capture.attention import MASKS_BY_FUNCTION
from flmm_plugin.models.capture.heads import heads_by_layer
from flmm_plugin.models.capture.layers import FULL, attends_everywhere, layer_kinds, mask_layers
from flmm_plugin.models.capture.positions import KeptTokens, positions_of
from flmm_plugin.models.capture.recording import record_outputs
from flmm_plugin.models.lmms.batching import pad_batch, split_batch
from flmm_plugin.models.lmms.branches import join_branches, split_branches
from flmm_plugin.models.lmms.compat import crop_cache, last_logits_only, needs_cache
from flmm_plugin.models.lmms.continuation import text_positions, visible_tokens
from flmm_plugin.models.lmms.pretrained import PretrainedLMM
from flmm_plugin.models.numbers import RefuseBroken
from flmm_plugin.structures import LMMInputs, LMMOutputs


class ReadingLMM(PretrainedLMM):
    """An LMM that reads samples and keeps what grounding needs; what a sample is made of, subclasses say."""

    #: An adapter of an LMM whose image tokens see one another says False; only before transformers 4.53 it must.
    causal = True
    #: Are samples of a batch read as they are alone? Else each is read by itself.
    takes_batches = True

    @property
    def keeps_tokens(self) -> bool:
        """Can keys and values of a text be gone on from, anywhere? Else every text is read whole."""
        return attends_everywhere(self.text_config)

    def read_batch(self, samples: Sequence[LMMInputs], all_tokens: bool = False) -> list[LMMOutputs]:
        """See :meth:`FrozenLMM.forward`."""
        if any(sample.kept_length < len(sample.input_ids) for sample in samples):
            return [self._read_parts(sample, all_tokens) for sample in samples]
        read: list[LMMOutputs] = []
        options = dict(last_logits_only(self.model), use_cache=needs_cache(self.text_config))
        parts = split_batch(samples, self.hidden_size, self.device)
        for part in parts if self.takes_batches else [[sample] for sample in samples]:
            with self._record(part, all_tokens=all_tokens, unmasked=self._needs_no_mask(part)) as outputs:
                self.model(**self.collate(part), **options)
            read += outputs
        return read

    def _needs_no_mask(self, samples: Sequence[LMMInputs]) -> bool:
        """Is causality all that a mask would say besides padding? Newer releases of transformers see it themselves."""
        window = getattr(self.text_config, 'sliding_window', None)
        short = window is None or max(len(sample.input_ids) for sample in samples) < window
        return MASKS_BY_FUNCTION or (self.causal and (short or set(layer_kinds(self.text_config)) == {FULL}))

    def _record(self, samples: Sequence[LMMInputs], **options: Any) -> AbstractContextManager[list[LMMOutputs]]:
        heads = None
        if self.heads is not None:
            heads = heads_by_layer(self.heads, len(self.attention_layers), self.num_heads)
        return record_outputs(self.model, self.decoder, samples, heads=heads, **options)

    def _read_parts(self, sample: LMMInputs, all_tokens: bool) -> LMMOutputs:
        """What all branches share first, and then the branches."""
        first = sample.kept_length
        if first == len(sample.input_ids):
            return self.read_batch([sample], all_tokens)[0]
        if self.keeps_tokens:
            return self.forward_cached(sample, self.read(sample.first(first)), first, all_tokens)
        parts = split_branches(sample)
        return join_branches(sample, parts, self.read_batch(parts, all_tokens))

    @torch.no_grad()
    def read(self, sample: LMMInputs, past: KeptTokens | None = None) -> KeptTokens:
        """Read one sample into ``past``, or return the keys and values of its tokens.

        Where the LMM cannot go on from them there are none.
        """
        past = KeptTokens() if past is None else past
        if self.keeps_tokens:
            first = sample.kept_length
            inputs = dict(self.collate([sample.first(first)]), past_key_values=past, use_cache=True)
            with positions_of(self.decoder, past):
                self.model(**inputs, **last_logits_only(self.model))
            if first < len(sample.input_ids):
                self._go_on(sample, past, first)
        return past

    def _go_on(self, sample: LMMInputs, past: Cache, cached: int) -> None:
        """Let the decoder read the tokens after the first ``cached``."""
        positions, shift = self._place(text_positions(sample)[None, cached:]), getattr(past, 'shift', None)
        self.decoder(
            input_ids=self._place(sample.input_ids[None, cached:]),
            position_ids=positions if shift is None else positions + shift,
            attention_mask=self._place(torch.ones_like(sample.input_ids)[None]),
            past_key_values=past,
            use_cache=True,
        )

    @torch.no_grad()
    def forward_cached(self, sample: LMMInputs, past: Cache, cached: int, all_tokens: bool = False) -> LMMOutputs:
        """As :meth:`FrozenLMM.forward` for one sample whose first ``cached`` tokens, the image's among them, were read.

        Args:
            past: what :meth:`read` or :meth:`answer` left of those tokens; what else it holds is dropped, and it is
                given back as long as it was taken. An LMM that cannot go on from it reads the sample whole.
            all_tokens: keep the hidden states of every token after the first ``cached``.

        Raises:
            ValueError: a phrase, or a token of the image, lies among the first ``cached`` tokens or after them.
        """
        if (sample.phrase_ids[:cached] >= 0).any() or (sample.input_ids[cached:] == self.image_token_id).any():
            raise ValueError(f'the first {cached} tokens must hold the image and no phrase')
        if not self.keeps_tokens:
            (whole,) = self.read_batch([sample], all_tokens)
            kept = len(sample.input_ids) - cached if all_tokens else len(whole.phrase_ids)
            first = len(whole.phrase_ids) - kept
            return replace(whole, hidden_states=whole.hidden_states[:, first:], phrase_ids=whole.phrase_ids[first:])
        crop_cache(past, cached)
        seen = visible_tokens(sample, cached)
        masks = mask_layers(layer_kinds(self.text_config), self.text_config, seen, text_positions(sample))
        with self._record([sample], cached=cached, all_tokens=all_tokens, masks=masks) as outputs:
            self._go_on(sample, past, cached)
        crop_cache(past, cached)
        return outputs[0]

    def answer(self, prompt: LMMInputs, past: KeptTokens | None = None, known: int = 0, **options: Any) -> Tensor:
        """The ids (1, M) of a prompt and of what the LMM's own ``generate`` goes on with.

        Args:
            past: the keys and values of the prompt's first ``known`` tokens, the image's among them unless there are
                none; it holds all that was read and said afterwards. Not for LMMs that cannot go on from it.
            options: those of ``generate``.

        Raises:
            BrokenNumbersError: a word's logits are NaN or infinite.
        """
        inputs, options = self.collate([prompt]), self.refusing(options)
        if past is None or not self.keeps_tokens:
            whole: Tensor = self.model.generate(**inputs, **options)
            # transformers keeps a static cache for the next call, which fails with one that was made in inference mode.
            vars(self.model).pop('_cache', None)
            return whole
        if not known and prompt.kept_length < len(prompt.input_ids):
            known = prompt.kept_length
            self.read(prompt.first(known), past)
        if known:
            crop_cache(past, known)
            inputs = {name: inputs[name] for name in ('input_ids', 'attention_mask')}  # the image has been read
        with positions_of(self.decoder, past):
            return self.model.generate(**inputs, past_key_values=past, **options)

    def refusing(self, options: dict[str, Any]) -> dict[str, Any]:
        """Options of ``generate`` that end it where logits are no numbers, of which it would choose some word."""
        return {
            **options,
            'logits_processor': [RefuseBroken(self.model.dtype), *(options.get('logits_processor') or ())],
        }

    def collate(self, samples: Sequence[LMMInputs]) -> dict[str, Tensor]:
        """Arguments of the LMM's forward pass for a batch; see :func:`pad_batch`.

        All of it is on its device but the sizes of images, which transformers reads on the host.
        """
        batch = pad_batch(samples, padding=next(iter({0, 1} - {self.image_token_id})))
        return {name: tensor if name == 'image_sizes' else self._place(tensor) for name, tensor in batch.items()}

    def _place(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, self.model.dtype if tensor.is_floating_point() else None, non_blocking=True)
