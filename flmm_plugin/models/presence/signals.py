"""What speaks for a thing's being there.

Shape shorthand: P phrases, T phrase tokens, D hidden width, V words of the vocabulary, S signals.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from flmm_plugin.models.groundings import Grounding, image_attention
from flmm_plugin.structures import LMMInputs, LMMOutputs

#: What comes with grounding.
FREE = ('said', 'attention', 'focus', 'score', 'inside', 'area')
#: ``asked`` takes a question of its own.
SIGNALS = ('asked', *FREE)
EPS = 1e-4


@torch.no_grad()
def presence_signals(
    lmm: Any, inputs: LMMInputs, outputs: LMMOutputs, grounding: Grounding, asked: Tensor | None = None
) -> Tensor:
    """(P, S) fp32 signals of an image's phrases, on the CPU.

    - asked: see :func:`yes_margins`; 0 where nobody asked.
    - said: by how many nats the LMM prefers each of the phrase's words, given those before, to its own best other word;
      the mean over all words but the first.
    - attention: the share of the phrase's attention that goes to the image.
    - focus: log of how much denser the attention is inside the mask than on the whole.
    - score: SAM's predicted IoU, or ``inside`` without a refiner.
    - inside: mean probability of the coarse mask inside it; area: log of its share of the picture.
    """
    probability = grounding.coarse.float().sigmoid()
    mask = probability > 0.5
    inside = (probability * mask).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)
    maps = outputs.attention_maps.float().mean(dim=1)
    region = inputs.finest_grid.region
    maps = maps if region is None else region.crop(maps)
    shown = F.interpolate(probability[None], size=maps.shape[-2:], mode='bilinear', antialias=True)[0]
    weight = (maps * shown).sum((1, 2)) / maps.sum((1, 2)).clamp(min=1e-12)
    focus = ((weight + EPS) / (shown.mean((1, 2)) + EPS)).log()
    score = inside if grounding.scores is None else grounding.scores.float()
    area = (mask.float().mean((1, 2)) + EPS).log()
    attention = image_attention(outputs.attention_maps, inputs.grids)
    asked = torch.zeros(len(mask)) if asked is None else asked
    columns = [asked, word_margins(lmm, inputs, outputs), attention, focus, score, inside, area]
    return torch.stack([column.float().cpu() for column in columns], dim=1)


def word_margins(lmm: Any, inputs: LMMInputs, outputs: LMMOutputs) -> Tensor:
    """(P,) see ``said`` of :func:`presence_signals`; 0 for phrases of one token."""
    logits = next_word_logits(lmm, outputs.hidden_states[-1]).cpu()
    rows, owners = inputs.phrase_rows, outputs.phrase_ids
    tokens = inputs.input_ids[rows]
    # The next token is of the same phrase, and follows at once: a phrase may be named twice.
    follows = (owners[1:] == owners[:-1]) & (rows[1:] == rows[:-1] + 1)
    own = logits[:-1].gather(1, tokens[1:, None])[:, 0]
    other = logits[:-1].scatter(1, tokens[1:, None], -torch.inf).amax(dim=1)
    margins = [(own - other)[follows & (owners[1:] == phrase)] for phrase in range(outputs.num_phrases)]
    return torch.stack([values.mean() if len(values) else torch.zeros(()) for values in margins])


def next_word_logits(lmm: Any, states: Tensor) -> Tensor:
    """(T, V) fp32 of hidden states (T, D) after the final norm."""
    return lmm.model.get_output_embeddings()(states).float()
