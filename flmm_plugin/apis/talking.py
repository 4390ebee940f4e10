"""Testing what a model says and where: captions whose phrases are grounded, as a conversation gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.generation import MAX_NEW_TOKENS
from flmm_plugin.apis.grounding import Grounder
from flmm_plugin.apis.phrases import default_extractor
from flmm_plugin.models.flmm import FLMM
from flmm_plugin.registry import MODELS, TASK_UTILS


@MODELS.register_module()
class TalkingFLMM(FLMM):
    """An :class:`FLMM` that is tested on grounded conversation: the answer to each sample's ``prompt`` and its phrases.

    Configs name it by ``custom_imports = dict(imports=['flmm_plugin.apis.talking'])``.

    Args:
        extractor: config of the phrase extractor, see :class:`FLMMInferencer`.
        max_new_tokens: of an answer.
        arguments: those of :class:`FLMM`.
    """

    def __init__(
        self, *, extractor: Mapping[str, Any] | None = None, max_new_tokens: int = MAX_NEW_TOKENS, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.extractor = TASK_UTILS.build(dict(extractor or default_extractor()))
        self.max_new_tokens = max_new_tokens

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor], data_samples: Sequence[BaseDataElement]) -> list[BaseDataElement]:
        """Set ``caption``, and ``pred_instances`` of its grounded phrases: ``masks``, ``scores``, ``phrases``."""
        grounder = Grounder(self, self.extractor)
        for image, sample in zip(images, data_samples, strict=True):
            answer = Conversation(grounder, image).ask(sample.prompt, max_new_tokens=self.max_new_tokens)
            sample.set_field(answer.answer, 'caption')
            found = [phrase for phrase in answer.grounded if phrase.mask is not None]
            masks = [torch.from_numpy(phrase.mask) for phrase in found]
            sample.pred_instances = InstanceData(
                masks=torch.stack(masks) if masks else torch.zeros(0, *image.shape[1:], dtype=torch.bool),
                scores=torch.tensor([phrase.score for phrase in found]),
                phrases=[phrase.text for phrase in found],
            )
        return list(data_samples)
