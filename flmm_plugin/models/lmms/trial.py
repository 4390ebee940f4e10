"""An LMM tried out when it is loaded: can its attention be captured, who sees whom, and does it read batches?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from flmm_plugin.errors import UserError
from flmm_plugin.models.capture.attention import select_attention
from flmm_plugin.models.capture.selection import AttentionSelection
from flmm_plugin.structures import LMMInputs


@dataclass(frozen=True)
class Sight:
    """``image``: do the image's tokens see one another? ``prompt``: does the text of a prompt see what follows?"""

    image: bool
    prompt: bool


class _Reported(Exception):
    """What is asked is known: the rest of the pass is not needed."""


@torch.no_grad()
def try_out(lmm: Any, sample: LMMInputs) -> Sight:
    """What a prompt's first layer of attention shows.

    Raises:
        UserError: its attention cannot be captured; the message says why.
    """
    last, columns = len(sample.input_ids) - 1, sample.finest_grid.columns.sort().values.tolist()
    # If all is causal, none of these rows sees its column: the token of the same kind that comes next.
    rows, seen = torch.tensor([columns[0], last - 1]), torch.tensor([columns[1], last])
    selection = AttentionSelection(rows, torch.arange(2), seen, 2)

    def stop(module: Any, args: Any, output: Any) -> None:
        raise _Reported

    first = lmm.attention_layers[0]
    handle = lmm.decoder.layers[first].register_forward_hook(stop)
    try:
        with select_attention([selection], lmm.num_layers, lmm.num_heads, layers=lmm.attention_layers) as capture:
            lmm.model(**lmm.collate([sample]), use_cache=False)
    except _Reported:
        if first not in capture.reported:
            raise UserError(
                f"{lmm.name}: its attention does not go through transformers' attention interface in this release "
                'and cannot be captured: a newer transformers may do'
            ) from None
    except NotImplementedError as error:
        raise UserError(f'{lmm.name}: {error}') from error
    finally:
        handle.remove()
    attends = capture.maps(0)[:, : lmm.num_heads].sum(1) > 0
    return Sight(image=bool(attends[0, 0]), prompt=bool(attends[1, 1]))


@torch.no_grad()
def reads_together(lmm: Any, sample: LMMInputs) -> bool:
    """Is the decoder given the same for each of two like samples of a batch?

    Not where an LMM counts images or patches on from sample to sample.
    """
    given: dict[str, Any] = {}

    def stop(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        given.update(kwargs)
        raise _Reported

    handle = lmm.decoder.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        lmm.model(**lmm.collate([sample, sample]), use_cache=False)
    except _Reported:
        pass
    finally:
        handle.remove()
    embedded, positions = given.get('inputs_embeds'), given.get('position_ids')
    alike = embedded is None or bool((embedded[0] - embedded[1]).norm() <= 0.01 * embedded[0].norm())
    # (B, N) or (axes, B, N)
    placed = positions is None or torch.equal(positions.select(-2, 0), positions.select(-2, -1))
    return alike and placed
