"""Narratives with wrong words: which phrases take whose place."""

from __future__ import annotations

import torch
from mmengine.structures import BaseDataElement, InstanceData

from flmm_plugin.models.presence.swapping import swap_phrases
from flmm_plugin.structures import Segment


def narrative(*phrases: tuple[str, bool, bool]) -> BaseDataElement:
    """ "the first is near the second", of phrases that are things or not, several or one."""
    named, things, plurals = zip(*phrases, strict=True)
    segments = [Segment(f' {phrase} ', index) for index, phrase in enumerate(named)]
    sample = BaseDataElement(metainfo=dict(segments=[segments[0], Segment('is near'), *segments[1:]]))
    flags = dict(is_thing=torch.tensor(things), is_plural=torch.tensor(plurals))
    sample.gt_instances = InstanceData(phrases=list(named), **flags)
    return sample


def test_half_of_the_phrases_are_another_s() -> None:
    samples = [narrative((f'a dog {i}', True, False), (f'trees {i}', True, True)) for i in range(200)]
    texts = swap_phrases(samples)
    assert texts == swap_phrases(samples) != swap_phrases(samples, seed=1)
    assert 160 < sum(flag for text in texts for flag in text.there) < 240
    for number, text in enumerate(texts):
        dog, trees = text.phrases
        assert dog.startswith('a dog') and trees.startswith('trees')
        assert text.there == [dog == f'a dog {number}', trees == f'trees {number}']
        assert text.segments == [Segment(f' {dog} ', 0), Segment('is near'), Segment(f' {trees} ', 1)]


def test_what_the_picture_shows_is_no_wrong_word() -> None:
    shared = [narrative(('A dog', True, False), ('the sky', False, False)) for _ in range(20)]
    assert all(all(text.there) for text in swap_phrases(shared))
    mixed = swap_phrases([narrative(('a dog', True, False)), narrative(('the sky', False, False))] * 20)
    assert all(all(text.there) for text in mixed), 'a thing took the place of stuff'
