"""Visual chain of thought (F-LMM section 4.4): name the object that matters, ground it, answer with a closer look.

1. The LMM is asked the question and made to begin with the object most relevant to it.
2. That thought is grounded; the box of its mask is cut out of the image.
3. The LMM answers with the whole image and the cut-out side by side in its prompt, for which it must take two images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.apis.phrases import Phrase, PhraseExtractor, answer_text
from flmm_plugin.apis.phrases.base import Ask, Span
from flmm_plugin.models.lmms.base import FrozenLMM
from flmm_plugin.structures import ImageGrid, LMMInputs, size_of

THINK = '{question} First think which object in this image is most relevant to the question.'
BEGIN = ' The object most relevant to the question is'
ANSWER = (
    'The second image is the part of the first one that shows {thought}.\n{question}\n'
    'Answer the question using a single word or phrase.'
)
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Thought:
    """``text``: the object; ``box``: x0, y0, x1, y1 of what was looked at; ``grounded``: whether it was found there."""

    text: str
    box: Box
    grounded: bool
    answer: str


class WholeThought(PhraseExtractor):
    """The first sentence, as one phrase."""

    def find(self, text: str, ask: Ask | None = None) -> list[Span]:
        end = text.find('.')
        return [(0, end if end > 0 else len(text))] if text else []

    def __call__(self, text: str, ask: Ask | None = None) -> list[Phrase]:
        return [Phrase(text[slice(*span)], (span,)) for span in self.find(text)]


@torch.inference_mode()
def think(
    inferencer: FLMMInferencer,
    image: Tensor,
    question: str,
    *,
    box_scale: float = 1.0,
    thought_tokens: int = 16,
    answer_tokens: int = 32,
) -> Thought:
    """Answer a question about a uint8 image (3, H, W) after a closer look; the whole image where nothing is found."""
    conversation = Conversation(replace(inferencer.grounder, extractor=WholeThought()), image)
    first = conversation.ask(THINK.format(question=question), begin=BEGIN, max_new_tokens=thought_tokens)
    found = first.phrases[0] if first.phrases else None
    height, width = size_of(image)
    box: Box = (0, 0, width, height)
    if found is not None and found.box is not None:
        box = scale_box(found.box, box_scale, (height, width))
    x0, y0, x1, y1 = box
    text = first.answer if found is None else found.text
    prompt = ANSWER.format(thought=text or 'a detail', question=question)
    answer = answer_two(inferencer, image, image[:, y0:y1, x0:x1], prompt, answer_tokens)
    return Thought(text, box, found is not None and found.grounded, answer)


def scale_box(box: Box, scale: float, size: tuple[int, int]) -> Box:
    """A box about the same centre, ``scale`` times as wide and high, within an image of (H, W), at least 2 pixels."""
    height, width = size
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_x, half_y = max((box[2] - box[0]) * scale / 2, 1), max((box[3] - box[1]) * scale / 2, 1)
    x0, y0 = max(0, min(int(x - half_x), width - 2)), max(0, min(int(y - half_y), height - 2))
    return x0, y0, max(x0 + 2, min(width, round(x + half_x))), max(y0 + 2, min(height, round(y + half_y)))


def answer_two(inferencer: FLMMInferencer, image: Tensor, detail: Tensor, prompt: str, max_new_tokens: int) -> str:
    """The LMM's greedy answer to a prompt about two images, the second shown right after the first."""
    lmm = inferencer.model.lmm
    with inferencer.grounder.lock:
        sample = prepare_two(lmm, image, detail, prompt)
        sequence = lmm.answer(sample, do_sample=False, max_new_tokens=max_new_tokens)
    return answer_text(lmm.processor.tokenizer, sequence[0, len(sample.input_ids) :].tolist())


def prepare_two(lmm: FrozenLMM, image: Tensor, detail: Tensor, prompt: str) -> LMMInputs:
    """Inputs with the tokens of two images: the template's image token, doubled, and each expanded to its image."""
    ids, _, _ = lmm.tokenize(prompt)
    made = [lmm.preprocess(image), lmm.preprocess(detail)]
    (place,) = (ids == lmm.image_token_id).nonzero().flatten().tolist()
    images = [ids.new_full((part.num_tokens,), lmm.image_token_id) for part in made]
    input_ids = torch.cat([ids[:place], *images, ids[place + 1 :]])
    grids: tuple[ImageGrid, ...] = tuple(grid.shift(place) for grid in made[0].grids)
    # `collate` joins the vision inputs of samples, which are made to the same measure here as it does there.
    one, two = (LMMInputs(input_ids, torch.full_like(input_ids, -1), m.vision, grids, m.target_size) for m in made)
    batch = lmm.collate([one, two])
    return replace(one, vision={name: batch[name] for name in one.vision})
