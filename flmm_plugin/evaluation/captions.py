"""METEOR and CIDEr of captions, by pycocoevalcap."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from flmm_plugin.errors import UserError


def caption_scores(captions: Mapping[Any, tuple[Sequence[str], str]]) -> dict[str, float]:
    """METEOR and CIDEr of captions against their references, both tokenised as COCO's captions are.

    Args:
        captions: of each image its references and the caption.

    Raises:
        UserError: pycocoevalcap or Java is missing.
    """
    try:
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.meteor.meteor import Meteor
        from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
    except ImportError as error:
        raise UserError(f"METEOR and CIDEr need pycocoevalcap ({error}): pip install 'flmm_plugin[eval]'") from error
    if shutil.which('java') is None:
        raise UserError('METEOR and the tokenizer of captions need Java: apt-get install default-jre')
    with contextlib.redirect_stdout(io.StringIO()):
        tokenizer = PTBTokenizer()
        references = tokenizer.tokenize({key: [one_line(said) for said in own] for key, (own, _) in captions.items()})
        found = tokenizer.tokenize({key: [one_line(said)] for key, (_, said) in captions.items()})
        meteor, _ = Meteor().compute_score(references, found)
        cider, _ = Cider().compute_score(references, found)
    return dict(METEOR=float(meteor), CIDEr=float(cider))


def one_line(caption: str) -> dict[str, str]:
    """As the tokenizer takes it. It reads a caption a line, and knows more ends of lines than pycocoevalcap takes away:
    after any of them all captions that follow would be taken for another's."""
    return dict(caption=' '.join(caption.split()))
