"""Answers in colours: on the picture and in the text."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from flmm_plugin.apis.results import GroundedAnswer, GroundedPhrase
from flmm_plugin.visualization import Layer, draw_attention, draw_overlay, phrase_color
from flmm_plugin.visualization.terminal import Mark, paint

VIEWS = ('refined', 'coarse', 'attention')


def draw_answer(image: Tensor, answer: GroundedAnswer, view: str = 'refined', only: int | None = None) -> np.ndarray:
    """The phrases of an answer on its image.

    Args:
        image: (3, H, W) uint8 RGB.
        view: ``'refined'`` masks, the mask head's ``'coarse'`` ones, or ``'attention'``, of several phrases their mean.
        only: index of the one phrase to be shown.

    Returns:
        (height, width, 3) uint8 RGB; small images are enlarged.
    """
    if view not in VIEWS:
        raise ValueError(f'view must be one of {VIEWS}, got {view!r}')
    pixels = image.permute(1, 2, 0).numpy()
    chosen = [(i, p) for i, p in enumerate(answer.phrases) if (p.grounded if only is None else i == only)]
    if view == 'attention' and chosen:
        return draw_attention(pixels, np.mean([phrase.attention_map for _, phrase in chosen], axis=0))
    return draw_overlay(pixels, [layer for i, phrase in chosen for layer in phrase_layers(phrase, i, view)])


def phrase_layers(phrase: GroundedPhrase, index: int, view: str) -> list[Layer]:
    """What is drawn of a phrase: its mask, or where it names several things, each of them with a number."""
    color = phrase_color(index)
    if view == 'refined' and phrase.instances is not None and len(phrase.instances) > 1:
        things = enumerate(phrase.instances, start=1)
        return [Layer(thing.mask, f'{phrase.text} {number}', color) for number, thing in things]
    mask = phrase.mask if view == 'refined' else phrase.coarse_mask
    return [] if mask is None else [Layer(mask, name(phrase), color)]


def name(phrase: GroundedPhrase) -> str:
    """What stands on a mask."""
    return phrase.text if phrase.presence is None else f'{phrase.text} {phrase.presence:.2f}'


def color_marks(answer: GroundedAnswer) -> list[Mark]:
    """Where the answer's grounded phrases are, each with the colour of its mask."""
    return [
        (start, end, phrase_color(index))
        for index, phrase in enumerate(answer.phrases)
        if phrase.grounded
        for start, end in phrase.spans
    ]


def describe(phrase: GroundedPhrase, index: int, color: bool) -> str:
    """A line about one phrase: what, where, how sure."""
    text = (
        paint(phrase.text, [(0, len(phrase.text), phrase_color(index))]) if color and phrase.grounded else phrase.text
    )
    where = 'not grounded' if phrase.box is None else 'box {} {} {} {}'.format(*phrase.box)
    known = '' if phrase.presence is None else f', presence {phrase.presence:.2f}'
    things = f', {len(phrase.instances)} things' if phrase.instances and len(phrase.instances) > 1 else ''
    return f'{text}: {where}, score {phrase.score:.2f}, attention on the image {phrase.attention:.2f}{known}{things}'
