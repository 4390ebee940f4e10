"""A trained model as a folder, the form in which the Hub keeps models: what is in it, and what is refused.

``model.safetensors`` holds what is trained, ``config.json`` the model's config and the LMM that it was trained on,
``README.md`` is the model card, ``model.presence.json`` has the presence rules, where there are any. Nothing in it is
run: weights are plain tensors, types are names that are registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from torch import Tensor

import flmm_plugin
from flmm_plugin.assets import resolve
from flmm_plugin.models.presence.rules import PresenceRules, presence_path
from flmm_plugin.models.weights.checkpoints import write_tensors
from flmm_plugin.models.weights.hub_config import (
    FORMAT,
    SETTINGS,
    HubFolderError,
    check_arguments,
    portable,
    read_config,
)
from flmm_plugin.models.weights.provenance import to_meta
from flmm_plugin.plain_json import to_json

CONFIG, WEIGHTS, CARD = 'config.json', 'model.safetensors', 'README.md'
PRESENCE = presence_path(WEIGHTS).name
PICKLES = ('.bin', '.pth', '.pt', '.ckpt', '.pkl', '.pickle')


@dataclass(frozen=True)
class HubFolder:
    """A folder that was checked; ``content`` is what its ``config.json`` says."""

    path: Path
    content: dict[str, Any]

    @classmethod
    def fetch(cls, name: str | Path, **download: Any) -> HubFolder:
        """A folder on disk, ``flmm_plugin::NAME`` of this package, or a model of the Hub.

        Args:
            name: the folder, or the Hub's ``OWNER/NAME``.
            download: ``revision``, ``token``, ``cache_dir`` and the like, see ``huggingface_hub.snapshot_download``.

        Raises:
            HubFolderError: there is none of this name, a file lacks, is damaged or may run code, or the folder is of
                a newer format.
        """
        path = Path(resolve(str(name)))
        return cls._read(path if path.is_dir() else _download(str(name), download))

    @classmethod
    def _read(cls, path: Path) -> HubFolder:
        lacks = [file for file in (CONFIG, WEIGHTS) if not (path / file).is_file()]
        # In folders below as well, but not if it is another kind of folder, which may be large.
        files = path.iterdir() if lacks else path.rglob('*')
        pickles = sorted(str(file.relative_to(path)) for file in files if file.suffix.lower() in PICKLES)
        if pickles:
            raise HubFolderError(
                f'{path} holds {", ".join(pickles)}: pickled files can run code when they are loaded, and none belongs '
                f'there. Take them out, or turn a checkpoint into a folder by tools/export.py'
            )
        if lacks:
            raise HubFolderError(f'{path} has no {lacks[0]}: it is no folder of save_pretrained or tools/export.py')
        content = read_config(path / CONFIG)
        try:
            with safe_open(path / WEIGHTS, framework='pt') as file:
                file.keys()
        except SafetensorError as error:
            raise HubFolderError(f'{path / WEIGHTS} is damaged ({error}): copy or download it again') from error
        return cls(path, content)

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS

    @property
    def trained_on(self) -> dict[str, str]:
        """What it was trained on: see :func:`write_folder`."""
        return self.content['trained_on']

    @property
    def settings(self) -> dict[str, Any]:
        """What the inferencer takes from the config besides the model; whatever else stands there has no effect."""
        return {name: self.content[name] for name in SETTINGS if name in self.content}

    def model_config(self, **parts: Mapping[str, Any] | None) -> dict[str, Any]:
        """The model's config, ``lmm``, ``refiner`` and the like changed as ``parts`` say (None changes nothing)."""
        changed = {
            part: {**(self.content['model'].get(part) or {}), **change} for part, change in parts.items() if change
        }
        model = {**self.content['model'], **changed}
        check_arguments(model, self.path / CONFIG)
        return model


def write_folder(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    model: Mapping[str, Any],
    trained_on: Mapping[str, str],
    card: str,
    presence: PresenceRules | None = None,
    **settings: Any,
) -> None:
    """Write the files; presence rules of another model that lie there go.

    Args:
        tensors: what is trained, by name.
        model: the model's config; what only concerns this machine is left out.
        trained_on: of the LMM ``name``, ``fingerprint`` and ``revision``; ``config`` and ``data`` of the training, as
            far as they are known.
        card: the text of the model card.
        presence: the model's presence rules.
        settings: what else the inferencer takes from a config, for example ``png_prompt``.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    content = dict(
        format=FORMAT,
        flmm_plugin_version=flmm_plugin.__version__,
        model=portable(model),
        trained_on=dict(trained_on),
        **settings,
    )
    write_tensors(tensors, path / WEIGHTS, meta=to_meta(trained_on))
    (path / CONFIG).write_text(to_json(content, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
    (path / CARD).write_text(card, encoding='utf-8')
    (path / PRESENCE).unlink(missing_ok=True)
    if presence is not None:
        presence.save(path / PRESENCE)


def _download(name: str, options: Mapping[str, Any]) -> Path:
    try:
        # These files alone: whatever else lies there is of no use and may be large.
        return Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS, CARD, PRESENCE], **options))
    except HFValidationError as error:
        raise HubFolderError(f'there is no folder {name}, and that is no name of the Hub either') from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise HubFolderError(
            f'there is no folder {name}, and the Hub does not give a model of that name ({reason}). Is it spelt right? '
            'Without a network, name a folder on disk'
        ) from error
