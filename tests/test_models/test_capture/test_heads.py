"""Keeping some attention heads: the maps kept are those of all, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.runner import load_checkpoint, save_checkpoint

from flmm_plugin.errors import UserError
from flmm_plugin.models.capture.heads import heads_by_layer, write_heads
from flmm_plugin.models.lmms import FrozenLMM
from flmm_plugin.registry import MODELS
from flmm_plugin.structures import Segment
from tests.tiny_flmm import four_samples, random_image, tiny_flmm
from tests.tiny_lmms import FAMILIES

SEGMENTS = [Segment('there is'), Segment('the dog', 0), Segment('and two', -1), Segment('dogs', 1)]


def build_lmm(lmm_dirs: dict[str, Path], family: str, heads: object = None) -> FrozenLMM:
    return MODELS.build(dict(type=FAMILIES[family][1], pretrained=str(lmm_dirs[family]), dtype='float32', heads=heads))


@pytest.mark.parametrize('family', sorted(FAMILIES))
@pytest.mark.parametrize('picked', [[5, 0, 2], [3]])
def test_maps_are_the_same_channels_of_all_maps(lmm_dirs: dict[str, Path], family: str, picked: list[int]) -> None:
    """Layers with some of their heads, and a layer with none."""
    every, some = build_lmm(lmm_dirs, family), build_lmm(lmm_dirs, family, picked)
    inputs = every.prepare(random_image(40, 60), 'describe', SEGMENTS)
    (whole,), (kept,) = every([inputs]), some([inputs])
    grids = whole.attention_maps.unflatten(1, (every.num_grids, -1))
    assert kept.attention_maps.shape[1] == some.num_maps == len(picked) * some.num_grids
    expected = grids[:, :, sorted(picked)].flatten(1, 2)
    torch.testing.assert_close(kept.attention_maps, expected, atol=1e-7, rtol=0)  # resizing rounds by channel count
    assert torch.equal(kept.hidden_states, whole.hidden_states)


def test_heads_by_layer() -> None:
    chosen = heads_by_layer([1, 6, 7], num_layers=3, num_heads=3)
    assert {layer: heads.tolist() for layer, heads in chosen.items()} == {0: [1], 1: [], 2: [0, 1]}


def build(lmm_dirs: dict[str, Path], heads: object) -> torch.nn.Module:
    return MODELS.build(
        tiny_flmm(lmm_dirs['llava'], lmm=dict(type='LlavaLMM', pretrained=str(lmm_dirs['llava']), heads=heads))
    )


def test_model_trains_on_a_file_of_heads(lmm_dirs: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / 'heads.json'
    write_heads(path, dict(heads=[6, 1], fingerprint=build_lmm(lmm_dirs, 'llava').fingerprint()))
    model = build(lmm_dirs, str(path))
    assert model.mask_head.encoder[0][0].convs[0].conv.in_channels == 2
    losses = model(*four_samples(), mode='loss')
    assert torch.isfinite(losses['sam_loss_mask'])
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), str(tmp_path / 'model.pth'))
    same = build(lmm_dirs, [1, 6])
    load_checkpoint(same, str(tmp_path / 'model.pth'), map_location='cpu', strict=True)
    assert torch.equal(same.mask_head.conv_seg.weight, model.mask_head.conv_seg.weight)


@pytest.mark.parametrize(
    'trained_on, heads, message',
    [
        ([1, 6], [1, 5], r'trained on other attention heads than lmm\.heads'),
        ([1, 6], [1, 5, 6], r'trained on other attention heads .* is \(4, 2, 3, 3\) .* \(4, 3, 3, 3\)'),
        ([1, 6], None, r'only one of the two keeps a selection of attention heads \(lmm\.heads'),
        (None, [1, 6], r'only one of the two keeps a selection of attention heads \(lmm\.heads'),
    ],
)
def test_checkpoint_of_another_selection(
    lmm_dirs: dict[str, Path], trained_on: list[int] | None, heads: list[int] | None, message: str
) -> None:
    state = build(lmm_dirs, trained_on).state_dict()
    with pytest.raises(UserError, match=message):
        build(lmm_dirs, heads).load_state_dict(state)


@pytest.mark.parametrize(
    'content, message',
    [
        (None, r'heads\.json does not exist'),
        ('{"heads": [1', r'heads\.json is not JSON'),
        ('[1, 2]', r"heads\.json has no list 'heads'"),
        ('{"heads": [1, 8]}', r'heads\.json: heads must be indices from 0 to 7 \(2 layers of 4\)'),
        ('{"heads": []}', r'heads\.json: heads must be indices'),
        ('{"heads": [2, 2]}', r'heads\.json names a head twice'),
        (
            '{"heads": [2], "fingerprint": "0", "lmm": "vicuna"}',
            r'heads\.json was made for vicuna .* tools/select_heads',
        ),
    ],
)
def test_bad_files_are_named(lmm_dirs: dict[str, Path], tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / 'heads.json'
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message):
        build_lmm(lmm_dirs, 'llava', str(path))


def test_bad_list_in_the_config(lmm_dirs: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=r'lmm\.heads: heads must be indices from 0 to 7'):
        build_lmm(lmm_dirs, 'llava', [-1])
