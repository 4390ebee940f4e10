"""Checkpoints that hold what is trained and nothing else, and that load strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from flmm_plugin.errors import UserError
from flmm_plugin.models.weights.checkpoints import is_frozen


class CheckpointError(UserError, RuntimeError):
    """A checkpoint that does not belong to the model."""


def keep_trained_only(model: nn.Module, owner: str) -> None:
    """Leave the frozen parts out of ``model``'s state dict, and check everything else on loading.

    The check is a pre-hook because mmengine's loader, which tolerates mismatches, runs it as well as torch's.

    Args:
        owner: what decides the shapes, named in the error about a checkpoint made for another one.
    """

    trained = any(parameter.requires_grad for parameter in model.parameters())

    def drop_frozen(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        for name in [n for n in state if n.startswith(prefix)]:
            if not trained or is_frozen(name.removeprefix(prefix)):
                del state[name]

    def check(state: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
        if not trained:
            raise CheckpointError('nothing of this model is trained, so that no checkpoint fits it')
        given = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        check_trained(model.state_dict(), given, owner)

    def forgive_frozen(module: nn.Module, incompatible: Any) -> None:
        for names in incompatible:
            names[:] = [name for name in names if not is_frozen(name)]

    model._register_state_dict_hook(drop_frozen)
    model._register_load_state_dict_pre_hook(check)
    model.register_load_state_dict_post_hook(forgive_frozen)


def check_trained(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], owner: str) -> None:
    """Raise :class:`CheckpointError` that names every missing, unexpected or misshapen tensor of a checkpoint."""
    problems = []
    missing = sorted(set(expected) - set(given))
    unexpected = sorted(name for name in set(given) - set(expected) if not is_frozen(name))
    if missing:
        problems.append(f'missing: {", ".join(missing)}')
    if unexpected:
        problems.append(f'unexpected: {", ".join(unexpected)}')
    for name in sorted(set(expected) & set(given)):
        there, here = tuple(given[name].shape), tuple(expected[name].shape)
        if there != here:
            problems.append(f'{name} is {there} in the checkpoint and {here} in the model')
    if 'heads' in expected and 'heads' in given and expected['heads'].tolist() != given['heads'].tolist():
        problems.insert(0, 'it was trained on other attention heads than lmm.heads names')
    if ('heads' in expected) != ('heads' in given):
        problems.insert(0, 'only one of the two keeps a selection of attention heads (lmm.heads in the config)')
    if problems:
        raise CheckpointError(
            f'the checkpoint does not fit this model, which grounds {owner}; was it trained on another LMM, other '
            'heads of it or with other prompts? ' + '; '.join(problems)
        )


def check_lmm(model: Any, checkpoint: Mapping[str, Any]) -> None:
    """Raise :class:`CheckpointError` if the checkpoint's meta names another LMM; shapes alone do not tell."""
    check_fingerprint(model, checkpoint.get('meta', {}).get('lmm_fingerprint'))


def check_fingerprint(model: Any, trained_on: str | None) -> None:
    """Raise :class:`CheckpointError` if the LMM is another than the one ``trained_on``, where both are known."""
    here = model.lmm_fingerprint()
    if trained_on and here and trained_on != here:
        raise CheckpointError(
            f'the checkpoint was trained on an LMM with other weights (fingerprint {trained_on}) than '
            f'{model.lmm.name!r} ({here}): name the LMM it was trained on in the config '
            '(model.lmm.pretrained), or train again'
        )
