"""What every frozen LMM shares: loading, freezing, text, attention capture, hidden states.

An adapter (one short file for each family) adds :meth:`FrozenLMM.preprocess` and nothing else in the ordinary case.
Shape shorthand: N tokens, T phrase tokens, P phrases, L layers, H heads, D hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, ProcessorMixin

from flmm_plugin.assets import resolve
from flmm_plugin.errors import UserError
from flmm_plugin.models.attention import ATTENTION_NAME, AttentionSelection, select_attention
from flmm_plugin.models.frozen import freeze, weights_hash
from flmm_plugin.models.hidden_states import record_hidden_states
from flmm_plugin.models.lmms.compat import dtype_argument, last_logits_only
from flmm_plugin.structures import ImageInputs, LMMInputs, LMMOutputs, Segment


class PromptError(UserError, ValueError):
    """Text that cannot be grounded: no image in it, or a phrase without tokens."""


class FrozenLMM(nn.Module):
    """A pretrained LMM that is only ever read: no gradient, always in evaluation mode.

    Args:
        pretrained: a hub name, a folder written by ``save_pretrained``, or ``flmm_plugin::NAME`` for a shipped one.
        dtype: torch dtype by name (``'bfloat16'``), or ``'auto'`` for the checkpoint's own.
        processor: replaces the processor that ``pretrained`` comes with.
    """

    num_grids = 1

    def __init__(self, pretrained: str, *, dtype: str = 'auto', processor: ProcessorMixin | None = None) -> None:
        super().__init__()
        path = resolve(pretrained)
        self.name = pretrained
        self.processor = AutoProcessor.from_pretrained(path) if processor is None else processor
        # A config of its own: some classes pass attn_implementation on before they have their text_config.
        self.model = AutoModelForImageTextToText.from_pretrained(
            path,
            config=AutoConfig.from_pretrained(path),
            attn_implementation={'text_config': ATTENTION_NAME, 'vision_config': 'sdpa'},
            **dtype_argument(dtype),
        )
        freeze(self)

    @property
    def config(self) -> Any:
        return self.model.config

    @property
    def num_layers(self) -> int:
        return self.config.text_config.num_hidden_layers

    @property
    def hidden_size(self) -> int:
        return self.config.text_config.hidden_size

    @property
    def num_maps(self) -> int:
        """Channels of the attention maps: layers x heads x grids."""
        return self.num_layers * self.config.text_config.num_attention_heads * self.num_grids

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def image_token_id(self) -> int:
        token = getattr(self.config, 'image_token_id', None)
        return self.config.image_token_index if token is None else token

    def train(self, mode: bool = True) -> FrozenLMM:
        """Stays in evaluation mode whatever ``mode`` says: dropout would change what the LMM attends to."""
        return super().train(False)

    def weights_hash(self) -> str:
        """sha256 of all weights, to prove that training left them alone."""
        return weights_hash(self.model)

    def preprocess(self, image: Tensor) -> ImageInputs:
        """Preprocess a uint8 RGB image (3, H, W) as this family does."""
        raise NotImplementedError

    def render(self, prompt: str) -> str:
        """The user's question in the LMM's chat template, up to where the answer begins."""
        content = [{'type': 'image'}, {'type': 'text', 'text': prompt}]
        return self.processor.apply_chat_template([{'role': 'user', 'content': content}], add_generation_prompt=True)

    def tokenize(self, prompt: str, segments: Sequence[Segment] = ()) -> tuple[Tensor, Tensor]:
        """Tokenise the question in the chat template and the answer, segment by segment, without special tokens.

        Returns:
            ``input_ids`` and ``phrase_ids``, both (M,) int64, the image still one token.
        """
        tokenizer = self.processor.tokenizer
        text = self.render(prompt)
        # Some chat templates write the BOS token out, others leave it to the tokenizer.
        has_bos = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
        ids = list(tokenizer(text, add_special_tokens=not has_bos)['input_ids'])
        phrases = [-1] * len(ids)
        for segment in segments:
            tokens = tokenizer(segment.text, add_special_tokens=False)['input_ids']
            if not tokens and segment.phrase >= 0:
                raise PromptError(f'phrase {segment.phrase} ({segment.text!r}) has no token')
            ids += tokens
            phrases += [segment.phrase] * len(tokens)
        return torch.tensor(ids), torch.tensor(phrases)

    def prepare(self, image: Tensor, prompt: str, segments: Sequence[Segment] = ()) -> LMMInputs:
        """Inputs of one sample: a uint8 RGB image (3, H, W), the user's question and the answer in segments."""
        return self.prepare_tokens(image, *self.tokenize(prompt, segments))

    def prepare_tokens(self, image: Tensor, input_ids: Tensor, phrase_ids: Tensor) -> LMMInputs:
        """Inputs of one sample whose text is tokenised already.

        Args:
            input_ids: (M,) int64 with exactly one image token, which is expanded here to the image's tokens.
            phrase_ids: (M,) int64, the phrase of each token, -1 elsewhere.
        """
        places = (input_ids == self.image_token_id).nonzero().flatten().tolist()
        if len(places) != 1:
            raise PromptError(
                f'the text must hold the image token (id {self.image_token_id}) once, found {len(places)}: '
                'check the chat template and the prompt'
            )
        missing = set(range(int(phrase_ids.max()) + 1)) - set(phrase_ids.tolist())
        if missing:
            raise PromptError(f'phrases {sorted(missing)} have no token')
        start, made = places[0], self.preprocess(image)
        image_ids = input_ids.new_full((made.num_tokens,), self.image_token_id)
        return LMMInputs(
            input_ids=torch.cat([input_ids[:start], image_ids, input_ids[start + 1 :]]),
            phrase_ids=torch.cat([phrase_ids[:start], torch.full_like(image_ids, -1), phrase_ids[start + 1 :]]),
            vision=made.vision,
            grids=tuple(grid.shift(start) for grid in made.grids),
            target_size=made.target_size,
        )

    @torch.no_grad()
    def forward(self, samples: Sequence[LMMInputs], all_tokens: bool = False) -> list[LMMOutputs]:
        """One forward pass over a batch; keeps the phrases' attention to the image and their hidden states.

        Args:
            all_tokens: keep the hidden states of every token, not of the phrases' alone.
        """
        selections = [
            AttentionSelection(
                rows=sample.phrase_rows.to(self.device),
                phrases=sample.phrase_ids[sample.phrase_rows].to(self.device),
                columns=torch.cat([grid.columns for grid in sample.grids]).to(self.device),
                num_phrases=sample.num_phrases,
            )
            for sample in samples
        ]
        kept = [torch.arange(len(s.input_ids)) if all_tokens else s.phrase_rows for s in samples]
        rows = [positions.to(self.device) for positions in kept]
        with (
            select_attention(selections, self.num_layers) as attention,
            record_hidden_states(self.model, self.config.text_config, rows) as hidden_states,
        ):
            self.model(**self.collate(samples), use_cache=False, **last_logits_only(self.model))
        return [
            LMMOutputs(
                attention_maps=stack_grids(attention.maps(index), sample),
                hidden_states=hidden_states.stacked(index),
                phrase_ids=sample.phrase_ids[kept[index]].to(self.device),
            )
            for index, sample in enumerate(samples)
        ]

    def collate(self, samples: Sequence[LMMInputs]) -> dict[str, Tensor]:
        """Arguments of the LMM's forward pass for a batch, on its device.

        Texts are padded on the right. Under causal attention no valid row sees that padding, so no mask is needed and
        the fast kernels stay in use.
        """
        length = max(len(sample.input_ids) for sample in samples)
        padding = next(iter({0, 1} - {self.image_token_id}))
        ids = [F.pad(sample.input_ids, (0, length - len(sample.input_ids)), value=padding) for sample in samples]
        batch = {'input_ids': torch.stack(ids)}
        for name in samples[0].vision:
            batch[name] = concatenate_padded([sample.vision[name] for sample in samples])
        return {name: self._place(tensor) for name, tensor in batch.items()}

    def _place(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, self.model.dtype if tensor.is_floating_point() else None)

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


def stack_grids(maps: Tensor, sample: LMMInputs) -> Tensor:
    """Split (P, L, H, columns) attention by grid and stack the grids as channels at the finest grid's size."""
    size = (sample.finest_grid.height, sample.finest_grid.width)
    stacked = []
    for grid, columns in zip(
        sample.grids, maps.flatten(1, 2).split([len(grid.columns) for grid in sample.grids], dim=-1), strict=True
    ):
        channels = columns.unflatten(-1, (grid.height, grid.width))
        if (grid.height, grid.width) != size:
            channels = F.interpolate(channels, size=size, mode='bilinear')
        stacked.append(channels)
    return torch.cat(stacked, dim=1)


def concatenate_padded(tensors: Sequence[Tensor]) -> Tensor:
    """Concatenate along the image axis; a differing second axis (crops of an image) is padded with zeros."""
    if tensors[0].ndim > 1:
        crops = max(tensor.shape[1] for tensor in tensors)
        tensors = [F.pad(t, (0, 0) * (t.ndim - 2) + (0, crops - t.shape[1])) for t in tensors]
    return torch.cat(list(tensors))
