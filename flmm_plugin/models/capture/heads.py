"""Keeping some of an LMM's attention heads, by a list of indices or a file of them.

A head's index counts over all layers: ``layer * heads_per_layer + head``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flmm_plugin.assets import SCHEME, resolve
from flmm_plugin.errors import UserError
from flmm_plugin.plain_json import parse_json, write_json


class HeadsError(UserError, ValueError):
    """Heads that the LMM does not have, or a file of heads that is damaged or another LMM's."""


def choose_heads(
    heads: str | Path | Sequence[int], num_layers: int, num_heads: int, fingerprint: str
) -> tuple[int, ...]:
    """The heads in ascending order.

    Args:
        heads: indices, or a file of :func:`write_heads`, ``flmm_plugin::NAME`` for a shipped one.
        num_layers, num_heads, fingerprint: the LMM's.

    Raises:
        HeadsError: names the file.
    """
    source = f'heads file {heads}' if isinstance(heads, (str, Path)) else 'lmm.heads'
    chosen: Any = heads
    if isinstance(heads, (str, Path)):
        content = read_heads(Path(resolve(str(heads))))
        made_for = content.get('fingerprint', fingerprint)
        if made_for and fingerprint and made_for != fingerprint:
            raise HeadsError(
                f'{source} was made for {content.get("lmm", "another LMM")} (fingerprint {made_for}), and this LMM is '
                f'another ({fingerprint}): make one for it with tools/select_heads.py'
            )
        chosen = content['heads']
    count = num_layers * num_heads
    if not chosen or not all(type(head) is int and 0 <= head < count for head in chosen):
        raise HeadsError(
            f'{source}: heads must be indices from 0 to {count - 1} ({num_layers} layers of {num_heads}), at least one'
        )
    if len(set(chosen)) != len(chosen):
        raise HeadsError(f'{source} names a head twice')
    return tuple(sorted(chosen))


def read_heads(path: Path) -> dict[str, Any]:
    """What :func:`write_heads` wrote."""
    if not path.is_file():
        raise HeadsError(f'heads file {path} does not exist: tools/select_heads.py writes one')
    try:
        content = parse_json(path.read_bytes(), str(path))
    except ValueError as error:
        raise HeadsError(
            f'heads file {path} is not JSON ({error}): write it again with tools/select_heads.py'
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get('heads'), list):
        raise HeadsError(f"heads file {path} has no list 'heads': write it with tools/select_heads.py")
    return content


def write_heads(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``heads``, the LMM's ``fingerprint`` and whatever else is worth knowing as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content, indent=1)


def known_heads(fingerprint: str, folder: Path) -> Path | None:
    """The heads file of an LMM: in ``folder``, under its fingerprint, or among those that ship; None without one.

    A damaged one is passed over with a warning.
    """
    if not fingerprint:
        return None
    kept = folder / f'{fingerprint}.json'
    shipped = sorted(Path(resolve(f'{SCHEME}heads')).glob('*.json'))
    return next((file for file in (kept, *shipped) if made_for(file) == fingerprint), None)


def made_for(file: Path) -> str | None:
    """The fingerprint of the LMM that a heads file was made for; None where it is not there, or damaged."""
    try:
        return read_heads(file).get('fingerprint') if file.exists() else None
    except (HeadsError, OSError) as error:
        warnings.warn(f'{error}; it is passed over', stacklevel=2)
        return None


def middle_heads(num_layers: int, num_heads: int) -> range:
    """All heads of the middle third of the layers, at least one: where image and words are most often brought together.

    The default where nobody has chosen heads.
    """
    first = num_layers // 3
    return range(first * num_heads, max(num_layers - first, first + 1) * num_heads)


def spread_heads(count: int, num_layers: int, num_heads: int) -> list[int]:
    """At most ``count`` heads, spread evenly over all layers and over the places in them."""
    total = num_layers * num_heads
    chosen = min(count, total)
    return [(2 * number + 1) * total // (2 * chosen) for number in range(chosen)]


def heads_by_layer(heads: Sequence[int], num_layers: int, num_heads: int) -> dict[int, Tensor]:
    """For each layer the (K,) int64 heads that are kept, K being 0 where there are none."""
    return {
        layer: torch.tensor([head % num_heads for head in heads if head // num_heads == layer], dtype=torch.int64)
        for layer in range(num_layers)
    }
