"""What happens on the page."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.apis.pictures import VIEWS, draw_answer
from flmm_plugin.apis.results import GroundedAnswer
from flmm_plugin.apis.web.answers import archive, highlighted, list_phrases, pieces, png, split_phrases
from flmm_plugin.errors import UserError

NO_IMAGE = 'upload an image first'
NO_PHRASES = 'name what is to be found, for example: the red ball; the house'


@dataclass
class Talk:
    """What one visitor does: the conversation, what is on the page of it, and the one phrase that is looked at.

    ``folder``: for what is shown and downloaded; it goes with the talk.
    ``found``: the last answer, as the model gave it; ``least``: the presence below which its masks are left out.
    """

    conversation: Conversation
    folder: tempfile.TemporaryDirectory[str]
    messages: list[dict[str, str]] = field(default_factory=list)
    found: GroundedAnswer | None = None
    least: float = 0.0
    only: int | None = None

    @property
    def answer(self) -> GroundedAnswer | None:
        """The last answer as it is shown."""
        return None if self.found is None else self.found.at_least(self.least)

    @property
    def pixels(self) -> np.ndarray:
        """The image (H, W, 3) uint8."""
        return self.conversation.image.permute(1, 2, 0).numpy()

    def picture(self, view: str) -> str:
        """A file of the image with what is looked at. Gradio never deletes the files that it makes of arrays."""
        drawn = self.pixels
        if (answer := self.answer) is not None:
            drawn = draw_answer(self.conversation.image, answer, view, self.only)
        path = Path(self.folder.name) / 'picture.png'
        path.write_bytes(png(drawn))
        return str(path)


class Handlers:
    """``folder`` holds those of the talks; ``examples``: pictures to click."""

    def __init__(
        self, inferencer: FLMMInferencer, folder: Path, max_new_tokens: int, examples: Sequence[Path] = ()
    ) -> None:
        self.inferencer, self.folder, self.max_new_tokens = inferencer, folder, max_new_tokens
        self.examples = examples

    def open(self, path: str | None) -> tuple[Any, ...]:
        """Begin a conversation about an uploaded file."""
        with page_errors(path):
            if path is None:
                raise UserError(NO_IMAGE)
            talk = Talk(self.inferencer.converse(path), tempfile.TemporaryDirectory(dir=self.folder))
        return talk, [], None, '', talk.picture(VIEWS[0]), no_masks()

    def open_example(self, event: gr.SelectData) -> tuple[Any, ...]:
        """Begin a conversation about the example that was clicked; what was uploaded before goes."""
        return *self.open(str(self.examples[int(event.index)])), None

    def close(self) -> tuple[Any, ...]:
        return None, [], None, '', None, no_masks()

    def ask(self, talk: Talk | None, question: str, view: str, least: float = 0.0) -> Iterator[tuple[Any, ...]]:
        """Stream the answer into the conversation, then show what it names."""
        with page_errors():
            if talk is None:
                raise UserError(NO_IMAGE)
            stream = talk.conversation.stream(question, max_new_tokens=self.max_new_tokens)
            asked = [*talk.messages, dict(role='user', content=question)]
            said = ''
            try:
                for piece in stream:
                    said += piece
                    yield talk, [*asked, dict(role='assistant', content=said)], *[gr.skip()] * 5
            finally:
                stream.close()  # the visitor may have gone
        talk.messages = [*asked, dict(role='assistant', content=stream.result.answer)]
        talk.found = stream.result
        yield *self.limit(talk, view, least), ''

    def find(self, talk: Talk | None, phrases: str, view: str, least: float = 0.0) -> tuple[Any, ...]:
        """Ground phrases that the visitor gives. The conversation knows nothing of them."""
        with page_errors():
            if talk is None:
                raise UserError(NO_IMAGE)
            given = split_phrases(phrases)
            if not given:
                raise UserError(NO_PHRASES)
            talk.found = self.inferencer(talk.pixels, phrases=given)
        return self.limit(talk, view, least)

    def limit(self, talk: Talk | None, view: str, least: float) -> tuple[Any, ...]:
        """Show what is found, masks only of what is there with the ``least`` presence."""
        if talk is None or talk.found is None:
            return talk, *[gr.skip()] * 5
        talk.least, talk.only = least, None
        answer = talk.found.at_least(least)
        masks = gr.DownloadButton(value=self._archive(talk, answer), interactive=bool(answer.grounded))
        return talk, talk.messages, highlighted(answer), list_phrases(answer), talk.picture(view), masks

    @staticmethod
    def _archive(talk: Talk, answer: GroundedAnswer) -> str:
        path = Path(talk.folder.name) / 'masks.zip'
        path.write_bytes(archive(talk.conversation.image, answer))
        return str(path)

    def select(self, talk: Talk | None, view: str, event: gr.SelectData) -> tuple[Talk | None, Any]:
        """Show the phrase that was clicked, alone; click it again to see all."""
        if talk is None or (answer := talk.answer) is None:
            return talk, gr.skip()
        chosen = pieces(answer)[int(event.index)][1]
        talk.only = None if chosen == talk.only else chosen
        return talk, talk.picture(view)

    def show_all(self, talk: Talk | None, view: str) -> tuple[Talk | None, Any]:
        if talk is not None:
            talk.only = None
        return talk, self.draw(talk, view)

    def draw(self, talk: Talk | None, view: str) -> Any:
        return gr.skip() if talk is None else talk.picture(view)


def no_masks() -> gr.DownloadButton:
    return gr.DownloadButton(value=None, interactive=False)


@contextmanager
def page_errors(path: str | None = None) -> Iterator[None]:
    """Show what a visitor can mend on the page; folders of the server are none of their business."""
    try:
        yield
    except UserError as error:
        message = str(error) if path is None else str(error).replace(path, Path(path).name)
        raise gr.Error(message, print_exception=False) from error
