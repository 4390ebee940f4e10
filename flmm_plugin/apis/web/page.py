"""What is on the page, and what is called when it is touched.

Every visitor has a conversation of their own, kept in the page's session. The model serves one of them at a time; the
others wait in Gradio's queue.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.apis.pictures import VIEWS
from flmm_plugin.apis.web.bounds import MAX_VISITORS, bound_queue
from flmm_plugin.apis.web.examples import example_files
from flmm_plugin.apis.web.handlers import Handlers

SESSION_SECONDS = 3600
INTRODUCTION = (
    '## Talk about an image\nUpload one, or click an example. Then ask, or name what is to be found. '
    'Click a coloured phrase to see its mask alone.'
)
# Gradio gives each example a least width, so that a phone cuts the third off, and the gallery room for more rows and a
# scroll bar.
CSS = """
#examples .grid-container { grid-template-columns: repeat(3, minmax(0, 1fr)); }
#examples .grid-wrap { min-height: 0; height: auto; overflow: hidden; }
"""


def build_page(
    inferencer: FLMMInferencer,
    *,
    max_new_tokens: int = 128,
    examples: Sequence[str | Path] | None = None,
    session_seconds: int = SESSION_SECONDS,
) -> gr.Blocks:
    """The page, not launched yet; see :func:`launch_options`.

    Args:
        max_new_tokens: longest answer.
        examples: pictures for visitors who have none at hand; by default three drawn scenes.
        session_seconds: a visitor's conversation and files are forgotten when nothing happened for so long.
    """
    folder = tempfile.TemporaryDirectory(prefix='flmm_web_')
    shown_files = example_files(examples, Path(folder.name) / 'examples')
    handlers = Handlers(inferencer, Path(folder.name), max_new_tokens, shown_files)
    # Served as they are: copies in Gradio's cache would be deleted with those of visitors.
    gr.set_static_paths(list(map(str, shown_files)))
    deletion = (max(session_seconds // 6, 1), session_seconds)
    with gr.Blocks(title='Grounded conversation', analytics_enabled=False, delete_cache=deletion) as page:
        page.flmm_folder = folder  # lives as long as the page
        talk = gr.State(None, time_to_live=session_seconds)
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column():
                upload = gr.File(label='Image', file_types=['image'], height=240, elem_id='upload')
                gallery = gr.Gallery(
                    list(map(str, shown_files)),
                    show_label=False,
                    columns=3,
                    height='auto',
                    allow_preview=False,
                    interactive=False,
                    buttons=[],
                    elem_id='examples',
                    visible=bool(shown_files),
                )
                picture = gr.Image(
                    show_label=False, interactive=False, format='png', buttons=['fullscreen'], elem_id='picture'
                )
                view = gr.Radio(list(VIEWS), value=VIEWS[0], label='Show', elem_id='view')
                least = presence_control(inferencer)
                with gr.Row():
                    everything = gr.Button('Show all phrases', elem_id='all')
                    masks = gr.DownloadButton('Download masks', interactive=False, elem_id='masks')
            with gr.Column():
                chat = gr.Chatbot(show_label=False, buttons=[], height=300, elem_id='chat')
                question = gr.Textbox(label='Question', placeholder='What is in the image?', elem_id='question')
                send = gr.Button('Ask', variant='primary', elem_id='ask')
                phrases = gr.Textbox(
                    label='Or phrases to find', placeholder='the red ball; the house', elem_id='phrases'
                )
                search = gr.Button('Find', elem_id='find')
                answer = gr.HighlightedText(
                    label='Last answer', show_inline_category=False, show_legend=False, elem_id='answer'
                )
                details = gr.Markdown(elem_id='details')
        shown = [talk, chat, answer, details, picture, masks]
        upload.upload(handlers.open, upload, shown, api_name='open')
        upload.clear(handlers.close, None, shown, api_visibility='private')
        gallery.select(handlers.open_example, None, [*shown, upload], api_visibility='private')
        for event, handler, text, results, name in (
            ([send.click, question.submit], handlers.ask, question, [*shown, question], 'ask'),
            ([search.click, phrases.submit], handlers.find, phrases, shown, 'find'),
        ):
            # One queue for all that needs the model.
            inputs = [talk, text, view, *least]
            gr.on(event, handler, inputs, results, api_name=name, concurrency_limit=1, concurrency_id='model')
        for control in least:
            control.change(handlers.limit, [talk, view, control], shown, api_name='limit', trigger_mode='always_last')
        answer.select(handlers.select, [talk, view], [talk, picture], api_visibility='private')
        everything.click(handlers.show_all, [talk, view], [talk, picture], api_visibility='private')
        view.change(handlers.draw, [talk, view], picture, api_visibility='private')
    return bound_queue(page.queue(max_size=100))


def presence_control(inferencer: FLMMInferencer) -> list[gr.Slider]:
    """For a model with a presence rule: how much is too little. Visitors may ask for more than the server does."""
    if inferencer.model.presence is None:
        return []
    wanted = inferencer.grounder.min_presence
    lowest = 0.0 if wanted is None or isinstance(wanted, Mapping) else wanted  # a precision's limit depends on the text
    info = 'What is less likely to be in the image gets no mask.'
    return [gr.Slider(lowest, 1, lowest, step=0.01, label='Least presence', info=info, elem_id='presence')]


def launch_options(max_visitors: int = MAX_VISITORS) -> dict[str, Any]:
    """Arguments of the page's ``launch``: how it looks, and how many visitors' talks it keeps."""
    # Gradio's own fonts would be fetched from the internet.
    theme = gr.themes.Default(font=['system-ui', 'sans-serif'], font_mono=['monospace'])
    return dict(ssr_mode=False, share=False, theme=theme, css=CSS, state_session_capacity=max_visitors)
