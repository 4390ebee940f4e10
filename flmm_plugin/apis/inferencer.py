"""One call: an image and a question, or phrases, in; an answer with masks out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from mmengine.config import Config
from mmengine.logging import print_log

from flmm_plugin.apis.annotated import Annotated, annotate, in_batches, to_pictures
from flmm_plugin.apis.cache_budget import MAX_CACHE_BYTES, CacheBudget
from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.grounding import MIN_ATTENTION, MIN_SCORE, Grounder
from flmm_plugin.apis.head_choice import settle_heads
from flmm_plugin.apis.images import MAX_PIXELS, ImageLike, read_image
from flmm_plugin.apis.loading import load_model
from flmm_plugin.apis.phrases import PhraseExtractor, default_extractor
from flmm_plugin.apis.presence import use_presence
from flmm_plugin.apis.results import GroundedAnswer
from flmm_plugin.apis.together import ask_together, ground_together
from flmm_plugin.apis.untrained import untrained_config
from flmm_plugin.datasets.base import PROMPT
from flmm_plugin.errors import UserError
from flmm_plugin.models.presence.rules import Wanted
from flmm_plugin.models.weights.hub_folder import HubFolder
from flmm_plugin.models.weights.untrained import describe, is_trained
from flmm_plugin.registry import TASK_UTILS

MODES = ('chat', 'phrases', 'caption')
BATCH_SIZE = 8


class FLMMInferencer:
    """Ask a frozen LMM about an image and see where the things it names are.

    Args:
        config: a config file or a :class:`Config`; without one ``lmm`` and ``sam``, and nothing trained takes part.
        checkpoint: what ``tools/train.py`` wrote; None for a model with nothing to train (:class:`AttentionMaskHead`).
        device: a torch device; the GPU where there is one by default.
        lmm, sam: name or folder of the LMM and file, folder or name of the segmenter, see :func:`untrained_config`.
        heads: the heads that point, see :class:`FrozenLMM`; else known or chosen ones, see :func:`settle_heads`.
        pictures: to choose heads by on first use: what :func:`find_pictures` finds, or images, or pairs of an image and
            its caption or list of phrases.
        dtype: torch dtype of the LMM by name; by default the config's, or bfloat16 on a GPU where it names none.
        load_in_4bit, load_in_8bit: quantise the LMM with bitsandbytes while it is loaded.
        extractor: a phrase extractor or its config; spaCy's noun chunks where installed, else rules.
        min_score, min_attention: below them a phrase is reported as not grounded, see :class:`GroundedPhrase`.
        min_presence: likewise, for checkpoints with a presence rule; ``dict(precision=P)`` takes the least presence at
            which the share P of what was grounded was there, as cross-validation found.
        ask_presence: ask the LMM whether each thing is there, for a surer ``presence``; a short pass for each phrase.
        instances: tell the things of a phrase apart ("two red stars"): :attr:`GroundedPhrase.instances`.
        caption_prompt: what mode ``'caption'`` asks; by default what the config's narratives answer.
        max_pixels: larger images are refused.
        max_cache_bytes: what the conversations may keep of keys and values together; the one that was used the longest
            ago reads its image again when it goes on. By default the config's ``max_cache_bytes``, or 8 GiB.
    """

    def __init__(
        self,
        config: str | Path | Config | None = None,
        checkpoint: str | Path | None = None,
        device: str | None = None,
        *,
        lmm: str | Path | None = None,
        sam: str | Path | None = None,
        heads: str | Path | Sequence[int] | None = None,
        pictures: Iterable[Any] | str | Path | None = None,
        dtype: str | None = None,
        load_in_4bit: bool = False,
        load_in_8bit: bool = False,
        extractor: PhraseExtractor | Mapping[str, Any] | None = None,
        min_score: float = MIN_SCORE,
        min_attention: float = MIN_ATTENTION,
        min_presence: Wanted = None,
        ask_presence: bool = False,
        instances: bool = False,
        caption_prompt: str | None = None,
        max_pixels: int = MAX_PIXELS,
        max_cache_bytes: int | None = None,
    ) -> None:
        named = config is None
        if config is None:
            settings = untrained_config(lmm, sam, heads)
        elif not (lmm is sam is heads is pictures is None):
            raise UserError('lmm, sam, heads and pictures are for a model without a config: the config names its own')
        else:
            settings = config if isinstance(config, Config) else Config.fromfile(config)
        self.device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        self.model = load_model(
            settings,
            checkpoint,
            self.device,
            dtype=dtype,
            load_in_4bit=load_in_4bit,
            load_in_8bit=load_in_8bit,
        )
        trained = checkpoint if is_trained(settings.model) else None
        use_presence(self.model, trained, min_presence, ask_presence)
        if not isinstance(extractor, PhraseExtractor):
            built: PhraseExtractor = TASK_UTILS.build(dict(extractor or default_extractor()))
        else:
            built = extractor
        caches = CacheBudget(max_cache_bytes or settings.get('max_cache_bytes', MAX_CACHE_BYTES))
        self.grounder = Grounder(
            self.model, built, min_score, min_attention, caches=caches, min_presence=min_presence, instances=instances
        )
        self.caption_prompt = caption_prompt or settings.get('png_prompt', PROMPT)
        self.max_pixels = max_pixels
        if named and heads is None:
            print_log(settle_heads(self.grounder, pictures, self.caption_prompt), logger='current')
        if not is_trained(settings.model):
            print_log(describe(self.model), logger='current')

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        device: str | None = None,
        *,
        lmm: Mapping[str, Any] | None = None,
        refiner: Mapping[str, Any] | None = None,
        download: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> FLMMInferencer:
        """The inferencer of a model that :meth:`FLMM.save_pretrained` or ``tools/export.py`` wrote.

        Args:
            name: its folder, its name on the Hub, or ``flmm_plugin::tiny_flmm``, which ships with the package.
            lmm, refiner: changes to these parts' configs, see :meth:`FLMM.from_pretrained`.
            download: ``revision``, ``token`` and the like.
            options: further arguments of the constructor.
        """
        folder = HubFolder.fetch(name, **(download or {}))
        model = folder.model_config(lmm=lmm, refiner=refiner)
        # Losses are of no use here, and are mmdet's, which an engineer need not have.
        model = {part: value for part, value in model.items() if not part.startswith('loss_')}
        return cls(Config({**folder.settings, 'model': model}), folder.weights, device, **options)

    @overload
    def __call__(self, image: ImageLike, question: Any = ..., **kwargs: Any) -> GroundedAnswer: ...

    @overload
    def __call__(self, image: Sequence[ImageLike], question: Any = ..., **kwargs: Any) -> list[GroundedAnswer]: ...

    def __call__(self, image, question=None, *, phrases=None, mode=None, batch_size=BATCH_SIZE, **generation):
        """Answer and ground, or ground what is given.

        Args:
            image: a path, bytes, an array, a PIL image, ... (:func:`read_image`); a list gives a list of results.
            question: for mode ``'chat'``; for mode ``'phrases'`` the question that the phrases answer. One for all
                images or one for each.
            phrases: expressions to be grounded, each by itself; a list of lists for a list of images.
            mode: ``'chat'``, ``'phrases'`` or ``'caption'``; by default what the other arguments make sense for.
            batch_size: how many images of a list are answered and grounded together.
            generation: see :meth:`Conversation.ask`.
        """
        mode = mode or ('phrases' if phrases is not None else 'chat' if question is not None else 'caption')
        if mode not in MODES:
            raise UserError(f'mode must be one of {MODES}, got {mode!r}')
        if mode == 'caption' or (mode == 'phrases' and question is None):
            question = self.caption_prompt
        if not isinstance(image, (list, tuple)):
            return self._together([image], [question], [phrases], mode, generation)[0]
        questions, expressions = for_each(question, len(image), str), for_each(phrases, len(image), str, list)
        results: list[GroundedAnswer] = []
        for batch in in_batches(zip(image, questions, expressions, strict=True), batch_size):
            images, asked, given = zip(*batch, strict=True)
            results += self._together(images, asked, given, mode, generation)
        return results

    def _together(
        self, images: Sequence[Any], questions: Sequence, phrases: Sequence, mode: str, generation: dict[str, Any]
    ) -> list[GroundedAnswer]:
        pixels = [read_image(image, self.max_pixels) for image in images]
        if mode == 'phrases':
            return ground_together(self.grounder, pixels, questions, phrases)
        return ask_together(self.grounder, pixels, questions, generation)

    def annotate(
        self,
        images: Iterable[ImageLike] | str | Path,
        question: str | None = None,
        *,
        phrases: Sequence[str] | None = None,
        batch_size: int = BATCH_SIZE,
        **generation: Any,
    ) -> Iterator[Annotated]:
        """Results of any number of images, in order, as they are made; a bad image gives one with an ``error``.

        Args:
            images: paths are their own names, other images are called by their number; or what :func:`find_pictures`
                finds.
            question: what is asked of each; what mode ``'caption'`` asks by default.
            phrases: expressions to be grounded in each image, in place of an answer.
            batch_size, generation: see :meth:`__call__`.
        """
        batches = in_batches(to_pictures(images, question or self.caption_prompt, phrases), batch_size)
        for results in annotate(self.grounder, batches, max_pixels=self.max_pixels, generation=generation):
            yield from results

    def converse(self, image: ImageLike) -> Conversation:
        """Begin a conversation about an image."""
        return Conversation(self.grounder, read_image(image, self.max_pixels))


def for_each(value: Any, count: int, *single: type) -> list[Any]:
    """One value an image: the same for all unless it is a list with one for each."""
    whole = value is None or isinstance(value, str) or (list in single and all(isinstance(v, str) for v in value))
    values = [value] * count if whole else list(value)
    if len(values) != count:
        raise UserError(f'{count} images but {len(values)} questions or lists of phrases')
    return values
