"""Pictures of what was grounded, drawn while validating and testing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer
from torch import Tensor

from flmm_plugin.registry import HOOKS


@HOOKS.register_module()
class GroundingVisualizationHook(Hook):
    """Draw every ``interval``-th sample as a sheet: image, attention, coarse, refined, truth, a row for each phrase.

    MMDetection's arguments, so that ``--show`` and ``--show-dir`` mean what they mean there: ``draw`` turns it on;
    ``test_out_dir`` is a folder for the sheets (inside the run's time-stamped folder unless it is absolute); ``show``
    opens a window for ``wait_time`` seconds; with neither, the visualizer's backends get the pictures.

    After a test the first ``sheet_samples`` drawn samples, ``sheet_phrases`` rows each, make ``contact_sheet.png``.
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int = 50,
        show: bool = False,
        wait_time: float = 0.0,
        test_out_dir: str | None = None,
        sheet_samples: int = 8,
        sheet_phrases: int = 2,
    ) -> None:
        self.draw = draw
        self.interval = interval
        self.show = show
        self.wait_time = wait_time
        self.test_out_dir = test_out_dir
        self.sheet_samples = sheet_samples
        self.sheet_phrases = sheet_phrases
        self._seen = 0
        self._collected: list[tuple[np.ndarray, BaseDataElement]] = []

    @property
    def visualizer(self) -> Any:
        return Visualizer.get_current_instance()

    def before_test_epoch(self, runner: Runner) -> None:
        self._seen = 0
        self._collected = []

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[BaseDataElement]
    ) -> None:
        step = runner.iter + batch_idx
        if self.draw and step % self.interval == 0:
            image = to_rgb(data_batch['inputs'][0])
            self.visualizer.add_datasample('val_img', image, outputs[0], show=self.show, step=step)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[BaseDataElement]
    ) -> None:
        if not self.draw:
            return
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            if self._seen % self.interval == 0:
                self._draw(runner, to_rgb(image), sample)
            self._seen += 1

    def _draw(self, runner: Runner, image: np.ndarray, sample: BaseDataElement) -> None:
        name = re.sub(r'\W+', '_', sample.sample_id)
        folder = self._folder(runner)
        self.visualizer.add_datasample(
            name if self.show else 'test_img',
            image,
            sample,
            show=self.show,
            wait_time=self.wait_time,
            out_file=None if folder is None else str(folder / f'{name}.png'),
            step=self._seen,
        )
        if len(self._collected) < self.sheet_samples:
            self._collected.append((image, sample.cpu()))

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        folder = self._folder(runner)
        if not self._collected or folder is None:
            return
        path = folder / 'contact_sheet.png'
        sheet = self.visualizer.contact_sheet(self._collected, self.sheet_phrases)
        cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        runner.logger.info(
            f'pictures of {self._seen} samples, every {self.interval}th drawn: {folder}, overview: {path}'
        )
        self._collected = []

    def _folder(self, runner: Runner) -> Path | None:
        if self.test_out_dir is None:
            return None
        folder = Path(runner.work_dir) / runner.timestamp / self.test_out_dir
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def to_rgb(image: Tensor) -> np.ndarray:
    """(3, H, W) uint8 RGB tensor -> (H, W, 3) array."""
    return image.permute(1, 2, 0).cpu().numpy()
