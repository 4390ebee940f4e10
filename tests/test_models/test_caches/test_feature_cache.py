"""Image features on disk: found again by content and weights, and good enough to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from flmm_plugin.models.refiners import SAMRefiner
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import four_samples, random_image, tiny_flmm, tiny_refiner

SIZE = (40, 60)


def refiner(**changes: Any) -> SAMRefiner:
    torch.manual_seed(0)
    return MODELS.build(tiny_refiner(**changes)).train()


def count_encoded(sam: SAMRefiner) -> list[int]:
    calls: list[int] = []
    sam.model.image_encoder.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    return calls


def test_features_outlive_the_model(tmp_path: Path) -> None:
    images = [random_image(*SIZE), random_image(*SIZE, seed=1)]
    plain = refiner().encode_images(images)
    first = refiner(feature_folder=str(tmp_path / 'features')).encode_images(images)
    files = sorted((tmp_path / 'features').iterdir())
    assert len(files) == 2
    sam = refiner(feature_folder=str(tmp_path / 'features'))
    calls = count_encoded(sam)
    again = sam.encode_images([*images, random_image(*SIZE, seed=2)])
    assert calls == [1]
    for exact, one, other in zip(plain, first, again[:2], strict=True):
        assert torch.equal(one, other) and one.dtype == torch.float32
        torch.testing.assert_close(one, exact, atol=2e-3, rtol=1e-3)
    tensors = sam.image_features.num_bytes
    assert tensors == 2 * plain[0].numel() < files[0].stat().st_size < tensors + 200


def test_exact_features(tmp_path: Path) -> None:
    images = [random_image(*SIZE)]
    (expected,) = refiner().encode_images(images)
    refiner(feature_folder=str(tmp_path)).encode_images(images)  # its file is of no use to the other
    for _ in range(2):
        sam = refiner(feature_folder=str(tmp_path), exact_features=True)
        assert torch.equal(sam.encode_images(images)[0], expected)
    assert len(list(tmp_path.iterdir())) == 2 and sam.image_features.num_bytes == 4 * expected.numel()


def test_other_weights_find_nothing(tmp_path: Path) -> None:
    refiner(feature_folder=str(tmp_path)).encode_images([random_image(*SIZE)])
    sam = refiner(feature_folder=str(tmp_path))
    sam.encode_images([random_image(*SIZE)])
    calls = count_encoded(sam)
    state = sam.state_dict()
    state['model.image_encoder.patch_embed.proj.weight'] += 1
    sam.load_state_dict(state)
    sam.encode_images([random_image(*SIZE)])
    assert calls == [1]


def test_a_file_that_is_cut_off_is_made_again(tmp_path: Path) -> None:
    sam = refiner(feature_folder=str(tmp_path))
    (expected,) = sam.encode_images([random_image(*SIZE)])
    (file,) = tmp_path.iterdir()
    for content in (b'', file.read_bytes()[:-10]):
        file.write_bytes(content)
        calls = count_encoded(sam)
        assert torch.equal(sam.encode_images([random_image(*SIZE)])[0], expected)
        assert calls == [1]


def test_losses_are_those_without(lmm_dirs: dict[str, Path], tmp_path: Path) -> None:
    losses = []
    for folder in (None, tmp_path, tmp_path):
        torch.manual_seed(0)
        config = tiny_flmm(lmm_dirs['llava'], refiner=tiny_refiner(feature_folder=folder and str(folder)))
        found = MODELS.build(config).train()(*four_samples(), mode='loss')
        losses.append({name: value.detach() for name, value in found.items() if 'loss' in name})
    plain, first, second = losses
    torch.testing.assert_close(first, plain, atol=1e-3, rtol=0)
    torch.testing.assert_close(second, first, atol=0, rtol=0)
