"""The model on what stands for a GPU: the same numbers, and a host that does not wait for the device.

Left out are the waits of transformers' own modelling code, which compares the image's tokens and features at the start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.model import BaseModel

from flmm_plugin.registry import MODELS
from tests.pretend_cuda import CUDATensor, PretendCUDA, pretend_cuda
from tests.tiny_flmm import four_samples, tiny_flmm, tiny_refiner
from tests.tiny_lmms import FAMILIES


def build(lmm_dirs: dict[str, Path], family: str = 'llava', refiner: Any = None, **lmm: Any) -> BaseModel:
    torch.manual_seed(0)
    config = tiny_flmm(lmm_dirs[family], FAMILIES[family][1], refiner=refiner or tiny_refiner())
    config['lmm'].update(lmm)
    return MODELS.build(config).train()


def moved(model: BaseModel, device: PretendCUDA) -> BaseModel:
    model.to('cuda:0')
    device.waits.clear()
    return model


def waits(device: PretendCUDA) -> list[str]:
    return [wait for wait in device.waits if '/transformers/' not in wait]


@pytest.mark.parametrize('family', sorted(FAMILIES))
def test_a_training_step_is_that_of_the_cpu_and_waits_for_nothing(lmm_dirs: dict[str, Path], family: str) -> None:
    model = build(lmm_dirs, family)
    expected = model(*four_samples(), mode='loss')
    with pretend_cuda() as device:
        losses = moved(model, device)(*four_samples(), mode='loss')
    assert waits(device) == []
    assert list(losses) == list(expected)
    for name, value in losses.items():
        assert isinstance(value, CUDATensor) and value.device.type == 'cuda'
        torch.testing.assert_close(value.on_cpu, expected[name], atol=1e-5, rtol=1e-5)


def test_with_chosen_heads(lmm_dirs: dict[str, Path]) -> None:
    model = build(lmm_dirs, heads=[1, 2, 5])
    with pretend_cuda() as device:
        moved(model, device)(*four_samples(), mode='loss')
    assert waits(device) == []


def test_with_maps_and_features_from_disk(lmm_dirs: dict[str, Path], tmp_path: Path) -> None:
    folders = dict(map_folder=str(tmp_path / 'maps'), refiner=tiny_refiner(feature_folder=str(tmp_path / 'features')))
    expected = build(lmm_dirs, **folders)(*four_samples(), mode='loss')
    model = build(lmm_dirs, **folders)
    with pretend_cuda() as device:
        model.to('cuda:0')
        model.lmm.map_cache._weights, model.sam.image_features._key(four_samples()[0][0])  # read once a run
        device.waits.clear()
        losses = model(*four_samples(), mode='loss')
    assert device.waits == []
    for name, value in losses.items():
        torch.testing.assert_close(value.on_cpu, expected[name], atol=1e-5, rtol=1e-5)


def test_predictions_are_those_of_the_cpu(lmm_dirs: dict[str, Path]) -> None:
    model = build(lmm_dirs).eval()
    expected = model(*four_samples(), mode='predict')
    with pretend_cuda() as device:
        predicted = moved(model, device)(*four_samples(), mode='predict')
    assert waits(device) == []
    for one, other in zip(predicted, expected, strict=True):
        assert torch.equal(one.pred_instances.masks.on_cpu, other.pred_instances.masks)
        torch.testing.assert_close(one.pred_instances.scores.on_cpu, other.pred_instances.scores, atol=1e-5, rtol=0)


def test_what_a_gpu_refuses_and_waits_for() -> None:
    """What stands for the GPU sees what these tests are about."""
    with pretend_cuda() as device:
        tensor = torch.arange(4.0).to('cuda:0', non_blocking=True)
        assert (tensor + 1).sum().device.type == 'cuda' and not device.waits
        with pytest.raises(RuntimeError, match='cuda and of the CPU'):
            tensor + torch.ones(4)
        for wait in (
            lambda: tensor[tensor > 1],
            lambda: tensor[torch.tensor([0, 1])],
            lambda: tensor.sum().item(),
            lambda: tensor.cpu(),
            lambda: torch.ones(4).to('cuda:0'),
            lambda: tensor.nonzero(),
            lambda: tensor.copy_(torch.ones(4)),
            lambda: torch.tensor(1.0, device='cuda:0'),
        ):
            wait()
            (place,) = device.waits
            assert Path(__file__).name in place
            device.waits.clear()


def test_an_answer_and_its_masks_after_it(lmm_dirs: dict[str, Path]) -> None:
    """The host waits for the answer's words, as `generate` does, and for its text, not in grounding it."""
    model, (images, samples) = build(lmm_dirs).eval(), four_samples()
    image, sample = images[2], samples[2]

    def answer() -> tuple[Any, str]:
        question = model.lmm.prepare(image, sample.prompt)
        whole = model.lmm.prepare(image, sample.prompt, sample.segments)
        outputs = model.lmm.forward_cached(whole, model.lmm.read(question), len(question.input_ids))
        return model.ground_batch([image], [whole], [outputs])[0], model.lmm.generate(image, sample.prompt, 5)[1]

    expected, text = answer()
    with pretend_cuda() as device:
        moved(model, device)
        grounding, same_text = answer()
    (wait,) = (wait for wait in waits(device) if 'numbers.py' not in wait)
    assert same_text == text and 'base.py' in wait and '_to_copy' in wait
    torch.testing.assert_close(grounding.refined.on_cpu, expected.refined, atol=1e-5, rtol=0)
