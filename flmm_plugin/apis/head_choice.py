"""Which heads an LMM points by where nobody has said it: those known, else chosen on pictures, else the middle layers.

Shape shorthand: P phrases of one image, C maps of each (heads of all layers, for each grid), (h, w) attention grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.grounding import Grounder
from flmm_plugin.apis.images import ImageLike, read_image
from flmm_plugin.datasets.sources import find_pictures
from flmm_plugin.evaluation.localization import PhraseMaps, rank_without_masks
from flmm_plugin.models.capture.heads import known_heads, middle_heads, write_heads
from flmm_plugin.models.layouts.kept import cache_folder
from flmm_plugin.models.mask_heads.batching import crop
from flmm_plugin.structures import Segment

NUM = 8
#: A caption, in which phrases are found, or the phrases themselves; None for the LMM's own caption.
Text = str | Sequence[str] | None


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
    ranked = rank_by_pictures(grounder, read_pictures(pictures), question)
    lmm.keep_heads(ranked['heads'][:NUM])
    said = f'{NUM} heads chosen by {ranked["criterion"]} on {ranked["samples"]} pictures'
    if not fingerprint:
        return f'{said}; not kept, because quantised weights do not say which LMM they are'
    file = folder / f'{fingerprint}.json'
    write_heads(file, dict(ranked, lmm=lmm.name, fingerprint=fingerprint, heads=ranked['heads'][:NUM]))
    return f'{said}, kept in {file}'


def read_pictures(pictures: Iterable[Any] | str | Path) -> Iterator[tuple[ImageLike, Text]]:
    """Pairs of an image and its caption or phrases, None where the LMM is to caption it.

    Args:
        pictures: what :func:`find_pictures` finds, or images, or such pairs.
    """
    if isinstance(pictures, (str, Path)):
        pictures = (source.open() for source in find_pictures(str(pictures)))
    for one in pictures:
        image, text = one if isinstance(one, tuple) else (one, None)
        yield image, text


def rank_by_pictures(
    grounder: Grounder, pictures: Iterable[tuple[ImageLike, Text]], question: str, criterion: str = 'contrast'
) -> dict[str, Any]:
    """``heads`` from the best to the worst, their ``scores``, the ``criterion`` and the number of ``samples``.

    Raises:
        UserError: no picture has a phrase, or for ``'contrast'`` two.
    """
    used = 0

    def maps() -> Iterator[Tensor]:
        nonlocal used
        for image, text in pictures:
            found = maps_of_picture(grounder, image, text, question)
            if found is not None:
                used += 1
                yield found.maps

    heads, scores = rank_without_masks(maps(), criterion, grounder.model.lmm.num_grids)
    return dict(criterion=criterion, samples=used, heads=heads, scores=[round(score, 4) for score in scores])


@torch.inference_mode()
def maps_of_picture(grounder: Grounder, image: ImageLike, text: Text, question: str) -> PhraseMaps | None:
    """What the LMM's heads make of the phrases of a caption, or of phrases; None without a phrase."""
    lmm, pixels = grounder.model.lmm, read_image(image)
    with grounder.lock:
        if text is not None and not isinstance(text, str):
            phrases = list(text)
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
