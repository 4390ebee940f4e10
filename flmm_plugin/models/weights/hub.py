"""``save_pretrained``, ``from_pretrained`` and ``push_to_hub`` of a model that grounds."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from huggingface_hub import ModelCard, ModelHubMixin
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope

from flmm_plugin.models.presence.rules import PresenceRules
from flmm_plugin.models.weights.checkpoints import read_tensors
from flmm_plugin.models.weights.hub_config import HubFolderError
from flmm_plugin.models.weights.hub_folder import HubFolder, write_folder
from flmm_plugin.models.weights.model_card import TrainedModel, write_card
from flmm_plugin.models.weights.provenance import training
from flmm_plugin.models.weights.trained_state import check_fingerprint
from flmm_plugin.registry import MODELS

Model = TypeVar('Model', bound='HubModel')


class HubModel(ModelHubMixin, BaseModel):
    """A model of MMEngine whose constructor takes configs of its parts, ``lmm`` among them, with the Hub's methods.

    huggingface_hub keeps the arguments of the constructor, and uploads what :meth:`save_pretrained` writes.

    ``presence``: the rules by which it tells whether things are there; ``ask_presence``: whether it asks the LMM, too.
    ``provenance``: by which config and on which data it was trained, where that is known, see :func:`of_config`.
    """

    lmm: Any
    provenance: Mapping[str, str] = MappingProxyType({})
    presence: PresenceRules | None = None
    ask_presence = False

    @property
    def presence_question(self) -> str | None:
        """How the LMM is asked for a phrase, with ``{phrase}`` in it; None where it is not."""
        return self.presence.question if self.presence is not None and self.ask_presence else None

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        config: Any = None,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write ``model.safetensors`` (what is trained), ``config.json``, the model card and the presence rules, where
        there are any, into a folder.

        Args:
            save_directory: made if it does not exist.
            config: settings besides the model's, for example ``dict(png_prompt=...)``.
            repo_id, push_to_hub, push_to_hub_kwargs: upload the folder as well, see huggingface_hub.
            model_card_kwargs: fields of :class:`TrainedModel`, for example ``dict(training_data=..., metrics=...)``.
        """
        about = {'name': repo_id or Path(save_directory).name, **(model_card_kwargs or {})}
        card = self.generate_model_card(**about)
        write_folder(
            save_directory,
            self.state_dict(),
            self.portable_config(),
            self.trained_on(),
            str(card),
            self.presence,
            **(config or {}),
        )
        if not push_to_hub:
            return None
        name = repo_id or Path(save_directory).name
        return self.push_to_hub(name, config=config, model_card_kwargs=model_card_kwargs, **push_to_hub_kwargs)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload what :meth:`save_pretrained` writes; ``options``: see huggingface_hub's ``ModelHubMixin``."""
        options['model_card_kwargs'] = {'name': repo_id, **(options.get('model_card_kwargs') or {})}
        return super().push_to_hub(repo_id, **options)

    @classmethod
    def from_pretrained(
        cls: type[Model],
        pretrained_model_name_or_path: str | Path,
        *,
        lmm: Mapping[str, Any] | None = None,
        refiner: Mapping[str, Any] | None = None,
        **download: Any,
    ) -> Model:
        """Build the model and load what is trained; in evaluation mode.

        Args:
            pretrained_model_name_or_path: a folder of :meth:`save_pretrained`, or the name of one on the Hub.
            lmm, refiner: changes to these parts' configs, for example ``dict(pretrained='/models/llava')`` or
                ``dict(checkpoint='/models/sam_vit_l_0b3195.pth')``.
            download: ``revision``, ``token`` and the like, see :meth:`HubFolder.fetch`.

        Raises:
            HubFolderError: see :meth:`HubFolder.fetch`.
            CheckpointError: the weights do not fit, or were trained on another LMM.
        """
        folder = HubFolder.fetch(pretrained_model_name_or_path, **download)
        config = folder.model_config(lmm=lmm, refiner=refiner)
        if find_spec('mmdet') is None:  # it has the losses, which a model that is not trained does without
            config = {name: value for name, value in config.items() if not name.startswith('loss_')}
        with DefaultScope.overwrite_default_scope(MODELS.scope):  # a program of mmdet's has another
            model = MODELS.build(config)
        if not isinstance(model, cls):
            raise HubFolderError(f'{folder.path} holds a {type(model).__name__}, not a {cls.__name__}')
        model.load_state_dict(read_tensors(folder.weights))
        check_fingerprint(model, folder.trained_on.get('fingerprint', ''))
        model.provenance = training(folder.trained_on)
        model.presence = PresenceRules.beside(folder.weights)
        return model.eval()

    def portable_config(self) -> dict[str, Any]:
        """The arguments that the model was built from, with its type."""
        arguments: dict[str, Any] = dict(self._hub_mixin_config or {})  # type: ignore[arg-type]
        if 'lmm' not in arguments:
            raise HubFolderError(
                "the config of this model's LMM holds more than numbers, names and lists (a processor?), so that it "
                'cannot be written: build the model from names'
            )
        if self.lmm.heads is not None:
            arguments['lmm'] = {**arguments['lmm'], 'heads': list(self.lmm.heads)}
        return {'type': type(self).__name__, **arguments}

    def trained_on(self) -> dict[str, str]:
        """Name, fingerprint and, where the Hub gave it, revision of the LMM; ``provenance``."""
        known = dict(name=self.lmm.name, fingerprint=self.lmm.fingerprint())
        revision = {} if self.lmm.revision is None else {'revision': self.lmm.revision}
        return {**known, **revision, **self.provenance}

    def generate_model_card(self, *args: Any, **about: Any) -> ModelCard:
        """The model card; ``about``: fields of :class:`TrainedModel`."""
        return ModelCard(write_card(self.portable_config(), self.trained_on(), TrainedModel(**about)))
