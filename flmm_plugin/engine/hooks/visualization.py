"""Pictures of what was grounded, drawn while validating and testing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
    opens a window for ``wait_time`` seconds; with neither, the visualizer's backends get the pictures. Those of a
    validation always go there, under the sample's name and the iteration, so that they can be compared over time.

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

    def before_val_epoch(self, runner: Runner) -> None:
        self._seen = 0

    def before_test_epoch(self, runner: Runner) -> None:
        self._seen = 0
        self._collected = []

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[BaseDataElement]
    ) -> None:
        for image, sample in self._chosen(data_batch, outputs):
            name = f'val_{file_name(sample)}'
            self.visualizer.add_datasample(
                name, to_rgb(image), sample, show=self.show, wait_time=self.wait_time, step=runner.iter
            )

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[BaseDataElement]
    ) -> None:
        for image, sample in self._chosen(data_batch, outputs):
            self._draw(runner, to_rgb(image), sample)

    def _chosen(self, data_batch: dict, outputs: Sequence[BaseDataElement]) -> Iterator[tuple[Tensor, BaseDataElement]]:
        """Every ``interval``-th sample since the epoch began, with its image."""
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            if self.draw and self._seen % self.interval == 0:
                yield image, sample
            self._seen += 1

    def _draw(self, runner: Runner, image: np.ndarray, sample: BaseDataElement) -> None:
        name = file_name(sample)
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


def file_name(sample: BaseDataElement) -> str:
    """The sample's id as a name for files."""
    return re.sub(r'\W+', '_', sample.sample_id)


def to_rgb(image: Tensor) -> np.ndarray:
    """(3, H, W) uint8 RGB tensor -> (H, W, 3) array."""
    return image.permute(1, 2, 0).cpu().numpy()
