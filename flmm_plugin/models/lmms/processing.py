"""An LMM's own HF processor: how it is loaded, and how it writes a picture into a prompt.

Shape shorthand: M tokens of the text, the image being one of them; N tokens of the whole prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from logging import getLogger
from typing import Any

import numpy as np
import torch
from packaging.version import Version
from PIL import Image
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, BatchFeature

from flmm_plugin.assets import resolve
from flmm_plugin.errors import UserError
from flmm_plugin.models.lmms.compat import TRANSFORMERS
from flmm_plugin.models.lmms.refusals import why_not
from flmm_plugin.quiet import without_messages

#: Of the warning that a tokenizer is loaded by another class than it names: what holds of a folder that names none.
GENERAL_TOKENIZER = "this checkpoint is 'PreTrainedTokenizerFast'"
QUESTION = 'Please describe.'


def load_config(name: str) -> Any:
    """The config of an image-text model.

    Raises:
        UserError: it cannot be had, is no image-text model, or its text does not attend to tokens of the image.
    """
    try:
        config = AutoConfig.from_pretrained(resolve(name), trust_remote_code=False)
        config = getattr(config, 'thinker_config', config)  # an omni model speaks besides
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f'{name}: its config cannot be loaded ({reason}). Is the name right, and the hub in reach? '
            'A model newer than your transformers needs a newer one: pip install -U transformers'
        ) from error
    if type(config) not in AutoModelForImageTextToText._model_mapping:
        raise UserError(f'{name}: a model of type {config.model_type!r} is no image-text model of transformers')
    refusal = why_not(config)
    if refusal is not None:
        raise UserError(f'{name}: {refusal}')
    return config


def load_processor(name: str, options: Mapping[str, Any]) -> Any:
    """The processor that ``name`` comes with; the fast image processor wherever there is one, as newer releases do.

    Raises:
        UserError: it cannot be loaded, has no chat template, or the options would be left out without a word.
    """
    nested = [option for option in options if option.endswith('_kwargs')]
    if nested:
        raise UserError(
            f'{name}: processor_kwargs are arguments for loading the processor; what is in {nested[0]} goes there by '
            'itself, as in processor_kwargs=dict(do_pan_and_scan=True)'
        )
    chosen = {'use_fast': True} if Version('5') > TRANSFORMERS else {}
    try:
        with without_messages(getLogger('transformers.tokenization_utils_base'), GENERAL_TOKENIZER):
            processor = AutoProcessor.from_pretrained(
                resolve(name), **{'trust_remote_code': False, **chosen, **options}
            )
    except (OSError, ValueError, ImportError) as error:  # the last names the package that it needs
        reason = str(error).strip().splitlines()[0]
        raise UserError(f'{name}: its processor cannot be loaded ({reason})') from error
    if not hasattr(processor, 'image_processor') or not hasattr(processor, 'tokenizer'):
        raise UserError(
            f'{name}: it comes with a {type(processor).__name__} alone, which does not process images and text. '
            'Is preprocessor_config.json there?'
        )
    if not getattr(processor, 'chat_template', None):
        processor.chat_template = options.get('chat_template') or getattr(processor.tokenizer, 'chat_template', None)
    if not processor.chat_template:
        raise UserError(
            f'{name}: its processor has no chat template. Give one: processor_kwargs=dict(chat_template=...)'
        )
    return processor


@dataclass(frozen=True)
class Frame:
    """What of a rendered prompt becomes the image: of the text's tokens those from ``start`` to ``stop``.

    ``after``: how many tokens of the whole prompt follow the image; ``head``, ``tail``: tokens that the processor
    itself adds to the beginning and to the end of every prompt.
    """

    start: int
    stop: int
    after: int
    head: tuple[int, ...]
    tail: tuple[int, ...]

    def block(self, whole: Tensor) -> Tensor:
        """The image's part of what there is for each token (N,) of a whole prompt."""
        return whole[len(self.head) + self.start : len(whole) - self.after]


def find_frame(text: list[int], whole: list[int], image_token_id: int) -> Frame:
    """Compare a prompt's tokens (M,) as the tokenizer makes them with (N,) as the processor does, the image among them.

    Raises:
        UserError: the processor changes the text otherwise.
    """
    shown = [index for index, token in enumerate(whole) if token == image_token_id]
    if not shown:
        raise UserError(
            f'the processor writes no image token (id {image_token_id}) into the prompt: the chat template leaves the '
            'image out, or the text attends to the image otherwise than by tokens'
        )
    tail, matched = added(text[:0:-1], whole[: shown[-1] : -1])
    if not matched:
        raise UserError('the processor changes the text around the image: its tokens are not those of the tokenizer')
    head, same = added(text, whole[: shown[0]])
    # At least one token of the text gives way to the image: the one that stands for it.
    start = min(same, len(text) - matched - 1)
    return Frame(start, len(text) - matched, matched + tail, tuple(whole[:head]), tuple(whole[len(whole) - tail :]))


def added(text: list[int], whole: list[int]) -> tuple[int, int]:
    """How many tokens, at most four, ``whole`` has before those of the text, and how many go on as the text does."""
    return next(((n, same) for n in range(5) if (same := common_prefix(text, whole[n:]))), (0, 0))


def find_blocks(whole: Tensor, alone: Sequence[Tensor], image_token_id: int) -> list[Tensor]:
    """The tokens of each image in a prompt (N,) of several, given those that each of them has ``alone``.

    Raises:
        UserError: an image has others there.
    """
    shown, blocks = (whole == image_token_id).nonzero().flatten().tolist(), []
    for index, block in enumerate(alone):
        places = (block == image_token_id).nonzero().flatten().tolist()
        start = shown[0] - places[0] if shown else 0
        own = shown if index == len(alone) - 1 else shown[: len(places)]
        if own != [start + place for place in places]:
            raise UserError('the processor gives an image other tokens where it is not alone in its prompt')
        blocks.append(whole[start : start + len(block)])
        shown = shown[len(places) :]
    return blocks


def common_prefix(first: list[int], second: list[int]) -> int:
    """How many tokens two sequences begin with alike."""
    shared = min(len(first), len(second))
    return next((index for index in range(shared) if first[index] != second[index]), shared)


def to_picture(image: Tensor) -> Image.Image:
    """A uint8 RGB image (3, H, W) for HF's processors."""
    return Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy()))


def process(processor: Any, text: str, *pictures: Image.Image) -> BatchFeature:
    """A rendered prompt and its pictures as the model's inputs, a batch of one."""
    bos = processor.tokenizer.bos_token
    # As in transformers' own chat: some templates write the BOS token out, others leave it to the tokenizer.
    special = not (bos and text.startswith(bos))
    made = processor(images=list(pictures), text=[text], return_tensors='pt', add_special_tokens=special)
    return BatchFeature({name: torch.as_tensor(value) for name, value in made.items() if not isinstance(value, list)})
