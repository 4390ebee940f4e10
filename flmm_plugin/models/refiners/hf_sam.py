"""The segment-anything models of transformers as refiners: SAM 2.1, SAM-HQ, EdgeTAM, SAM 3's tracker, SAM.

Shape shorthand: B images, P phrases, N prompts and M masks of one, D prompt width, S input side, (H, W) image size,
(h, w) size of the features that prompts are added to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
import transformers
from torch import Tensor
from transformers import AutoImageProcessor, PretrainedConfig

from flmm_plugin.assets import resolve
from flmm_plugin.errors import UserError, loading
from flmm_plugin.models.caches.feature_cache import FeatureCache, Features
from flmm_plugin.models.refiners.base import PROMPTS, PromptedRefiner
from flmm_plugin.models.refiners.hf_families import SAM, SAM2, SAMHQ, Family
from flmm_plugin.models.refiners.resizing import Size, fit_longest_side
from flmm_plugin.registry import MODELS
from flmm_plugin.structures import size_of

#: By the model type of a config: class of transformers, how it is handled, and the first release that has it. Hub
#: folders of SAM 2, EdgeTAM and SAM 3 are of the video model, which holds the one for images.
KINDS: dict[str, tuple[str, type[Family], str]] = {
    'sam': ('SamModel', SAM, '4.29'),
    'sam_hq': ('SamHQModel', SAMHQ, '4.52'),
    'sam2': ('Sam2Model', SAM2, '4.56'),
    'sam2_video': ('Sam2Model', SAM2, '4.56'),
    'edgetam': ('EdgeTamModel', SAM2, '4.57'),
    'edgetam_video': ('EdgeTamModel', SAM2, '4.57'),
    'sam3_tracker': ('Sam3TrackerModel', SAM2, '5.0'),
    'sam3_tracker_video': ('Sam3TrackerModel', SAM2, '5.0'),
    'sam3_video': ('Sam3TrackerModel', SAM2, '5.0'),
}
#: Phrases that are decoded in one call: their fine maps take 8 MB each at SAM 2's size.
AT_ONCE = 16


@MODELS.register_module()
class HFSAMRefiner(PromptedRefiner):
    """A segment-anything model of transformers; prompt encoder and mask decoder are trained, all else is frozen.

    Args:
        pretrained: a name of the Hub, a folder written by ``save_pretrained`` of model and image processor, or
            ``flmm_plugin::NAME``.
        prompts, cache_size, feature_folder, exact_features, multimask_output, levels: see :class:`SAMRefiner`.

    Raises:
        UserError: there is no such model, it is no segment-anything, or this release of transformers lacks its class.
    """

    def __init__(
        self,
        *,
        pretrained: str,
        prompts: Sequence[str] = PROMPTS,
        cache_size: int = 4,
        feature_folder: str | None = None,
        exact_features: bool = False,
        multimask_output: bool = False,
        levels: Sequence[float] = (0.0,),
    ) -> None:
        path = resolve(pretrained)
        name, family = choose_kind(path, pretrained)
        with loading(f'refiner.pretrained: {pretrained}'):
            model = getattr(transformers, name).from_pretrained(path, attn_implementation='sdpa')
            processor = AutoImageProcessor.from_pretrained(path, trust_remote_code=False)
        handled = family(model)
        cache = FeatureCache(cache_size, feature_folder, exact_features)
        super().__init__(model, handled.encoder, prompts, cache, multimask_output, levels)
        self.family = handled
        self.processor = processor
        encoder = model.prompt_encoder
        self.side = encoder.input_image_size
        self.mask_size = tuple(4 * length for length in encoder.image_embedding_size)
        self.embed_dim = encoder.hidden_size

    @property
    def num_values(self) -> int:
        with torch.no_grad():
            maps = self.encode([torch.zeros(3, self.side, self.side, dtype=torch.uint8)])
        return sum(one.numel() for one in maps)

    def input_size(self, image: Tensor) -> Size:
        return (self.side, self.side) if self.family.squashes else fit_longest_side(size_of(image), self.side)

    def preprocess(self, images: Sequence[Tensor]) -> Tensor:
        """(B, 3, S, S) fp32 of uint8 images (3, H, W), by the model's own image processor."""
        read = self.processor(list(images), return_tensors='pt', input_data_format='channels_first')
        return read['pixel_values'].to(self.model.device, non_blocking=True)

    def encode(self, images: Sequence[Tensor]) -> Features:
        return self.family.encode(self.preprocess(images))

    def embed(
        self, boxes: Tensor | None, masks: Tensor | None, points: tuple[Tensor, Tensor] | None, count: int
    ) -> tuple[Tensor, Tensor]:
        return self.family.embed(boxes, masks, points, count)

    def decode(
        self, features: Sequence[Features], dense: Tensor, prompts: Sequence[Tensor], part: Size | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits (P, M, 4h, 4w) and predicted IoU (P, M); phrases with equally many prompts are decoded together."""
        groups: dict[int, list[int]] = defaultdict(list)
        for phrase, own in enumerate(prompts):
            groups[len(own)].append(phrase)
        if not groups:
            return dense.new_zeros(0, 1, *self.mask_size), dense.new_zeros(0, 1)
        order: list[int] = []
        decoded: tuple[list[Tensor], list[Tensor]] = ([], [])
        for members in groups.values():
            for start in range(0, len(members), AT_ONCE):
                chosen = members[start : start + AT_ONCE]
                order += chosen
                maps = tuple(torch.cat(level) for level in zip(*(features[i] for i in chosen), strict=True))
                sparse = torch.stack([prompts[i] for i in chosen])
                results = self.family.decode(maps, dense[chosen], sparse, self.multimask_output)
                for kept, result in zip(decoded, results, strict=True):
                    kept.append(result)
        back = torch.tensor(order, dtype=torch.int64).argsort().to(dense.device, non_blocking=True)
        logits, scores = (torch.cat(kept)[back] for kept in decoded)
        return logits, scores


def choose_kind(path: str, name: str) -> tuple[str, type[Family]]:
    """Class of transformers and its family for a folder or a name of the Hub."""
    try:
        kind = PretrainedConfig.get_config_dict(path)[0].get('model_type')
    except (OSError, ValueError) as error:
        raise UserError(
            f'refiner.pretrained: there is no segment-anything model {name} on disk or to be had from the Hub: '
            f'{str(error).splitlines()[0]}'
        ) from error
    if kind not in KINDS:
        raise UserError(f'refiner.pretrained: {name} is of type {kind!r}; HFSAMRefiner takes {", ".join(KINDS)}')
    class_name, family, release = KINDS[kind]
    if not hasattr(transformers, class_name):
        raise UserError(
            f'refiner.pretrained: {name} needs transformers {release} or later ({class_name}); this is '
            f'{transformers.__version__}'
        )
    return class_name, family
