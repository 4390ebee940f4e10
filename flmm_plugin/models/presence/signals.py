"""What speaks for a thing's being there.

Shape shorthand: P phrases, T phrase tokens, D hidden width, V words of the vocabulary, S signals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm_plugin.models.groundings import Grounding, image_attention
from flmm_plugin.structures import LMMInputs, LMMOutputs, Segment

#: All but the first come with grounding; the first takes a pass of its own over the image and a question.
SIGNALS = ('asked', 'said', 'attention', 'focus', 'score', 'inside', 'area')
YES, NO = ('yes', 'Yes', ' yes', ' Yes'), ('no', 'No', ' no', ' No')
EPS = 1e-4


@torch.no_grad()
def presence_signals(
    model: Any, images: Sequence[Tensor], phrases: Sequence[str], prompt: str, question: str, ask: bool = True
) -> Tensor:
    """(P, S) fp32 signals, on the CPU, of one phrase an image.

    Args:
        model: an :class:`FLMM`.
        images: uint8 (3, H, W).
        prompt: what the phrase is read as the answer to.
        question: how to ask for it, with ``{phrase}`` in it.
        ask: without it ``asked`` is 0 and its pass is saved.
    """
    inputs = [model.lmm.prepare(image, prompt, [Segment(p, 0)]) for image, p in zip(images, phrases, strict=True)]
    outputs = model.lmm(inputs)
    groundings = model.ground_batch(images, inputs, outputs)
    free = torch.cat([free_signals(model.lmm, *about) for about in zip(inputs, outputs, groundings, strict=True)])
    asked = torch.zeros(len(images))
    if ask:
        asked = yes_margins(model.lmm, images, [question.format(phrase=phrase) for phrase in phrases])
    return torch.cat([asked[:, None], free], dim=1)


def free_signals(lmm: Any, inputs: LMMInputs, outputs: LMMOutputs, grounding: Grounding) -> Tensor:
    """(P, S - 1) of an image's phrases, from what grounding computes anyway.

    - said: by how many nats the LMM prefers each of the phrase's words, given those before, to its own best other word;
      the mean over all words but the first.
    - attention: the share of the phrase's attention that goes to the image.
    - focus: log of how much denser the attention is inside the mask than on the whole.
    - score: SAM's predicted IoU, or ``inside`` without a refiner.
    - inside: mean probability of the coarse mask inside it; area: log of its share of the picture.
    """
    probability = grounding.coarse.float().sigmoid()
    mask = probability > 0.5
    inside = (probability * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)
    maps = outputs.attention_maps.float().mean(dim=1)
    region = inputs.finest_grid.region
    maps = maps if region is None else region.crop(maps)
    shown = F.interpolate(probability[None], size=maps.shape[-2:], mode='bilinear', antialias=True)[0]
    weight = (maps * shown).sum((1, 2)) / maps.sum((1, 2)).clamp(min=1e-12)
    focus = ((weight + EPS) / (shown.mean((1, 2)) + EPS)).log()
    score = inside if grounding.scores is None else grounding.scores.float()
    area = (mask.float().mean((1, 2)) + EPS).log()
    attention = image_attention(outputs.attention_maps, inputs.grids)
    columns = [word_margins(lmm, inputs, outputs), attention, focus, score, inside, area]
    return torch.stack([column.float().cpu() for column in columns], dim=1)


def word_margins(lmm: Any, inputs: LMMInputs, outputs: LMMOutputs) -> Tensor:
    """(P,) see ``said`` of :func:`free_signals`; 0 for phrases of one token."""
    logits = next_word_logits(lmm, outputs.hidden_states[-1]).cpu()
    tokens, owners = inputs.input_ids[inputs.phrase_rows], outputs.phrase_ids
    follows = owners[1:] == owners[:-1]  # the next token is of the same phrase
    own = logits[:-1].gather(1, tokens[1:, None])[:, 0]
    other = logits[:-1].scatter(1, tokens[1:, None], -torch.inf).amax(dim=1)
    margins = [(own - other)[follows & (owners[1:] == phrase)] for phrase in range(outputs.num_phrases)]
    return torch.stack([values.mean() if len(values) else torch.zeros(()) for values in margins])


def yes_margins(lmm: Any, images: Sequence[Tensor], questions: Sequence[str]) -> Tensor:
    """(P,) log odds of an answer that begins with "yes" against one that begins with "no", on the CPU."""
    inputs = []
    for image, question in zip(images, questions, strict=True):
        sample = lmm.prepare(image, question)
        last = torch.full_like(sample.phrase_ids, -1)
        last[-1] = 0  # the hidden state before the answer
        inputs.append(replace(sample, phrase_ids=last))
    states = torch.stack([outputs.hidden_states[-1, -1] for outputs in lmm.read_batch(inputs)])
    logits = next_word_logits(lmm, states).cpu()
    yes, no = answer_ids(lmm.processor.tokenizer)
    return logits[:, yes].logsumexp(1) - logits[:, no].logsumexp(1)


def next_word_logits(lmm: Any, states: Tensor) -> Tensor:
    """(T, V) fp32 of hidden states (T, D) after the final norm."""
    return lmm.model.get_output_embeddings()(states).float()


def answer_ids(tokenizer: Any) -> tuple[list[int], list[int]]:
    """First tokens of "yes" and of "no", however they are written; none of them begins both."""
    first = [{tokenizer(word, add_special_tokens=False)['input_ids'][0] for word in words} for words in (YES, NO)]
    unknown = {tokenizer.unk_token_id}
    return sorted(first[0] - first[1] - unknown), sorted(first[1] - first[0] - unknown)
