"""Attention maps on disk: found again by content, weights and heads, and good enough to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from flmm_plugin.models.flmm import FLMM
from flmm_plugin.models.lmms import FrozenLMM
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import four_samples, tiny_flmm


def build(lmm_dir: Path, folder: Path | None, family: str = 'LlavaLMM', **lmm: Any) -> FLMM:
    torch.manual_seed(0)
    options = dict(type=family, pretrained=str(lmm_dir), map_folder=folder and str(folder), **lmm)
    return MODELS.build(tiny_flmm(lmm_dir, lmm=options)).train()


def count_read(lmm: FrozenLMM) -> list[int]:
    """The sizes of the batches that the LMM reads from here on."""
    calls: list[int] = []
    forward = lmm.read_batch

    def counted(samples: Any, *args: Any) -> Any:
        calls.append(len(samples))
        return forward(samples, *args)

    lmm.read_batch = counted  # type: ignore[method-assign]
    return calls


@pytest.mark.parametrize('kind, family', [('llava', 'LlavaLMM'), ('llava_next', 'LlavaNextLMM')])
def test_maps_outlive_the_model(lmm_dirs: dict[str, Path], tmp_path: Path, kind: str, family: str) -> None:
    images, samples = four_samples()
    plain = build(lmm_dirs[kind], None, family)
    expected = plain.lmm(plain.prepare(images, samples))
    first = build(lmm_dirs[kind], tmp_path, family)
    written = first.lmm(first.prepare(images[:3], samples[:3]))
    assert len(list(tmp_path.iterdir())) == 3
    model = build(lmm_dirs[kind], tmp_path, family)
    calls = count_read(model.lmm)
    again = model.lmm(model.prepare(images, samples))
    assert calls == [1]
    for exact, one in zip(expected, again, strict=True):
        largest = exact.attention_maps.amax(dim=(-2, -1), keepdim=True)
        assert ((one.attention_maps - exact.attention_maps).abs() <= largest * 2**-11).all()
        torch.testing.assert_close(one.hidden_states, exact.hidden_states, atol=1e-3, rtol=1e-3)
        assert torch.equal(one.phrase_ids, exact.phrase_ids)
    for one, other in zip(written, again[:3], strict=True):
        assert torch.equal(one.attention_maps, other.attention_maps)
        assert torch.equal(one.hidden_states, other.hidden_states)


def test_losses_are_those_without(lmm_dirs: dict[str, Path], tmp_path: Path) -> None:
    losses = []
    for folder in (None, tmp_path, tmp_path):
        found = build(lmm_dirs['llava'], folder)(*four_samples(), mode='loss')
        losses.append({name: value.detach() for name, value in found.items() if 'loss' in name})
    plain, first, second = losses
    torch.testing.assert_close(first, plain, atol=1e-3, rtol=0)
    torch.testing.assert_close(second, first, atol=0, rtol=0)


def test_exact_maps(lmm_dirs: dict[str, Path], tmp_path: Path) -> None:
    images, samples = four_samples()
    plain = build(lmm_dirs['llava'], None)
    expected = plain.lmm(plain.prepare(images, samples))
    rounded = build(lmm_dirs['llava'], tmp_path)
    rounded.lmm(rounded.prepare(images, samples))  # its files are of no use to the other
    for _ in range(2):
        model = build(lmm_dirs['llava'], tmp_path, exact_maps=True)
        found = model.lmm(model.prepare(images, samples))
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one.attention_maps, other.attention_maps)
            assert torch.equal(one.hidden_states, other.hidden_states)


def test_what_changes_the_maps_is_read_anew(lmm_dirs: dict[str, Path], tmp_path: Path) -> None:
    """Another text, other heads, other weights of the vision tower; a file that is cut off."""
    images, samples = four_samples()
    images, samples = images[:1], samples[:1]

    def reads(model: FLMM) -> int:
        calls = count_read(model.lmm)
        model.lmm(model.prepare(images, samples))
        return sum(calls)

    assert [reads(build(lmm_dirs['llava'], tmp_path)) for _ in range(2)] == [1, 0]
    assert reads(build(lmm_dirs['llava'], tmp_path, heads=[0, 1])) == 1
    other = build(lmm_dirs['llava'], tmp_path)
    with torch.no_grad():
        next(other.lmm.model.parameters()).add_(1)
    assert reads(other) == 1
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:-10])
    assert [reads(build(lmm_dirs['llava'], tmp_path)) for _ in range(2)] == [1, 0]
    samples[0].set_metainfo(dict(prompt='what is it'))
    assert reads(build(lmm_dirs['llava'], tmp_path)) == 1


@pytest.mark.parametrize('exact', [False, True])
def test_size_is_known_before(lmm_dirs: dict[str, Path], tmp_path: Path, exact: bool) -> None:
    images, samples = four_samples()
    model = build(lmm_dirs['llava'], tmp_path, exact_maps=exact)
    prepared = model.prepare(images, samples)
    model.lmm(prepared)
    foreseen = sum(model.lmm.map_cache.sample_bytes(sample) for sample in prepared)
    written = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert foreseen < written < foreseen + 4 * 600  # each file has a header
