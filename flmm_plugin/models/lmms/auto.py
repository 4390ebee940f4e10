"""Any image-text model of transformers, by its own processor and chat template."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature

from flmm_plugin.errors import UserError
from flmm_plugin.models.layouts.kept import certify_once
from flmm_plugin.models.layouts.layout import Layout, measure_layout
from flmm_plugin.models.lmms.base import FrozenLMM
from flmm_plugin.models.lmms.batching import go_together
from flmm_plugin.models.lmms.context import check_context
from flmm_plugin.models.lmms.processing import (
    QUESTION,
    Frame,
    find_blocks,
    find_frame,
    load_config,
    load_processor,
    process,
    to_picture,
)
from flmm_plugin.models.lmms.text import tokenize
from flmm_plugin.models.lmms.trial import reads_together, try_out
from flmm_plugin.registry import MODELS
from flmm_plugin.structures import ImageInputs, LMMInputs, Segment, size_of

#: Pictures (height, width) that show whether the processor cuts large or long ones into tiles.
TRIAL_SIZES = ((224, 224), (420, 1260), (1260, 420), (980, 980))


@MODELS.register_module()
class AutoLMM(FrozenLMM):
    """What the processor makes of a picture is what the LMM sees; where its tokens look is measured (models/layouts).

    Args:
        processor_kwargs: arguments for loading the processor, for example ``dict(max_pixels=512 * 28 * 28)``, or
            ``dict(chat_template=...)`` where it comes without.
        certify: check on the model, when it is first loaded, that each image token looks where it was measured to look.
        pretrained, options: see :class:`FrozenLMM`.

    Raises:
        UserError: no such model, no image-text model, a processor without a chat template, an LMM whose image tokens
            have no place.
    """

    def __init__(
        self, pretrained: str, *, processor_kwargs: dict[str, Any] | None = None, certify: bool = True, **options: Any
    ) -> None:
        load_config(pretrained)
        if options.get('processor') is None:
            options['processor'] = load_processor(pretrained, processor_kwargs or {})
        self._layouts: dict[tuple[int, int], Layout] = {}
        super().__init__(pretrained, **options)
        self.check_processor()
        self.num_grids = max(len(self.layout(size).grids) for size in TRIAL_SIZES)
        if self.device.type != 'meta':
            self.sight()
        if certify:
            certify_once(self)

    def check_processor(self) -> None:
        """Let the processor write a picture into a prompt.

        Raises:
            UserError: it cannot, or what it writes cannot be told from the text.
        """
        try:
            _ = self._frame
        except UserError:
            raise
        except Exception as error:  # whatever a processor of any make stumbles over
            reason = (str(error).strip().splitlines() or [''])[0]
            raise UserError(
                f'{self.name}: its processor makes no prompt with a picture ({type(error).__name__}: {reason}). Does '
                'the chat template write the image as this processor asks for it?'
            ) from error

    def sight(self) -> None:
        """Learn who sees whom, and whether a batch is read as its samples are alone.

        Raises:
            UserError: the attention cannot be captured.
        """
        sample = self.prepare(torch.full((3, *TRIAL_SIZES[0]), 128, dtype=torch.uint8), QUESTION)
        seen = try_out(self, sample)
        self.causal, self.prompt_sees_itself = not seen.image, seen.prompt
        self.takes_batches = go_together([sample.vision] * 2) and reads_together(self, sample)

    @cached_property
    def image_token_id(self) -> int:
        """The id that the model replaces by what it sees."""
        for owner, name in ((self.config, 'image_token_id'), (self.config, 'image_token_index')):
            found = getattr(owner, name, None)
            if isinstance(found, int):
                return found
        return int(self.processor.image_token_id)

    @cached_property
    def _rendered(self) -> str:
        return self.render(QUESTION)

    @cached_property
    def _frame(self) -> Frame:
        whole = process(self.processor, self._rendered, Image.new('RGB', (224, 224)))['input_ids'][0].tolist()
        text, _, _ = tokenize(self.processor.tokenizer, self._rendered, ())
        return find_frame(text.tolist(), whole, self.image_token_id)

    def tokenize(self, prompt: str, segments: Sequence[Segment] = (), begin: str = '') -> tuple[Tensor, Tensor, Tensor]:
        frame = self._frame
        if frame.tail and begin:  # the answer begins after what the processor itself adds to every prompt
            segments, begin = (Segment(begin), *segments), ''
        asked, _, _ = tokenize(self.processor.tokenizer, self.render(prompt) + begin, ())
        answer = tokenize_answer(self.processor.tokenizer, segments)
        image = asked.new_tensor([self.image_token_id])
        head, tail = asked.new_tensor(frame.head), asked.new_tensor(frame.tail)
        ids = torch.cat([head, asked[: frame.start], image, asked[frame.stop :], tail])
        none = torch.full_like(ids, -1)
        return torch.cat([ids, answer[0]]), torch.cat([none, answer[1]]), torch.cat([none, answer[2]])

    def prepare_tokens(
        self, image: Tensor, input_ids: Tensor, phrase_ids: Tensor, branch_ids: Tensor | None = None
    ) -> LMMInputs:
        sample = super().prepare_tokens(image, input_ids, phrase_ids, branch_ids)
        check_context(self, sample)
        return sample

    def preprocess(self, image: Tensor) -> ImageInputs:
        """What the processor makes of a uint8 RGB image (3, H, W)."""
        made = process(self.processor, self._rendered, to_picture(image))
        vision, per_token = self._arguments(made)
        block, layout = self._frame.block(made['input_ids'][0]), self.layout(size_of(image))
        places = (block == self.image_token_id).nonzero().flatten()
        return ImageInputs(
            vision=vision,
            num_tokens=len(block),
            grids=layout.image_grids(places, self.num_grids),
            target_size=layout.target_size,
            token_ids=block,
            per_token={name: self._frame.block(value) for name, value in per_token.items()},
        )

    def _arguments(self, made: BatchFeature) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What the model takes of what a processor makes of a prompt: of its pictures, and for each token (N,)."""
        accepted = inspect.signature(self.model.forward).parameters
        if 'mm_token_type_ids' in accepted and 'mm_token_type_ids' not in made:  # some processors leave them out
            kinds = self.processor.create_mm_token_type_ids(made['input_ids'].tolist())
            made['mm_token_type_ids'] = torch.as_tensor(kinds)
        kept = [name for name in made if name in accepted and name not in ('input_ids', 'attention_mask', 'labels')]
        tokens = [name for name in kept if name.endswith('token_type_ids')]
        return {name: made[name] for name in kept if name not in tokens}, {name: made[name][0] for name in tokens}

    def join_images(
        self, images: Sequence[Tensor], made: Sequence[ImageInputs]
    ) -> tuple[Sequence[ImageInputs], dict[str, Tensor]]:
        """By the processor itself, where what it makes of single images cannot be concatenated.

        Raises:
            UserError: it gives an image other tokens where it is not alone in its prompt.
        """
        if go_together([one.vision for one in made]):
            return super().join_images(images, made)
        content = [*[{'type': 'image'}] * len(images), {'type': 'text', 'text': QUESTION}]
        rendered = self.processor.apply_chat_template([{'role': 'user', 'content': content}])
        whole = process(self.processor, rendered, *map(to_picture, images))
        blocks = find_blocks(
            whole['input_ids'][0], [one.token_ids for one in made if one.token_ids is not None], self.image_token_id
        )
        return [replace(one, token_ids=own) for one, own in zip(made, blocks, strict=True)], self._arguments(whole)[0]

    def layout(self, size: tuple[int, int]) -> Layout:
        """Where the tokens of pictures of ``size`` (height, width) look."""
        if size not in self._layouts:
            made = process(self.processor, self._rendered, Image.new('RGB', size[::-1]))
            count = int((made['input_ids'] == self.image_token_id).sum())
            self._layouts[size] = measure_layout(
                lambda picture: process(self.processor, self._rendered, picture), size, count, self.config
            )
        return self._layouts[size]


def tokenize_answer(tokenizer: Any, segments: Sequence[Segment]) -> tuple[Tensor, Tensor, Tensor]:
    """The answer's ``input_ids``, ``phrase_ids`` and ``branch_ids`` alone."""
    before = len(tokenize(tokenizer, '', ())[0])
    ids, phrases, branches = tokenize(tokenizer, '', segments)
    return ids[before:].long(), phrases[before:].long(), branches[before:].long()
