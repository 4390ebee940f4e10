"""What is done over and over: conversations, visits of the page, training steps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
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
VISITORS = 2
REQUESTS = 3  # of a whole visit: open, ask, find


class WrongAnswerError(RuntimeError):
    """Somebody got another answer than the picture's own."""


def check_answer(image: Path, said: str, expected: Mapping[Path, str]) -> None:
    if said != expected[image]:
        raise WrongAnswerError(f'{image.name} was answered {said!r}, by itself it is {expected[image]!r}')


class Chatter:
    """A conversation of two answers; the second is left in the middle.

    Args:
        answers: what the model says about each picture by itself.
    """

    def __init__(self, inferencer: FLMMInferencer, answers: Mapping[Path, str]) -> None:
        self.inferencer, self.answers, self.images, self.done = inferencer, answers, list(answers), 0

    def __call__(self) -> None:
        image = self.images[self.done % len(self.images)]
        conversation = self.inferencer.converse(image)
        check_answer(image, conversation.ask(QUESTION, max_new_tokens=MAX_NEW_TOKENS).answer, self.answers)
        stream = conversation.stream('What is at the top?', max_new_tokens=MAX_NEW_TOKENS)
        next(stream, None)
        stream.close()
        self.done += 1


class Visitors:
    """Several visit the page at the same time, each with a picture of their own; every third leaves in mid-answer.

    ``done``: requests to the server.
    """

    def __init__(self, address: str, answers: Mapping[Path, str]) -> None:
        self.answers, self.images, self.visits, self.done = answers, list(answers), 0, 0
        command = [sys.executable, '-m', 'flmm_plugin.soak.visitor', address]
        self.people = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(VISITORS)
        ]

    def __call__(self) -> None:
        sent = []
        for person in self.people:
            image, leaves = self.images[self.visits % len(self.images)], self.visits % 3 == 2
            print(json.dumps(dict(image=str(image), question=QUESTION, leaves=leaves)), file=person.stdin, flush=True)
            sent.append((person, image, leaves))
            self.visits += 1
        for person, image, leaves in sent:
            said = json.loads(person.stdout.readline() or '""')  # type: ignore[union-attr]
            if not leaves:
                check_answer(image, said, self.answers)
            self.done += REQUESTS - leaves

    def close(self) -> None:
        for person in self.people:
            person.communicate()  # the end of its input is its end


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


def own_answers(inferencer: FLMMInferencer, images: Sequence[Path]) -> dict[Path, str]:
    """What the model says about each picture when it is asked about nothing else."""
    return {image: inferencer(image, QUESTION, max_new_tokens=MAX_NEW_TOKENS).answer for image in images}


@contextmanager
def visited(inferencer: FLMMInferencer, answers: Mapping[Path, str], session_seconds: int) -> Iterator[Visitors]:
    """Visitors of the page, which is open on this machine alone."""
    from flmm_plugin.apis.web import build_page, launch_options
    from flmm_plugin.apis.web.bounds import MAX_VISITORS

    page = build_page(inferencer, max_new_tokens=MAX_NEW_TOKENS, session_seconds=session_seconds)
    options = launch_options(MAX_VISITORS // 6)  # a sixth, as of the time: a slow machine fills up early, too
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name='127.0.0.1', **options)
    visitors = Visitors(address, answers)
    try:
        yield visitors
    finally:
        visitors.close()
        page.close(verbose=False)
