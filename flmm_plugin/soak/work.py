"""What is done over and over: conversations, visits of the page, training steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.registry import MODELS

QUESTION = 'Describe the image.'
MAX_NEW_TOKENS = 32


class Chatter:
    """A conversation of two answers; the second is left in the middle."""

    def __init__(self, inferencer: FLMMInferencer, images: Sequence[Path]) -> None:
        self.inferencer, self.images, self.done = inferencer, images, 0

    def __call__(self) -> None:
        conversation = self.inferencer.converse(self.images[self.done % len(self.images)])
        conversation.ask(QUESTION, max_new_tokens=MAX_NEW_TOKENS)
        stream = conversation.stream('What is at the top?', max_new_tokens=MAX_NEW_TOKENS)
        next(stream, None)
        stream.close()
        self.done += 1


class Visitor:
    """A visit of the page: a picture, a question, phrases to find. Every third visitor leaves in mid-answer."""

    def __init__(self, address: str, images: Sequence[Path]) -> None:
        self.address, self.images, self.done = address, images, 0

    def __call__(self) -> None:
        from gradio_client import Client, handle_file

        client = Client(self.address, verbose=False, download_files=False, httpx_kwargs=dict(timeout=120))
        try:
            client.predict(handle_file(self.images[self.done % len(self.images)]), api_name='/open')
            job = client.submit(QUESTION, 'refined', api_name='/ask')
            if self.done % 3 == 2:
                job.cancel()
            else:
                job.result()
                client.predict('the sky; a star', 'refined', api_name='/find')
        finally:
            client.close()
        self.done += 1


class Trainer:
    """Steps of a config's training, on batches that are read from disk each time."""

    def __init__(self, config: Config) -> None:
        init_default_scope(config.get('default_scope', 'flmm_plugin'))
        self.model = MODELS.build(config.model)
        self.optimizer = build_optim_wrapper(self.model, config.optim_wrapper)
        loader = {**config.train_dataloader, 'num_workers': 0, 'persistent_workers': False}
        self.loader, self.done = Runner.build_dataloader(loader), 0
        self.batches: Iterator[Any] = iter(())

    def __call__(self) -> None:
        batch = next(self.batches, None)
        if batch is None:
            self.batches = iter(self.loader)
            batch = next(self.batches)
        self.model.train_step(batch, self.optimizer)
        self.done += 1


@contextmanager
def served(inferencer: FLMMInferencer, session_seconds: int) -> Iterator[str]:
    """The address of the page, on this machine alone."""
    from flmm_plugin.apis.web import build_page, launch_options

    page = build_page(inferencer, max_new_tokens=MAX_NEW_TOKENS, session_seconds=session_seconds)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name='127.0.0.1', **launch_options())
    try:
        yield address
    finally:
        page.close(verbose=False)
