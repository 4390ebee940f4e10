"""The parts of the model as the authors run them, to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flmm_plugin.benchmark.forward import eager_outputs
from flmm_plugin.benchmark.presets import RandomLlava
from flmm_plugin.models.refiners import SAMRefiner
from flmm_plugin.structures import LMMInputs, LMMOutputs


class EagerLlava(RandomLlava):
    """Every layer's whole attention is returned, and the phrases' part taken out afterwards."""

    @torch.no_grad()
    def forward(self, samples: Sequence[LMMInputs], all_tokens: bool = False) -> list[LMMOutputs]:
        return [eager_outputs(self, sample)[0] for sample in samples]


class LoopedSAM(SAMRefiner):
    """Segment-anything's own decoder is called once a phrase."""

    def decode(self, features: Sequence[Tensor], dense: Tensor, prompts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        singles = [
            self.model.mask_decoder(
                image_embeddings=own,
                image_pe=self.model.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=prompt[None].to(mask),
                dense_prompt_embeddings=mask[None],
                multimask_output=False,
            )
            for own, mask, prompt in zip(features, dense, prompts, strict=True)
        ]
        logits, scores = (torch.cat(tensors)[:, 0] for tensors in zip(*singles, strict=True))
        return logits, scores
