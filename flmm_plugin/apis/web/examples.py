"""Pictures for visitors who have none at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from flmm_plugin.apis.images import read_image
from flmm_plugin.datasets.scenes import render, sample_scene

SEEDS = (3, 11, 29)


def draw_examples(folder: Path) -> list[Path]:
    """Three scenes, drawn on the spot, as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f'scene_{seed}.png' for seed in SEEDS]
    for seed, path in zip(SEEDS, paths, strict=True):
        Image.fromarray(render(sample_scene(np.random.default_rng(seed)))[0]).save(path)
    return paths


def example_files(examples: Sequence[str | Path] | None, folder: Path) -> list[Path]:
    """The given pictures, or three that are drawn into ``folder``.

    Raises:
        ImageError: one of them is not a picture.
    """
    if examples is None:
        return draw_examples(folder)
    for path in examples:
        read_image(path)
    return [Path(path).resolve() for path in examples]
