"""What data sets of expressions share: how those of an image stand in its text, and which wording is taken."""

from __future__ import annotations

import random
from typing import Any

from flmm_plugin.datasets.base import GroundingDataset
from flmm_plugin.structures import Segment

ARRANGEMENTS = ('concat', 'independent')
SENTENCES = ('first_sentence', 'all_sentences', 'random_sentence')


class ExpressionDataset(GroundingDataset):
    """Base of data sets whose sample is one image with all its expressions.

    ``protocol`` is 'ARRANGEMENT/SENTENCES'. Results of different protocols cannot be compared, so that it is part of
    every result's name:

    - 'concat': the expressions are one answer, each followed by "." (the authors' way); 'independent': each is an
      answer of its own, a branch that the LMM reads after the same image and question.
    - 'first_sentence', 'all_sentences': of each target; 'random_sentence': another one at each access, for training.

    A subclass's samples have ``targets``, made by :meth:`target`.
    """

    #: begins the protocol of a kindred task, whose results are not those of referring expression segmentation
    task = ''

    def __init__(self, *, protocol: str = 'concat/first_sentence', **kwargs: Any) -> None:
        arrangement, _, sentences = protocol.removeprefix(self.task).partition('/')
        if not protocol.startswith(self.task) or arrangement not in ARRANGEMENTS or sentences not in SENTENCES:
            expected = f'{self.task!r}, ' * bool(self.task) + f'one of {ARRANGEMENTS}, "/" and one of {SENTENCES}'
            raise ValueError(f'protocol={protocol!r}: expected {expected}')
        self.protocol = protocol
        self.arrangement, self.sentences = arrangement, sentences
        super().__init__(**kwargs)

    def target(self, sentences: list[str], segmentations: list[Any], source: str) -> dict[str, Any]:
        """One thing that is meant: its wordings, its masks, which are united, and where they come from."""
        chosen = sentences[:1] if self.sentences == 'first_sentence' else sentences
        return dict(sentences=chosen, segmentations=segmentations, source=source)

    def get_data_info(self, idx: int) -> dict:
        """The sample ``idx``; its sentences are drawn now if they are to be random."""
        info = super().get_data_info(idx)
        phrases = []
        for target in info.pop('targets'):
            sentences = target['sentences']
            if self.sentences == 'random_sentence':
                sentences = [random.choice(sentences)]
            for text in sentences:
                origin = {key: target[key] for key in ('segmentations', 'source')}
                is_plural = len(target['segmentations']) > 1
                phrases.append(dict(text=text, is_thing=True, is_plural=is_plural, **origin))
        info['phrases'] = phrases
        info['segments'] = []
        for index, phrase in enumerate(phrases):
            if self.arrangement == 'concat':
                info['segments'] += [Segment(phrase['text'], index), Segment('.')]
            else:
                info['segments'].append(Segment(phrase['text'], index, branch=index))
        return info
