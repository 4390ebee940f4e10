"""A grounded answer as the page shows it and gives it away."""

from __future__ import annotations

import io
import re
import zipfile

import gradio as gr
import numpy as np
from PIL import Image
from torch import Tensor

from flmm_plugin.apis.pictures import describe, draw_answer
from flmm_plugin.apis.results import GroundedAnswer
from flmm_plugin.plain_json import to_json
from flmm_plugin.visualization import phrase_color

Piece = tuple[str, int | None]


def pieces(answer: GroundedAnswer) -> list[Piece]:
    """The answer cut at its grounded phrases, or the phrases that were given; with each piece the index of its phrase.

    Of phrases that were given, those without a mask are among them, as nobody's.
    """
    if not answer.answer:
        return [(phrase.text, i if phrase.grounded else None) for i, phrase in enumerate(answer.phrases)]
    spans = sorted((*span, i) for i, phrase in enumerate(answer.phrases) if phrase.grounded for span in phrase.spans)
    cut: list[Piece] = []
    at = 0
    for start, end, index in spans:
        cut += [(answer.answer[at:start], None), (answer.answer[start:end], index)]
        at = end
    return [piece for piece in [*cut, (answer.answer[at:], None)] if piece[0]]


def highlighted(answer: GroundedAnswer) -> gr.HighlightedText:
    """The answer, its phrases in the colours of their masks. Their numbers are the categories that Gradio colours."""
    colors = {str(i + 1): phrase_color(i) for i, phrase in enumerate(answer.phrases) if phrase.grounded}
    return gr.HighlightedText(
        value=[(text, None if index is None else str(index + 1)) for text, index in pieces(answer)], color_map=colors
    )


def list_phrases(answer: GroundedAnswer) -> str:
    """A line of Markdown for each phrase."""
    return '\n'.join(f'- {describe(phrase, index, False)}' for index, phrase in enumerate(answer.phrases))


def split_phrases(text: str) -> list[str]:
    """Phrases as people write them: separated by lines, semicolons or commas, the first of these that there is."""
    separator = next((mark for mark in '\n;,' if mark in text.strip()), '\n')
    return [phrase.strip() for phrase in text.split(separator) if phrase.strip()]


def archive(image: Tensor, answer: GroundedAnswer) -> bytes:
    """A zip file: ``answer.json``, ``picture.png`` and a black and white PNG of every mask."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as file:
        file.writestr('answer.json', to_json(answer.to_dict(), indent=2, ensure_ascii=False))
        file.writestr('picture.png', png(draw_answer(image, answer)))
        for index, phrase in enumerate(answer.phrases):
            if phrase.mask is not None:
                name = re.sub(r'\W+', '_', phrase.text)[:60]
                file.writestr(f'{index + 1:02}_{name}.png', png(phrase.mask))
    return buffer.getvalue()


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    return buffer.getvalue()
