"""Refiners on transformers' segment-anything models: their own forward passes, batches, gradients, what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version
from torch import Tensor

from flmm_plugin.errors import UserError
from flmm_plugin.models.refiners import HFSAMRefiner
from flmm_plugin.models.refiners.hf_sam import KINDS
from flmm_plugin.models.refiners.points import prompt_points
from flmm_plugin.models.weights.checkpoints import is_frozen
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import four_samples, random_image, tiny_flmm
from tests.tiny_lmms import FAMILIES
from tests.tiny_segmenters import AVAILABLE, WIDTH, save_segmenter

SIZES = [(40, 60), (90, 50)]


@pytest.fixture(scope='module')
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save_segmenter(kind, tmp_path_factory.mktemp(kind)) for kind in AVAILABLE}


@pytest.fixture(params=AVAILABLE)
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    return folders[request.param]


def refiner(folder: Path, **changes: Any) -> HFSAMRefiner:
    return MODELS.build(dict(type='HFSAMRefiner', pretrained=str(folder), **changes)).eval()


def given(counts: tuple[int, ...] = (3, 2)) -> tuple[list[Tensor], list[Tensor], list[list[Tensor]]]:
    """Pictures, coarse logits and texts of different lengths."""
    made = torch.Generator().manual_seed(1)
    images = [random_image(*size, seed=i) for i, size in enumerate(SIZES)]
    coarse = [torch.randn(count, 10, 12, generator=made) for count in counts]
    texts = [[torch.randn(1 + i % 2, WIDTH, generator=made) for i in range(count)] for count in counts]
    return images, coarse, texts


@pytest.mark.parametrize('prompts', [('mask', 'box'), ('box',), ('mask',), ('points',), ('mask', 'box', 'points')])
def test_masks_are_those_of_transformers(folder: Path, prompts: tuple[str, ...]) -> None:
    sam = refiner(folder, prompts=prompts)
    kind = json.loads((folder / 'config.json').read_text())['model_type']
    model = getattr(transformers, KINDS[kind][0]).from_pretrained(folder).eval()
    if hasattr(model.mask_decoder, 'dynamic_multimask_via_stability'):
        model.mask_decoder.dynamic_multimask_via_stability = False
    if prompts == ('mask',) and Version(transformers.__version__) < Version('4.49'):
        pytest.skip("transformers 4.48's own forward pass takes no masks alone")
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    images, coarse, _ = given()
    with torch.no_grad():
        refined = sam.refine(images, sam.encode_images(images), coarse)
        for image, logits, (masks, scores) in zip(images, coarse, refined, strict=True):
            pixels = processor(image, return_tensors='pt', input_data_format='channels_first')['pixel_values']
            size, input_size = tuple(image.shape[1:]), sam.input_size(image)
            for phrase, own in enumerate(logits):
                points, labels = prompt_points(own[None], input_size)
                expected = model(
                    pixels,
                    input_points=points[None] if 'points' in prompts else None,
                    input_labels=labels[None] if 'points' in prompts else None,
                    input_boxes=sam.boxes(own[None], size, input_size)[None] if 'box' in prompts else None,
                    input_masks=sam.mask_prompts(own[None], input_size) if 'mask' in prompts else None,
                    multimask_output=False,
                )
                whole = expected.pred_masks[0, 0]
                assert whole.std() > 1e-5
                at_image = sam.image_masks(whole, input_size, size)[0]
                torch.testing.assert_close(masks[phrase], at_image, atol=1e-4, rtol=0)
                torch.testing.assert_close(scores[phrase], expected.iou_scores[0, 0, 0], atol=1e-4, rtol=0)


def test_all_phrases_at_once_are_those_one_by_one(folder: Path) -> None:
    sam = refiner(folder)
    images, coarse, texts = given()
    coarse = [logits * torch.arange(1.0, len(logits) + 1)[:, None, None] for logits in coarse]  # some go lower
    with torch.no_grad():
        together = sam.refine(images, sam.encode_images(images), coarse, texts)
        for image, logits, words, (masks, scores) in zip(images, coarse, texts, together, strict=True):
            for phrase in range(len(logits)):
                alone = logits[phrase : phrase + 1]
                one, score = sam(image, alone, words[phrase : phrase + 1])
                prompts = (sam.mask_prompts(own, sam.input_size(image)) for own in (logits, alone))
                torch.testing.assert_close(next(prompts)[phrase], next(prompts)[0])
                torch.testing.assert_close(masks[phrase], one[0], atol=1e-4, rtol=0)
                torch.testing.assert_close(scores[phrase], score[0], atol=1e-4, rtol=0)
        assert not torch.allclose(
            together[0][0], sam.refine(images, sam.encode_images(images), coarse)[0][0], atol=1e-6
        )


def test_gradients_reach_what_is_trained_and_nothing_else(folder: Path, lmm_dirs: dict[str, Path]) -> None:
    torch.manual_seed(0)
    config = tiny_flmm(
        lmm_dirs['llava'], FAMILIES['llava'][1], refiner=dict(type='HFSAMRefiner', pretrained=str(folder))
    )
    model = MODELS.build(config).train()
    losses = model(*four_samples(), mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert not any(map(is_frozen, reached))
    untrained = {name for name in model.state_dict() if name.endswith('positional_embedding')}
    buffers = {name for name, _ in model.named_buffers()}
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == set(model.state_dict()) - buffers - untrained
    for part in (
        'mask_head.',
        'text_proj.',
        'text_layer_weights',
        'sam.model.mask_decoder.transformer.',
        'sam.model.prompt',
    ):
        assert any(name.startswith(part) for name in reached), part


def test_features_on_disk_give_the_same_losses(folder: Path, lmm_dirs: dict[str, Path], tmp_path: Path) -> None:
    def losses(**changes: Any) -> list[dict[str, Tensor]]:
        torch.manual_seed(0)
        refined = dict(type='HFSAMRefiner', pretrained=str(folder), **changes)
        model = MODELS.build(tiny_flmm(lmm_dirs['llava'], FAMILIES['llava'][1], refiner=refined)).train()
        encoded: list[int] = []
        model.sam.model.vision_encoder.register_forward_hook(lambda *_: encoded.append(1))
        found = [model(*four_samples(), mode='loss') for _ in range(2)]
        assert len(encoded) == (2 if not changes else 1 - kept)
        return found

    kept = 0
    plain = losses()
    on_disk = dict(feature_folder=str(tmp_path / 'features'), exact_features=True)
    first = losses(**on_disk)
    kept = 1
    again = losses(**on_disk)
    assert plain[0] == first[0] == first[1] == again[0]


def test_checkpoints_hold_what_is_trained(folder: Path, lmm_dirs: dict[str, Path]) -> None:
    refined = dict(type='HFSAMRefiner', pretrained=str(folder))
    model = MODELS.build(tiny_flmm(lmm_dirs['llava'], FAMILIES['llava'][1], refiner=refined))
    state = model.state_dict()
    assert any(name.startswith('sam.model.mask_decoder.') for name in state)
    assert [n for n in state if 'vision_encoder' in n or 'decoder.conv_s' in n or 'no_memory' in n] == []
    changed = {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}
    model.load_state_dict(changed)
    assert all(torch.equal(value, changed[name]) for name, value in model.state_dict().items())


def test_models_that_are_none_are_refused(tmp_path: Path, lmm_dirs: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="of type 'llava'"):
        refiner(lmm_dirs['llava'])
    with pytest.raises(UserError, match='no segment-anything model'):
        refiner(tmp_path / 'nowhere')


def test_releases_without_the_class_say_so(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / 'config.json').write_text(json.dumps(dict(model_type='sam3_tracker')))
    monkeypatch.setitem(KINDS, 'sam3_tracker', ('Sam9Model', *KINDS['sam3_tracker'][1:]))
    with pytest.raises(UserError, match=r'needs transformers 5\.0 or later'):
        refiner(tmp_path)
