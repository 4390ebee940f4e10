"""How other models learn to point: a [SEG] token, for which the whole LMM is trained (LISA, arXiv 2308.00692).

It is what the frozen LMM is compared with. A phrase is asked for, "Segment the red star.", and the answer, "the red
star [SEG] .", ends with a token whose hidden state, projected, is the only prompt of SAM's decoder.

Shape shorthand: B pictures, N tokens of the longest text, P phrases, D hidden width, (H, W) image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor, nn
from transformers import AutoConfig, AutoProcessor

from flmm_plugin.assets import resolve
from flmm_plugin.models.flmm import OnCPU
from flmm_plugin.models.groundings import phrase_texts
from flmm_plugin.models.losses import MaskLosses, average_over_phrases
from flmm_plugin.registry import MODELS
from flmm_plugin.tiny.conversations import Conversations, answer_logits, answer_loss, answer_states
from flmm_plugin.tiny.families import FAMILIES

SEG = '[SEG]'
ASK, ANSWER = 'Segment {}.', '{} ' + SEG + ' .'
Reading = tuple[dict[str, Any], Tensor, list[list[Tensor]]]


@MODELS.register_module()
class SegTokenLMM(BaseModel):
    """A tiny LMM that is trained to point, a projection and SAM, in MMEngine's terms: it runs in place of an FLMM.

    Everything is trained but SAM's image encoder. Each phrase is a question of its own; those of a picture share it.

    Args:
        lmm: folder of a tiny LMM, or ``flmm_plugin::NAME``; two words, [SEG] and "segment", are added to its own.
        refiner: config of a refiner; whatever its prompts, it gets the [SEG] token's alone.
        loss_mask, loss_dice: configs of the masks' losses, beside the answer's cross-entropy.
        conversations: scenes of ordinary conversation that are read along with each training batch: what LISA and its
            successors mix in so that the LMM goes on talking.
        seed: of these scenes.
    """

    def __init__(
        self, *, lmm: str, refiner: dict, loss_mask: dict, loss_dice: dict, conversations: int = 0, seed: int = 0
    ) -> None:
        super().__init__(data_preprocessor=OnCPU())
        folder = resolve(lmm)
        self.family = FAMILIES[AutoConfig.from_pretrained(folder).model_type]
        self.processor = AutoProcessor.from_pretrained(folder)
        self.lmm: Any = self.family.model.from_pretrained(folder)
        self.processor.tokenizer.add_tokens([SEG], special_tokens=True)
        self.processor.tokenizer.add_tokens(['segment'])
        self.lmm.resize_token_embeddings(len(self.processor.tokenizer), mean_resizing=False)
        self.seg_id = self.processor.tokenizer.convert_tokens_to_ids(SEG)
        self.sam = MODELS.build({**refiner, 'prompts': ('text',)})
        width = self.lmm.get_input_embeddings().embedding_dim
        self.seg_proj = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, self.sam.embed_dim))
        self.losses = MaskLosses(loss_mask, loss_dice, centered=True)
        self.texts = Conversations(self.family, self.processor, seed)
        self.conversations, self.read_along = conversations, 0

    def frozen_hash(self) -> str:
        """sha256 of the only part that is frozen, SAM's image encoder."""
        return self.sam.weights_hash()

    def forward(
        self, inputs: Sequence[Tensor], data_samples: Sequence[BaseDataElement], mode: str = 'predict'
    ) -> dict[str, Tensor] | list[BaseDataElement]:
        """MMEngine's entry; takes what :meth:`FLMM.forward` takes, in mode ``'loss'`` or ``'predict'``."""
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode must be 'loss' or 'predict', got {mode!r}")

    def loss(self, images: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> dict[str, Tensor]:
        """Cross-entropy of the answers' words, and the masks' losses averaged over all phrases."""
        batch, states, prompts = self.read(images, data_samples)
        truth = [torch.as_tensor(sample.gt_instances.masks).float() for sample in data_samples]
        terms = [
            self.losses(logits, masks) for (logits, _), masks in zip(self.segment(images, prompts), truth, strict=True)
        ]
        losses = average_over_phrases(terms, [len(own) for own in prompts])
        losses['loss_words'] = answer_loss(self.lmm.lm_head(states), batch)
        if self.conversations:
            losses['loss_talk'] = self.talk_loss()
        return losses

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> list[BaseDataElement]:
        """Set ``pred_instances``: ``masks`` and ``scores`` of the phrases, given their answers up to [SEG]."""
        _, _, prompts = self.read(images, data_samples)
        for sample, (logits, scores) in zip(data_samples, self.segment(images, prompts), strict=True):
            sample.pred_instances = InstanceData(masks=logits > 0, scores=scores)
        return list(data_samples)

    def read(self, images: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> Reading:
        """The batch of :meth:`Conversations.share_image`, hidden states (B, N, D), each phrase's prompt (1, width)."""
        asked, counts = [], []
        for image, sample in zip(images, data_samples, strict=True):
            phrases = phrase_texts(sample, 1 + max(segment.phrase for segment in sample.segments)) or []
            blocks = [self.texts.block(ASK.format(phrase), ANSWER.format(phrase)) for phrase in phrases]
            counts.append(len(phrases))
            picture = image.permute(1, 2, 0).numpy()
            asked.append({'picture': picture, 'blocks': blocks, 'kinds': ['segment'] * len(blocks)})
        batch = self.texts.share_image(asked)
        states = answer_states(self.family, self.lmm, batch)
        marks = self.seg_proj(states[batch['ids'] == self.seg_id])  # row by row: phrases in their order
        return batch, states, [list(own.split(1)) for own in marks.split(counts)]

    def segment(self, images: Sequence[Tensor], prompts: Sequence[Sequence[Tensor]]) -> list[tuple[Tensor, Tensor]]:
        """Of each image logits (P, H, W) and predicted IoU (P,)."""
        unused = [own[0].new_zeros(len(own), 1, 1) for own in prompts]  # the place of a mask head's logits
        return self.sam.refine(images, self.sam.encode_images(images), unused, prompts)

    def talk_loss(self) -> Tensor:
        """Cross-entropy of the answers in the next scenes of ordinary conversation."""
        scenes = range(self.read_along, self.read_along + self.conversations)
        self.read_along += self.conversations
        batch = self.texts.share_image([self.texts.sample(index) for index in scenes])
        return answer_loss(answer_logits(self.family, self.lmm, batch), batch)
