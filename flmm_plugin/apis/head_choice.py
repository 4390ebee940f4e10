"""Which heads an LMM points by where nobody has said it: those known, else chosen on pictures, else the middle layers.

Shape shorthand: P phrases of one image, C maps of each (heads of all layers, for each grid), (h, w) attention grid.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from flmm_plugin.apis.annotated import Picture, read_picture
from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.grounding import Grounder
from flmm_plugin.apis.images import MAX_PIXELS, ImageLike
from flmm_plugin.apis.together import check_phrases
from flmm_plugin.datasets.sources import find_pictures
from flmm_plugin.errors import UserError
from flmm_plugin.evaluation.head_ranking import spread
from flmm_plugin.evaluation.localization import PhraseMaps, rank_without_masks
from flmm_plugin.models.capture.heads import known_heads, middle_heads, write_heads
from flmm_plugin.models.layouts.kept import cache_folder
from flmm_plugin.models.mask_heads.batching import crop
from flmm_plugin.structures import Segment

NUM = 8
#: Pictures of a folder that are read: the choice is made by some hundred.
MOST = 200
EXAMPLES = 3
#: A caption, in which phrases are found, or the phrases themselves; None for the LMM's own caption.
Text = str | Sequence[str] | None
#: An image, or what gives it when it is called, and its text.
Pair = tuple[ImageLike | Callable[[], Any], Text]


def settle_heads(grounder: Grounder, pictures: Iterable[Any] | str | Path | None, question: str) -> str:
    """Let an LMM that makes maps of all heads keep some, and say which and why.

    Known ones come first: those chosen before, in ``heads`` of :func:`cache_folder`, and those that ship. Else they are
    chosen on ``pictures`` (see :func:`read_pictures`) and kept there; without pictures all heads of the middle layers
    serve, and nothing is kept.
    """
    lmm, folder = grounder.model.lmm, cache_folder() / 'heads'
    fingerprint = lmm.fingerprint()
    known = known_heads(fingerprint, folder)
    if known is not None:
        lmm.keep_heads(known)
        return f'{len(lmm.heads)} heads by {known}'
    if pictures is None:
        layers = len(lmm.attention_layers)
        lmm.keep_heads(middle_heads(layers, lmm.num_heads))
        return (
            f'all {len(lmm.heads)} heads of the middle layers, because none were chosen for {lmm.name}: give pictures '
            'to choose by, or a heads file of tools/select_heads.py'
        )
    ranked, _ = rank_by_pictures(grounder, pair_up(pictures), question)
    lmm.keep_heads(ranked['heads'][:NUM])
    said = f'{NUM} heads chosen by {ranked["criterion"]} on {ranked["samples"]} pictures'
    if not fingerprint:
        return f'{said}; not kept, because quantised weights do not say which LMM they are'
    file = folder / f'{fingerprint}.json'
    try:
        write_heads(file, dict(ranked, lmm=lmm.name, fingerprint=fingerprint, heads=ranked['heads'][:NUM]))
    except OSError as error:
        return f'{said}; not kept in {file}: {error.strerror}'
    return f'{said}, kept in {file}'


def pair_up(pictures: Iterable[Any] | str | Path) -> Iterable[Pair]:
    """Each picture with its caption or phrases, None where the LMM is to caption it.

    Args:
        pictures: what :func:`find_pictures` finds, of which :data:`MOST` serve, or images, or such pairs.
    """
    if isinstance(pictures, (str, Path)):
        found = find_pictures(str(pictures))
        return [(found[index].open, None) for index in spread(MOST, len(found))]
    if isinstance(pictures, (bytes, Image.Image)) or hasattr(pictures, '__array__'):
        pictures = [pictures]
    pairs = (one if isinstance(one, (tuple, list)) else (one, None) for one in pictures)
    return ((image, text) for image, text in pairs)


def rank_by_pictures(
    grounder: Grounder, pairs: Iterable[Pair], question: str, criterion: str = 'contrast'
) -> tuple[dict[str, Any], list[PhraseMaps]]:
    """``heads`` from the best to the worst, their ``scores``, the ``criterion`` and the number of ``samples``; and the
    maps of the first pictures.

    Raises:
        UserError: no picture can be read, or none has a phrase, or for ``'contrast'`` two.
    """
    used = 0
    examples: list[PhraseMaps] = []

    def maps() -> Iterator[Tensor]:
        nonlocal used
        for pixels, text in read_pairs(tqdm(pairs, unit='picture', disable=not sys.stderr.isatty())):
            found = maps_of_picture(grounder, pixels, text, question)
            if found is not None:
                used += 1
                examples.extend([found] if len(examples) < EXAMPLES else [])
                yield found.maps

    heads, scores = rank_without_masks(maps(), criterion, grounder.model.lmm.num_grids)
    ranked = dict(criterion=criterion, samples=used, heads=heads, scores=[round(score, 4) for score in scores])
    return ranked, examples


def read_pairs(pairs: Iterable[Pair]) -> Iterator[tuple[Tensor, Text]]:
    """The pixels (3, H, W) of each picture, and its text; a bad picture is left out, unless all of them are bad."""
    good, wrong = False, ''
    for image, text in pairs:
        read = read_picture(Picture('', image, ''), MAX_PIXELS)
        if isinstance(read, str):
            wrong = wrong or read
            print_log(f'left out: {read}', logger='current', level=logging.WARNING)
            continue
        good = True
        yield read, text
    if wrong and not good:
        raise UserError(wrong)


@torch.inference_mode()
def maps_of_picture(grounder: Grounder, pixels: Tensor, text: Text, question: str) -> PhraseMaps | None:
    """What the heads make of a caption's phrases, or of phrases, about (3, H, W) pixels; None without a phrase."""
    lmm = grounder.model.lmm
    with grounder.lock:
        if text is not None and not isinstance(text, str):
            phrases = check_phrases(text)
            segments = [part for index, one in enumerate(phrases) for part in (Segment(one, index), Segment('.'))]
            inputs = lmm.prepare(pixels, question, segments)
            (outputs,) = lmm([inputs])
        else:
            prompt = lmm.prepare(pixels, question)
            if text is None:
                ids = lmm.generate(pixels, question)[0].tolist()
            else:
                ids = lmm.processor.tokenizer(text, add_special_tokens=False)['input_ids']
            seen = Conversation(grounder, pixels).look_at(prompt, ids).seen
            phrases, inputs, outputs = [phrase.text for phrase in seen.phrases], seen.inputs, seen.outputs
    if not phrases:
        return None
    maps: Tensor = crop(outputs.attention_maps, inputs.finest_grid.region)
    return PhraseMaps(pixels, phrases, maps.float().cpu())
