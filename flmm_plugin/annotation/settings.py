"""What decides the results of a run, to tell whether it may go on in a folder."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from flmm_plugin.apis.inferencer import FLMMInferencer
from flmm_plugin.models.weights.hub import HubModel
from flmm_plugin.plain_json import to_json


def describe_run(
    ask: FLMMInferencer,
    args: Namespace,
    question: str,
    names: Mapping[str, Sequence[str]] | None,
) -> dict[str, Any]:
    """The model and what it is asked; long things by their hash.

    More pictures may come, and names for them; of those that have their line, see :func:`check_same_phrases`.
    """
    model: HubModel = ask.model
    trained = sha256()
    for name, value in sorted(model.state_dict().items()):
        trained.update(name.encode() + value.detach().cpu().contiguous().flatten().numpy().tobytes())
    return dict(
        model=digest(model.portable_config()),
        checkpoint=trained.hexdigest()[:16],
        lmm=model.trained_on(),
        question=None if names is not None else question,
        phrases=None if names is None else 'given',
        batch_size=args.batch_size,
        max_new_tokens=args.max_new_tokens,
        min_score=args.min_score,
        min_attention=args.min_attention,
        min_presence=args.min_presence,
        ask_presence=args.ask_presence,
        presence=None if ask.model.presence is None else digest(asdict(ask.model.presence)),
        extractor=type(ask.grounder.extractor).__name__,
        instances=args.instances,
    )


def digest(value: Any) -> str:
    return sha256(to_json(value).encode()).hexdigest()[:16]
