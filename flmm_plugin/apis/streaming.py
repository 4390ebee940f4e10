"""Text while it is being generated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

from torch import Tensor
from transformers import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from flmm_plugin.apis.phrases import answer_text
from flmm_plugin.apis.phrases.tokens import REPLACEMENT

T = TypeVar('T')
OnText = Callable[[str], None]


class TextStreamer(BaseStreamer):
    """Hands text on as soon as later tokens cannot change it. All pieces together are the answer.

    Args:
        on_text: called with each new piece.
    """

    def __init__(self, tokenizer: Any, on_text: OnText) -> None:
        self.tokenizer, self.on_text = tokenizer, on_text
        self.ids: list[int] = []
        self.handed = 0
        self.prompt_came = False

    def put(self, value: Tensor) -> None:
        """New token ids; ``generate`` puts the prompt first."""
        if not self.prompt_came:
            self.prompt_came = True
            return
        self.ids += value.flatten().tolist()
        text = answer_text(self.tokenizer, self.ids).rstrip(REPLACEMENT).rstrip()
        if getattr(self.tokenizer, 'clean_up_tokenization_spaces', False) and text.isascii():
            text = text[: max(text.rfind(' '), 0)]  # the space before the last word may yet be dropped
        self._hand_on(text)

    def end(self) -> None:
        self._hand_on(answer_text(self.tokenizer, self.ids))

    def _hand_on(self, text: str) -> None:
        if len(text) > self.handed:
            self.on_text(text[self.handed :])
            self.handed = len(text)


class StopWhen(StoppingCriteria):
    """Ends the generation once an event is set."""

    def __init__(self, event: threading.Event) -> None:
        self.event = event

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Any:
        return input_ids.new_full((len(input_ids),), self.event.is_set()).bool()


class Stream(Iterator[str]):
    """Pieces of text from a function that runs in a thread of its own; ``result`` is what it returned.

    Args:
        run: called with a function to hand text to and an event that is set when nobody listens any more.
    """

    def __init__(self, run: Callable[[OnText, threading.Event], Any]) -> None:
        self.stop = threading.Event()
        self.result: Any = None
        self._pieces: SimpleQueue[str | BaseException | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, args=(run,), daemon=True)
        self._thread.start()

    def _work(self, run: Callable[[OnText, threading.Event], Any]) -> None:
        try:
            self.result = run(self._pieces.put, self.stop)
            self._pieces.put(None)
        except BaseException as error:
            self._pieces.put(error)

    def __next__(self) -> str:
        piece = self._pieces.get()
        if isinstance(piece, str):
            return piece
        self._pieces.put(piece)  # whoever asks again gets the same
        if piece is None:
            raise StopIteration
        raise piece

    def close(self) -> None:
        """End the generation early and wait for it; the answer so far is grounded all the same."""
        self.stop.set()
        self._thread.join()
