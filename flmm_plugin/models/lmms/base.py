"""What every frozen LMM shares: preparing text, reading it with attention and hidden states captured, answering.

An adapter (one short file for each family) adds :meth:`FrozenLMM.preprocess` and nothing else in the ordinary case.
Shape shorthand: N tokens, T phrase tokens, P phrases, L layers, H heads, D hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import ProcessorMixin

from flmm_plugin.models.caches.output_cache import OutputCache
from flmm_plugin.models.capture.heads import choose_heads
from flmm_plugin.models.lmms.batching import join_visions
from flmm_plugin.models.lmms.reading import ReadingLMM
from flmm_plugin.models.lmms.shapes import preprocess_shape
from flmm_plugin.models.lmms.text import expand_image, tokenize
from flmm_plugin.structures import ImageInputs, LMMInputs, LMMOutputs, Segment


class FrozenLMM(ReadingLMM):
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

    #: Do all tokens of the question see one another? Then the answer is read in a second pass.
    prompt_sees_itself = False
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
            self.keep_heads(heads)
        if map_folder is not None:
            self.map_cache = OutputCache(map_folder, self, exact_maps)

    def keep_heads(self, heads: str | Path | Sequence[int]) -> None:
        """Make maps of these attention heads alone; for what was built before, only where nothing is trained.

        Raises:
            HeadsError: there are no such heads, or the file is another LMM's.
        """
        self.heads = choose_heads(heads, len(self.attention_layers), self.num_heads, self.fingerprint())

    def preprocess(self, image: Tensor) -> ImageInputs:
        """Preprocess a uint8 RGB image (3, H, W) as this family does."""
        raise NotImplementedError

    def join_images(
        self, images: Sequence[Tensor], made: Sequence[ImageInputs]
    ) -> tuple[Sequence[ImageInputs], dict[str, Tensor]]:
        """Several uint8 RGB images (3, H, W) in one prompt, from what was ``made`` of each by itself.

        Returns:
            What each of them is in that prompt, and the vision inputs of all of them.
        """
        return made, join_visions([one.vision for one in made])

    def render(self, prompt: str) -> str:
        """The user's question in the LMM's chat template, up to where the answer begins."""
        content = [{'type': 'image'}, {'type': 'text', 'text': prompt}]
        return self.processor.apply_chat_template([{'role': 'user', 'content': content}], add_generation_prompt=True)

    def tokenize(self, prompt: str, segments: Sequence[Segment] = (), begin: str = '') -> tuple[Tensor, Tensor, Tensor]:
        """Tokenise the question in the chat template and the answer, segment by segment, without special tokens.

        Args:
            begin: what the answer begins with, in one piece with the template: with no space but its own.

        Returns:
            ``input_ids``, ``phrase_ids`` and ``branch_ids``, each (M,) int64, the image still one token.
        """
        return tokenize(self.processor.tokenizer, self.render(prompt) + begin, segments)

    def prepare(self, image: Tensor, prompt: str, segments: Sequence[Segment] = (), begin: str = '') -> LMMInputs:
        """Inputs of one sample: a uint8 RGB image (3, H, W), the user's question and the answer in segments.

        ``begin``: see :meth:`tokenize`.
        """
        ids, phrases, branches = self.tokenize(prompt, segments, begin)
        sample = self.prepare_tokens(image, ids, phrases, branches)
        if not self.prompt_sees_itself:
            return sample
        answer = len(ids) - len(self.tokenize(prompt)[0])
        return replace(sample, prompt_length=len(sample.input_ids) - answer)

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
            return self.read_batch(samples, all_tokens)
        return self.map_cache.fetch(samples, self.read_batch)

    @torch.no_grad()
    def generate(self, image: Tensor, prompt: str, max_new_tokens: int = 128) -> tuple[Tensor, str]:
        """The LMM's own greedy answer to a question about an image: its token ids (M,) and its text."""
        asked = self.prepare(image, prompt)
        sequence = self.answer(asked, do_sample=False, max_new_tokens=max_new_tokens)
        answer = sequence[0, len(asked.input_ids) :].cpu()
        return answer, self.processor.tokenizer.decode(answer, skip_special_tokens=True).strip()
