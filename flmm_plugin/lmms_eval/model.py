"""A grounding model as lmms-eval sees it: what talks is the frozen LMM, whose answers are its own ``generate``'s."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from PIL.Image import Image
from torch import Tensor
from tqdm import tqdm

from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.errors import UserError

#: What a task may ask of ``generate``.
SAMPLING = ('temperature', 'top_p', 'num_beams')
MAX_NEW_TOKENS = 1024  # where the task names none, as of lmms-eval's own LLaVA


class FLMMModel(lmms):
    """``--model flmm --model_args config=CONFIG,checkpoint=CHECKPOINT[,device=cuda][,dtype=bfloat16]``.

    Without a checkpoint where nothing is trained, as in :class:`FLMMInferencer`. Tasks that ask about one image.
    Questions are asked one by one, whatever ``batch_size`` says: an answer in a batch might differ by rounding.
    """

    def __init__(
        self,
        config: str,
        checkpoint: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int | str = 1,
        **unknown: Any,
    ) -> None:
        super().__init__()
        if unknown := {name: value for name, value in unknown.items() if value is not None}:
            raise UserError(
                f'--model_args: {", ".join(unknown)} not known; there are config, checkpoint, device, dtype'
            )
        place = None if device == 'cuda' and not torch.cuda.is_available() else device  # lmms-eval's default
        self.lmm = FLMMInferencer(config, checkpoint, place, dtype=dtype).model.lmm

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """The LMM's answers: greedy unless a task asks for a temperature, cut where the task says ``until``."""
        return [self._answer(*request.args) for request in tqdm(requests, desc='flmm')]

    def _answer(
        self, context: str, options: dict[str, Any], doc_to_visual: Any, doc_id: Any, task: str, split: str
    ) -> str:
        shown = doc_to_visual(self.task_dict[task][split][doc_id])
        if len(shown) != 1 or not isinstance(shown[0], Image):
            raise UserError(f'{task}: question {doc_id} shows {len(shown)} things; flmm answers about one image')
        prompt = self.lmm.prepare(pixels(shown[0]), context.replace('<image>', '').strip())
        sampling = {name: options[name] for name in SAMPLING if options.get(name)}
        if 'temperature' not in sampling:
            sampling = {name: value for name, value in sampling.items() if name == 'num_beams'}
        sequence = self.lmm.answer(
            prompt,
            do_sample='temperature' in sampling,
            max_new_tokens=options.get('max_new_tokens', MAX_NEW_TOKENS),
            **sampling,
        )
        ids = sequence[0, len(prompt.input_ids) :]
        text = self.lmm.processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
        until = options.get('until') or ()
        for end in [until] if isinstance(until, str) else until:
            text = text.split(end)[0] if end else text
        return text

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise UserError('flmm answers questions; tasks that ask for likelihoods are not supported')

    def generate_until_multi_round(self, requests: list[Instance]) -> list[str]:
        raise UserError('flmm answers questions; tasks of several rounds are not supported')


def pixels(image: Image) -> Tensor:
    """uint8 RGB (3, H, W)."""
    return torch.from_numpy(np.array(image.convert('RGB'))).permute(2, 0, 1).contiguous()
