"""How an inferencer comes to know whether things are there."""

from __future__ import annotations

from pathlib import Path

from flmm_plugin.errors import UserError
from flmm_plugin.models.presence import PresenceRules
from flmm_plugin.models.presence.rules import Wanted, presence_path
from flmm_plugin.models.weights.hub import HubModel


def use_presence(model: HubModel, checkpoint: str | Path | None, wanted: Wanted, ask: bool) -> None:
    """Give the model the rules of its checkpoint, where there are any.

    Args:
        wanted, ask: ``min_presence`` and ``ask_presence`` of :class:`FLMMInferencer`.

    Raises:
        UserError: a presence is wanted and there is no rule, or none for it.
    """
    model.presence = None if checkpoint is None else PresenceRules.beside(checkpoint)
    if model.presence is None:
        if wanted is None and not ask:
            return
        if checkpoint is None:
            raise UserError('min_presence and ask_presence need the presence rule of a checkpoint, and there is none')
        raise UserError(
            f'min_presence and ask_presence need a presence rule, and there is no {presence_path(checkpoint)}: fit it '
            'by a test with PresenceRuleHook (docs/evaluation.md, "Is it there?"), or leave them out'
        )
    model.presence.rule(ask)
    model.ask_presence = ask
    for rules in filter(None, (model.presence, model.presence.answers)):
        rules.limit(wanted, ask)
