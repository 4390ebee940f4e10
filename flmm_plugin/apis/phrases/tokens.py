"""From characters of an answer to the tokens that the LMM generated.

The grounding pass reads the generated ids, never a re-tokenised text: the same text can be tokenised in other ways,
and the LMM has attended with the tokens it wrote.

Shape shorthand: N generated tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from flmm_plugin.apis.phrases.base import Phrase, Span

REPLACEMENT = '\ufffd'  # what decoders put where the bytes of a character are not all there


def answer_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of generated ids as :meth:`FrozenLMM.generate` gives it: no special tokens, no space around."""
    return tokenizer.decode(list(ids), skip_special_tokens=True).strip()


def token_spans(tokenizer: Any, ids: Sequence[int]) -> tuple[str, list[Span]]:
    """The answer's text and for each of the N tokens the characters (start, end) that it writes.

    Exact for byte-level and sentencepiece tokenizers: every token is placed by what decoding the tokens before it and
    up to it has in common with the whole text. Tokens that hold some bytes of a character each get all of it; special
    tokens get nothing (start == end).
    """
    ids = list(ids)
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    lead = len(whole) - len(whole.lstrip())
    text = whole.strip()
    spans: list[Span] = []
    done = 0  # characters that the tokens before have written in full
    for count in range(1, len(ids) + 1):
        written = tokenizer.decode(ids[:count], skip_special_tokens=True)
        common = done + common_length(written[done:], whole[done:])
        # What follows the common part is a character begun: by this token, unless nothing at all was added.
        begun = REPLACEMENT in written[common:] and not _is_special(tokenizer, ids[count - 1])
        spans.append((done - lead, common + begun - lead))
        done = common
    return text, [(min(max(start, 0), len(text)), min(max(end, 0), len(text))) for start, end in spans]


def common_length(first: str, second: str) -> int:
    """How many characters two texts begin with alike."""
    shared = min(len(first), len(second))
    return next((at for at in range(shared) if first[at] != second[at]), shared)


def _is_special(tokenizer: Any, token: int) -> bool:
    return token in tokenizer.all_special_ids


def phrase_ids(spans: Sequence[Span], phrases: Sequence[Phrase]) -> Tensor:
    """(N,) int64, for each token the phrase whose characters it writes, -1 elsewhere.

    A token that writes into two phrases belongs to the one it writes more of, to the first where it is even.
    """
    owners = []
    for start, end in spans:
        shares = [sum(max(0, min(end, last) - max(start, first)) for first, last in phrase.spans) for phrase in phrases]
        best = max(shares, default=0)
        owners.append(shares.index(best) if best > 0 else -1)
    return torch.tensor(owners, dtype=torch.long)
