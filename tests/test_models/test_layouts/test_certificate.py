"""The certificate passes what is measured and refuses every layout that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from flmm_plugin.models.layouts import certificate
from flmm_plugin.models.layouts.certificate import certifiable_sizes, certify_layout, examine
from flmm_plugin.models.layouts.errors import LayoutError
from flmm_plugin.models.layouts.layout import Layout
from flmm_plugin.models.layouts.ramp import Shown, measure
from flmm_plugin.models.layouts.tiles import Tile, square_tiles
from flmm_plugin.models.lmms import AutoLMM
from tests.auto_families import FAMILIES, MORE_FAMILIES, SHIPPED
from tests.tiny_llava import save_tiny_llava

WRONG: dict[str, Callable[[Tensor], Tensor]] = {
    'transposed': lambda tokens: tokens.T.reshape(tokens.shape),
    'shifted': lambda tokens: tokens.roll(1, 0),
    'mirrored': lambda tokens: tokens.flip(1),
}


@pytest.fixture(scope='module', params=sorted(FAMILIES))
def lmm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AutoLMM:
    return AutoLMM(str(FAMILIES[request.param](tmp_path_factory.mktemp(request.param))), certify=False)


def test_measured_layout_passes(lmm: AutoLMM):
    for verdict in certify_layout(lmm):
        assert verdict.exact and not verdict.wrong and verdict.cells


@pytest.mark.parametrize('name', sorted(MORE_FAMILIES))
def test_pictures_of_every_shape(name: str, tmp_path: Path):
    lmm = AutoLMM(str(MORE_FAMILIES[name](tmp_path)), certify=False)
    for size in ((96, 500), (500, 96), (64, 64), (420, 600)):
        verdict = examine(lmm, size)
        assert verdict.exact and not verdict.wrong and verdict.cells


@pytest.mark.parametrize('fault', [*WRONG, 'thumbnail first'])
def test_wrong_layout_is_refused(lmm: AutoLMM, fault: str, monkeypatch: pytest.MonkeyPatch):
    size = certifiable_sizes(lmm)[0]
    right = lmm.layout(size)
    if fault == 'thumbnail first' and len(right.grids) == 1:
        pytest.skip('one grid')
    monkeypatch.setitem(lmm._layouts, size, spoilt(right, fault))
    assert examine(lmm, size).wrong
    with pytest.raises(LayoutError, match=r'row \d+ column'):
        certify_layout(lmm, [size])


def spoilt(layout: Layout, fault: str) -> Layout:
    if fault in WRONG:
        return Layout(tuple(replace(grid, tokens=WRONG[fault](grid.tokens)) for grid in layout.grids))
    # The overview's tokens are taken from the other end of the image's tokens.
    coarse, fine = layout.grids
    first = int(coarse.tokens.min()) == 0
    count, all_tokens = coarse.tokens.numel(), coarse.tokens.numel() + fine.tokens.numel()

    def moved(tile: Tile) -> Tile:
        return replace(tile, tokens=(tile.tokens + (-count if first else count)) % all_tokens)

    return Layout((moved(coarse), moved(fine)))


@pytest.mark.parametrize('name', SHIPPED)
def test_trained_tower_with_and_without_localising(name: str, monkeypatch: pytest.MonkeyPatch):
    lmm = AutoLMM(f'flmm_plugin::{name}', certify=False)
    (first, *_) = certify_layout(lmm)
    assert first.exact
    monkeypatch.setattr(certificate, 'localizable', lambda *_: False)
    (second, *_) = certify_layout(lmm)
    assert not second.exact and not second.wrong and second.worst < certificate.MAX_OFFSET
    size = certifiable_sizes(lmm)[0]
    lmm._layouts[size] = spoilt(lmm.layout(size), 'mirrored')
    assert examine(lmm, size).wrong


def test_rows_that_end_with_a_token():
    """Emu3's: 3 x 5 cells and a token after each row, all of one id; 3 x 6 would be cells that are not square."""
    across, down = torch.linspace(0.01, 0.99, 50).expand(1, 30, -1), torch.linspace(0.01, 0.99, 30)[None, :, None]
    (tile,) = square_tiles(Shown(across, down.expand_as(across), 50), 18)
    assert tile.tokens.tolist() == [[0, 1, 2, 3, 4], [6, 7, 8, 9, 10], [12, 13, 14, 15, 16]]


def test_class_token_that_is_kept(tmp_path: Path):
    """A LLaVA that takes all that its tower gives: the image's tokens begin with one that has no place."""
    folder = save_tiny_llava(tmp_path)
    for name in ('config.json', 'processor_config.json'):
        kept = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**kept, 'vision_feature_select_strategy': 'full'}))
    lmm = AutoLMM(str(folder), certify=False)
    (grid,) = lmm.layout((60, 80)).grids
    assert int(grid.tokens.min()) == 1
    assert all(verdict.exact and not verdict.wrong for verdict in certify_layout(lmm))


def test_processor_without_pixel_values():
    with pytest.raises(LayoutError, match='input_ids, image_patches and no pixel_values'):
        measure(lambda _: {'input_ids': torch.ones(1, 3), 'image_patches': torch.ones(1, 4)}, (20, 30))


def test_resampler_is_refused(tiny_llava_dir, monkeypatch: pytest.MonkeyPatch):
    """Tokens that all see everything, as queries of a resampler do."""
    lmm = AutoLMM(str(tiny_llava_dir), certify=False)
    projector = next(module for name, module in lmm.model.named_modules() if name.endswith('multi_modal_projector'))
    projector.register_forward_hook(lambda module, args, out: torch.tanh(out.mean(-2, keepdim=True)).expand_as(out))
    with pytest.raises(LayoutError, match='resampler'):
        certify_layout(lmm)
