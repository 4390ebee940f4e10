"""What the layers of a pass share: the selected rows, and what masks hide from them, on each device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from flmm_plugin.models.capture.attended import AttendedLayer
from flmm_plugin.models.capture.selection import AttentionSelection, SelectedRows

#: How many masks are remembered: those of full and of sliding layers. Some layers bring their own (accelerate's).
MASKS = 2


class SharedByLayers:
    """Made when a layer first asks for it: by then a GPU has begun."""

    def __init__(self, selections: Sequence[AttentionSelection]) -> None:
        self.selections = selections
        self._on_host: SelectedRows | None = None
        self._rows: dict[torch.device, SelectedRows] = {}
        self._places: dict[Any, Tensor] = {}
        self._masks: dict[Any, tuple[Tensor, Tensor]] = {}
        self._visible: dict[Any, tuple[Tensor | None, Tensor]] = {}

    def rows(self, device: torch.device) -> SelectedRows:
        if device not in self._rows:
            self._on_host = self._on_host or SelectedRows.of(self.selections)
            self._rows[device] = self._on_host.to(device)
        return self._rows[device]

    def places(self, one: AttendedLayer) -> Tensor:
        """See :meth:`SelectedRows.places`."""
        about = (one.query.device, *one.query.shape[1:], one.key.shape[2])
        if about not in self._places:
            self._places[about] = self.rows(one.query.device).places(one.query, one.key.shape[2])
        return self._places[about]

    def mask(self, mask: Tensor, device: torch.device) -> Tensor:
        """The mask on a device; the same tensor for all layers that have the same."""
        key = (id(mask), device)
        if key not in self._masks:
            self._masks[key] = (mask, mask.to(device, non_blocking=True))
        return self._masks[key][1]

    def visible(self, one: AttendedLayer) -> Tensor:
        """See :meth:`SelectedRows.visible`."""
        about = (one.key.shape[2], one.causal, one.query.dtype)
        key = (one.query.device, id(one.mask), *about)
        if key not in self._visible:
            if len(self._visible) >= MASKS:
                self._visible.clear()
            # With the mask itself: another one could have its place in memory, and so its id, once it is gone.
            self._visible[key] = (one.mask, self.rows(one.query.device).visible(one.mask, *about))
        return self._visible[key][1]
