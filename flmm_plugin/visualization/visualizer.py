"""mmengine's visualizer for grounded phrases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.structures import BaseDataElement, InstanceData
from mmengine.visualization import Visualizer
from torch import Tensor

from flmm_plugin.registry import VISUALIZERS
from flmm_plugin.visualization.colors import phrase_color
from flmm_plugin.visualization.overlay import Layer, draw_overlay
from flmm_plugin.visualization.sheet import Row, draw_sheet


@VISUALIZERS.register_module()
class GroundingVisualizer(Visualizer):
    """Draws predictions of :class:`~flmm_plugin.models.FLMM` as sheets, a row for each phrase.

    ``max_phrases``: at most so many rows for a sample. Other arguments are mmengine's.
    """

    def __init__(self, name: str = 'visualizer', *, max_phrases: int = 8, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.max_phrases = max_phrases

    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: BaseDataElement | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
    ) -> None:
        """Draw one sample, then show it, write it to ``out_file`` or hand it to the backends.

        ``image``: (H, W, 3) uint8 RGB. ``data_sample`` has (P, H, W) masks in ``gt_instances`` and ``pred_instances``
        and (P, h, w) ``attention_maps``; whatever is missing is left out of the picture.
        """
        rows = sample_rows(image, data_sample, self.max_phrases, draw_gt, draw_pred)
        sheet = draw_sheet(rows)
        self.set_image(sheet)
        if show:
            self.show(sheet, win_name=name, wait_time=wait_time)
        if out_file is not None:
            Path(out_file).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(out_file, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        elif not show:
            self.add_image(name, sheet, step)

    def overlay(self, image: np.ndarray, data_sample: BaseDataElement) -> np.ndarray:
        """The predicted masks of one sample on its image (H, W, 3) uint8 RGB, with outlines and names."""
        found = data_sample.pred_instances
        masks = found.masks.bool().cpu().numpy()
        names = found.get('phrases', [''] * len(masks))
        return draw_overlay(image, [Layer(mask, names[i], phrase_color(i)) for i, mask in enumerate(masks)])

    def contact_sheet(self, samples: Sequence[tuple[np.ndarray, BaseDataElement]], max_phrases: int = 2) -> np.ndarray:
        """One sheet of several samples, ``max_phrases`` rows each: (height, width, 3) uint8 RGB."""
        return draw_sheet([row for image, sample in samples for row in sample_rows(image, sample, max_phrases)])


def sample_rows(
    image: np.ndarray,
    sample: BaseDataElement | None,
    max_phrases: int,
    draw_gt: bool = True,
    draw_pred: bool = True,
) -> list[Row]:
    """The rows of one sample; a lone image where it has no phrase."""
    truth = sample.get('gt_instances') if sample is not None and draw_gt else None
    predicted = sample.get('pred_instances') if sample is not None and draw_pred else None
    phrases = next((list(part.phrases) for part in (predicted, truth) if part is not None and 'phrases' in part), [])
    if not phrases:
        return [Row(image, '', phrase_color(0))]
    attention = sample.get('attention_maps') if sample is not None and draw_pred else None
    return [
        Row(
            image=image,
            phrase=phrase,
            color=phrase_color(index),
            attention=_array(attention, index),
            coarse=_mask(predicted, 'coarse_masks', index),
            refined=_mask(predicted, 'masks', index),
            truth=_mask(truth, 'masks', index),
        )
        for index, phrase in enumerate(phrases[:max_phrases])
    ]


def _array(maps: Tensor | None, index: int) -> np.ndarray | None:
    return None if maps is None else maps[index].detach().float().cpu().numpy()


def _mask(instances: InstanceData | None, field: str, index: int) -> np.ndarray | None:
    if instances is None or field not in instances:
        return None
    return instances[field][index].bool().cpu().numpy()
