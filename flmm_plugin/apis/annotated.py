"""Many pictures, one result each, whatever is wrong with some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flmm_plugin.apis.grounding import Grounder
from flmm_plugin.apis.images import read_image
from flmm_plugin.apis.results import GroundedAnswer
from flmm_plugin.apis.together import ask_together, ground_together
from flmm_plugin.datasets.sources import find_pictures
from flmm_plugin.errors import UserError
from flmm_plugin.images import Size

READERS = 4
#: Errors one after the other, of a kind that no picture is known to cause, after which it is not the pictures.
SUSPICIOUS = 8


@dataclass(frozen=True)
class Picture:
    """A picture to be annotated: ``image`` as :func:`read_image` takes it, or what gives that when it is called.

    ``phrases``: expressions to be grounded, in place of an answer. ``stated``: its (height, width) by an annotation.
    """

    name: str
    image: Any
    question: str
    phrases: tuple[str, ...] | None = None
    stated: Size = (None, None)


@dataclass(frozen=True)
class Annotated:
    """A picture's grounded answer, or what was wrong with the picture."""

    name: str
    answer: GroundedAnswer | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``error`` alone where there is no answer."""
        found = dict(error=self.error) if self.answer is None else self.answer.to_dict()
        return dict(file_name=self.name, **found)


def to_pictures(images: Any, question: str, phrases: Sequence[str] | str | None = None) -> Iterator[Picture]:
    """What :meth:`FLMMInferencer.annotate` takes."""
    given = None if phrases is None else (phrases,) if isinstance(phrases, str) else tuple(phrases)
    if isinstance(images, (str, Path)):
        for source in find_pictures(str(images)):
            yield Picture(source.name, source.open, question, given, source.stated)
        return
    for index, image in enumerate(images):
        yield Picture(str(image) if isinstance(image, (str, Path)) else str(index), image, question, given)


def annotate(
    grounder: Grounder,
    batches: Iterable[Sequence[Picture]],
    *,
    max_pixels: int,
    generation: Mapping[str, Any] | None = None,
) -> Iterator[list[Annotated]]:
    """The results of each batch in order; the pictures of the next one are read while the model works.

    What a picture gives depends on its batch in the last digits: equal batches give equal results to the bit. What
    nobody foresaw is a picture's error too, unless it comes again and again.
    """
    coming, unforeseen = iter(batches), Unforeseen()
    with ThreadPoolExecutor(READERS) as readers:

        def begin() -> tuple[Sequence[Picture], list[Any]] | None:
            batch = next(coming, None)
            return None if batch is None else (batch, [readers.submit(read_picture, one, max_pixels) for one in batch])

        reading = begin()
        while reading is not None:
            batch, pixels = reading
            reading = begin()
            yield annotate_batch(grounder, batch, [one.result() for one in pixels], generation or {}, unforeseen)


def in_batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of ``size`` items, the last one shorter."""
    if size < 1:
        raise UserError(f'batch_size={size}: one picture at least')
    source = iter(items)
    return iter(lambda: list(islice(source, size)), [])


def read_picture(picture: Picture, max_pixels: int) -> Tensor | str:
    """The pixels (3, H, W), or what is wrong with them."""
    try:
        image = picture.image() if callable(picture.image) else picture.image
        return read_image(image, max_pixels, picture.stated)
    except (UserError, OSError) as error:
        return str(error)


class Unforeseen:
    """Errors of the model or of transformers that no picture is known to cause: most often a picture is odd indeed."""

    def __init__(self) -> None:
        self.in_a_row = 0

    def note(self, error: Exception | None) -> None:
        """Raise the error where it cannot be the picture's: the GPU is lost, or the pictures before failed as well.

        None: a picture was answered.
        """
        self.in_a_row = 0 if error is None else self.in_a_row + 1
        if error is not None and ('CUDA error' in str(error) or self.in_a_row == SUSPICIOUS):
            raise error


def annotate_batch(
    grounder: Grounder,
    pictures: Sequence[Picture],
    pixels: Sequence[Tensor | str],
    generation: Mapping[str, Any],
    unforeseen: Unforeseen,
) -> list[Annotated]:
    """A result a picture; where something is wrong with one of them, the others are not touched by it."""
    readable = [index for index, read in enumerate(pixels) if isinstance(read, Tensor)]
    results = {index: Annotated(pictures[index].name, error=str(read)) for index, read in enumerate(pixels)}

    def work(indices: list[int]) -> list[GroundedAnswer]:
        return run(grounder, [(pictures[index], pixels[index]) for index in indices], generation)

    for found in attempt(work, readable, unforeseen):
        for index, answer in found.items():
            name = pictures[index].name
            failed = isinstance(answer, Exception)
            results[index] = Annotated(name, error=describe(answer)) if failed else Annotated(name, answer)
    return [results[index] for index in range(len(pictures))]


def attempt(
    work: Callable[[list[int]], list[GroundedAnswer]], indices: list[int], unforeseen: Unforeseen
) -> Iterator[dict[int, Any]]:
    """Results by index; halves of what is too much for the memory, or holds a picture that cannot be answered."""
    if not indices:
        return
    try:
        answers = work(indices)
    except Exception as error:
        if len(indices) == 1:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            if not isinstance(error, UserError):
                unforeseen.note(error)
            yield {indices[0]: error}
            return
        torch.cuda.empty_cache()
    else:
        unforeseen.note(None)
        yield dict(zip(indices, answers, strict=True))
        return
    middle = len(indices) // 2
    yield from attempt(work, indices[:middle], unforeseen)
    yield from attempt(work, indices[middle:], unforeseen)


def describe(error: Exception) -> str:
    """A line about an error; of what was not foreseen its type too."""
    if isinstance(error, UserError):
        return str(error)
    return f'{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ""}'


def run(
    grounder: Grounder, batch: Sequence[tuple[Picture, Any]], generation: Mapping[str, Any]
) -> list[GroundedAnswer]:
    images, questions = [pixels for _, pixels in batch], [picture.question for picture, _ in batch]
    phrases = [picture.phrases for picture, _ in batch]
    if phrases[0] is None:
        return ask_together(grounder, images, questions, generation)
    return ground_together(grounder, images, questions, [own or () for own in phrases])
