"""Pictures of extreme shape: a right result or one clear error, for every adapter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flmm_plugin.models.lmms.shapes import ShapeError, preprocess_shape
from flmm_plugin.registry import MODELS
from flmm_plugin.structures import Region
from tests.tiny_flmm import random_image, random_sample, tiny_flmm
from tests.tiny_lmms import FAMILIES

SHAPES = [(2, 2), (2, 400), (400, 2), (4, 400), (10, 1000), (2, 3000), (3000, 3), (7, 5)]


@pytest.fixture(scope='module', params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    save, adapter = FAMILIES[request.param]
    folder: Path = save(tmp_path_factory.mktemp(request.param))
    torch.manual_seed(0)
    return MODELS.build(tiny_flmm(folder, adapter)).eval()


@pytest.mark.parametrize('shape', SHAPES)
def test_extreme_shapes(model, shape: tuple[int, int]) -> None:
    image, sample = random_image(*shape), random_sample(*shape, ['the dog', 'sky'])
    try:
        (found,) = model.predict([image], [sample])
    except ShapeError as error:
        assert max(shape) >= 8 * min(shape), 'an ordinary picture is refused'
        assert f'{shape[1]} x {shape[0]}' in str(error) and 'crop it' in str(error)
        return
    assert found.pred_instances.masks.shape == (2, *shape)
    assert found.pred_instances.scores.isfinite().all()
    losses = model.loss([image], [sample])
    assert all(value.isfinite() for value in losses.values())


def test_a_thin_region_keeps_the_row_that_shows_it() -> None:
    maps = torch.arange(24).view(24, 1).expand(24, 24)
    assert Region(167, 0, 1, 336, 336, 336).crop(maps).tolist() == [[11] * 24]
    assert Region(335, 0, 1, 336, 336, 336).crop(maps).tolist() == [[23] * 24]


def test_a_single_pixel():
    def fails(image: torch.Tensor) -> None:
        raise ZeroDivisionError('no slope')

    with pytest.raises(ShapeError, match='single pixel'):
        preprocess_shape(fails, torch.zeros(3, 1, 1, dtype=torch.uint8))
