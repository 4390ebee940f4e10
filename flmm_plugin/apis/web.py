"""The web page: upload an image, talk about it, see where the things are.

Every visitor has a conversation of their own, kept in the page's session. The model serves one of them at a time; the
others wait in Gradio's queue.
"""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.apis.pictures import VIEWS, color_marks, describe, draw_answer
from flmm_plugin.apis.results import GroundedAnswer
from flmm_plugin.errors import UserError
from flmm_plugin.plain_json import to_json

SESSION_SECONDS = 3600  # a visitor's conversation is forgotten when nothing happened for so long


@dataclass
class Talk:
    """What one visitor does: the conversation, what is on the page of it, and the one phrase that is looked at."""

    conversation: Conversation
    messages: list[dict[str, str]] = field(default_factory=list)
    only: int | None = None

    @property
    def answer(self) -> GroundedAnswer | None:
        return self.conversation.turns[-1] if self.conversation.turns else None

    def picture(self, view: str) -> np.ndarray:
        """The image with what is looked at."""
        if self.answer is None:
            return self.conversation.image.permute(1, 2, 0).numpy()
        return draw_answer(self.conversation.image, self.answer, view, self.only)


def build_page(inferencer: FLMMInferencer, *, max_new_tokens: int = 128) -> gr.Blocks:
    """The page, not launched yet."""
    folder = tempfile.TemporaryDirectory(prefix='flmm_web_')
    handlers = Handlers(inferencer, Path(folder.name), max_new_tokens)
    with gr.Blocks(title='Grounded conversation', analytics_enabled=False, delete_cache=(600, SESSION_SECONDS)) as page:
        page.flmm_folder = folder  # lives as long as the page
        talk = gr.State(None, time_to_live=SESSION_SECONDS)
        gr.Markdown('## Talk about an image\nClick a coloured phrase of the answer to see its mask alone.')
        with gr.Row():
            with gr.Column():
                upload = gr.File(label='Image', file_types=['image'], height=150, elem_id='upload')
                picture = gr.Image(label='Where it is', interactive=False, format='png', elem_id='picture')
                view = gr.Radio(list(VIEWS), value=VIEWS[0], label='Show', elem_id='view')
                with gr.Row():
                    everything = gr.Button('Show all phrases', elem_id='all')
                    masks = gr.DownloadButton('Download masks', interactive=False, elem_id='masks')
            with gr.Column():
                chat = gr.Chatbot(label='Conversation', height=300, elem_id='chat')
                question = gr.Textbox(label='Question', placeholder='What is in the image?', elem_id='question')
                send = gr.Button('Ask', variant='primary', elem_id='ask')
                answer = gr.HighlightedText(
                    label='Last answer', show_inline_category=False, show_legend=False, elem_id='answer'
                )
                details = gr.Markdown(elem_id='details')
        shown = [talk, chat, answer, details, picture, masks]
        upload.upload(handlers.open, upload, shown, api_name='open')
        upload.clear(handlers.close, None, shown, api_visibility='private')
        gr.on(
            [send.click, question.submit],
            handlers.ask,
            [talk, question, view],
            [*shown, question],
            api_name='ask',
            concurrency_limit=1,
        )
        answer.select(handlers.select, [talk, view], [talk, picture], api_visibility='private')
        everything.click(handlers.show_all, [talk, view], [talk, picture], api_visibility='private')
        view.change(handlers.draw, [talk, view], picture, api_visibility='private')
    return page.queue(max_size=100)


class Handlers:
    """What happens on the page. ``folder`` keeps the archives of masks until the page is closed."""

    def __init__(self, inferencer: FLMMInferencer, folder: Path, max_new_tokens: int) -> None:
        self.inferencer, self.folder, self.max_new_tokens = inferencer, folder, max_new_tokens

    def open(self, path: str | None) -> tuple[Any, ...]:
        """Begin a conversation about an uploaded file."""
        with page_errors(path):
            if path is None:
                raise UserError('upload an image first')
            talk = Talk(self.inferencer.converse(path))
        return talk, [], None, '', talk.picture(VIEWS[0]), no_masks()

    def close(self) -> tuple[Any, ...]:
        return None, [], None, '', None, no_masks()

    def ask(self, talk: Talk | None, question: str, view: str) -> Iterator[tuple[Any, ...]]:
        """Stream the answer into the conversation, then show what it names."""
        with page_errors():
            if talk is None:
                raise UserError('upload an image first')
            stream = talk.conversation.stream(question, max_new_tokens=self.max_new_tokens)
            asked = [*talk.messages, dict(role='user', content=question)]
            said = ''
            try:
                for piece in stream:
                    said += piece
                    yield self._page(talk, messages=[*asked, dict(role='assistant', content=said)])
            finally:
                stream.close()  # the visitor may have gone
        talk.messages = [*asked, dict(role='assistant', content=stream.result.answer)]
        talk.only = None
        found = stream.result
        yield (
            talk,
            talk.messages,
            highlighted(found),
            '\n'.join(f'- {describe(phrase, index, False)}' for index, phrase in enumerate(found.phrases)),
            talk.picture(view),
            gr.DownloadButton(value=self._archive(talk, found), interactive=bool(found.grounded)),
            '',
        )

    def _page(self, talk: Talk, messages: list[dict[str, str]]) -> tuple[Any, ...]:
        """Nothing but new messages."""
        return talk, messages, *[gr.skip()] * 5

    def _archive(self, talk: Talk, answer: GroundedAnswer) -> str:
        path = self.folder / f'{id(talk.conversation):x}' / 'masks.zip'
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(archive(talk, answer))
        return str(path)

    def select(self, talk: Talk | None, view: str, event: gr.SelectData) -> tuple[Talk | None, Any]:
        """Show the phrase that was clicked, alone; click it again to see all."""
        if talk is None or talk.answer is None:
            return talk, gr.skip()
        chosen = pieces(talk.answer)[int(event.index)][1]
        talk.only = None if chosen == talk.only else chosen
        return talk, talk.picture(view)

    def show_all(self, talk: Talk | None, view: str) -> tuple[Talk | None, Any]:
        if talk is not None:
            talk.only = None
        return talk, self.draw(talk, view)

    def draw(self, talk: Talk | None, view: str) -> Any:
        return gr.skip() if talk is None else talk.picture(view)


def pieces(answer: GroundedAnswer) -> list[tuple[str, int | None]]:
    """The answer cut at its grounded phrases; with each piece the index of its phrase."""
    spans = sorted((*span, i) for i, phrase in enumerate(answer.phrases) if phrase.grounded for span in phrase.spans)
    cut: list[tuple[str, int | None]] = []
    at = 0
    for start, end, index in spans:
        cut += [(answer.answer[at:start], None), (answer.answer[start:end], index)]
        at = end
    return [piece for piece in [*cut, (answer.answer[at:], None)] if piece[0]]


def highlighted(answer: GroundedAnswer) -> gr.HighlightedText:
    """The answer, its phrases in the colours of their masks. Their numbers are the categories that Gradio colours."""
    colors = {(start, end): color for start, end, color in color_marks(answer)}
    named = {str(i + 1): colors[phrase.spans[0]] for i, phrase in enumerate(answer.phrases) if phrase.grounded}
    value: list[Any] = [(text, None if index is None else str(index + 1)) for text, index in pieces(answer)]
    return gr.HighlightedText(value=value, color_map=named)


def no_masks() -> gr.DownloadButton:
    return gr.DownloadButton(value=None, interactive=False)


def archive(talk: Talk, answer: GroundedAnswer) -> bytes:
    """A zip file: ``answer.json``, ``picture.png`` and a black and white PNG of every mask."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as file:
        file.writestr('answer.json', to_json(answer.to_dict(), indent=2, ensure_ascii=False))
        file.writestr('picture.png', png(draw_answer(talk.conversation.image, answer)))
        for index, phrase in enumerate(answer.phrases):
            if phrase.mask is not None:
                name = re.sub(r'\W+', '_', phrase.text)[:60]
                file.writestr(f'{index + 1:02}_{name}.png', png(phrase.mask))
    return buffer.getvalue()


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    return buffer.getvalue()


@contextmanager
def page_errors(path: str | None = None) -> Iterator[None]:
    """Show what a visitor can mend on the page; folders of the server are none of their business."""
    try:
        yield
    except UserError as error:
        message = str(error) if path is None else str(error).replace(path, Path(path).name)
        raise gr.Error(message, print_exception=False) from error
