"""One call: an image and a question in, an answer with masks out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from flmm_plugin.apis.phrases import split_phrases
from flmm_plugin.engine.config import existing_checkpoint
from flmm_plugin.registry import MODELS

ImageLike = str | Path | NDArray[np.uint8] | Image.Image


@dataclass(frozen=True)
class GroundedPhrase:
    """``text`` is ``answer[start:end]``; ``mask`` (H, W) bool at image size; ``score`` the mask's predicted IoU."""

    text: str
    start: int
    end: int
    mask: NDArray[np.bool_]
    score: float


@dataclass(frozen=True)
class GroundedAnswer:
    """The LMM's own answer and the phrases of it that were grounded; ``data_sample`` is what visualizers draw."""

    answer: str
    phrases: list[GroundedPhrase]
    data_sample: BaseDataElement


class FLMMInferencer:
    """Ask a frozen LMM about an image and see where the things it names are.

    Args:
        config: a config file or a :class:`Config`.
        checkpoint: what ``tools/train.py`` wrote.
        device: a torch device; the GPU where there is one by default.
    """

    def __init__(self, config: str | Path | Config, checkpoint: str | Path, device: str | None = None) -> None:
        path = existing_checkpoint(str(checkpoint))
        config = config if isinstance(config, Config) else Config.fromfile(config)
        init_default_scope(config.get('default_scope', 'flmm_plugin'))
        self.device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
        self.model = MODELS.build(config.model)
        load_checkpoint(self.model, path, map_location='cpu')
        self.model.to(self.device).eval()

    @torch.inference_mode()
    def __call__(self, image: ImageLike, question: str, max_new_tokens: int = 128) -> GroundedAnswer:
        """Answer ``question`` greedily and ground the noun phrases of the answer.

        Args:
            image: a path, an RGB array (H, W, 3) uint8 or a PIL image.
        """
        pixels = read_image(image)
        _, answer = self.model.lmm.generate(pixels, question, max_new_tokens)
        segments, spans = split_phrases(answer)
        sample = BaseDataElement(metainfo=dict(prompt=question, segments=segments))
        if not spans:
            return GroundedAnswer(answer, [], sample)
        (sample,) = self.model([pixels], [sample], mode='predict')
        found = sample.pred_instances
        phrases = [
            GroundedPhrase(answer[start:end], start, end, mask.cpu().numpy(), float(score))
            for (start, end), mask, score in zip(spans, found.masks, found.scores, strict=True)
        ]
        return GroundedAnswer(answer, phrases, sample)


def read_image(image: ImageLike) -> Tensor:
    """A uint8 RGB tensor (3, H, W); the orientation that a photo's EXIF data asks for is applied."""
    if isinstance(image, (str, Path)):
        with Image.open(image) as file:
            return read_image(ImageOps.exif_transpose(file).convert('RGB'))
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert('RGB'))
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'an image array must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}')
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)  # a copy: PIL's arrays are read-only
