from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import load_checkpoint, save_checkpoint
from mmengine.structures import BaseDataElement

from flmm_plugin.errors import UserError
from flmm_plugin.models.capture.hidden_states import find_decoder
from flmm_plugin.models.weights.trained_state import check_lmm
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import four_samples, tiny_flmm, tiny_refiner
from tests.tiny_lmms import FAMILIES

FAMILY_NAMES = sorted(FAMILIES)


def build(lmm_dirs: dict[str, Path], family: str = 'llava', **changes: object) -> BaseModel:
    torch.manual_seed(0)
    return MODELS.build(tiny_flmm(lmm_dirs[family], FAMILIES[family][1], **changes))


@pytest.mark.parametrize('family', FAMILY_NAMES)
def test_losses_of_a_batch_are_those_of_its_samples(lmm_dirs: dict[str, Path], family: str) -> None:
    model = build(lmm_dirs, family).train()
    images, samples = four_samples()
    losses = model(images, samples, mode='loss')
    assert [name for name in losses if 'loss' in name] == ['loss_mask', 'loss_dice', 'sam_loss_mask', 'sam_loss_dice']
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    batched = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    phrases = [len(sample.gt_instances.masks) for sample in samples]
    means = dict.fromkeys(losses, torch.tensor(0.0))
    for image, sample, count in zip(images, samples, phrases, strict=True):
        alone = model([image], [sample], mode='loss')
        weighted = sum(value for name, value in alone.items() if 'loss' in name) * count / sum(phrases)
        weighted.backward()
        means = {name: means[name] + alone[name].detach() * count / sum(phrases) for name in means}
    torch.testing.assert_close({k: v.detach() for k, v in losses.items()}, means, atol=1e-4, rtol=0)
    for name, p in model.named_parameters():
        if name in batched:
            torch.testing.assert_close(batched[name], p.grad, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize('family', FAMILY_NAMES)
def test_predictions_of_a_batch_are_those_of_its_samples(lmm_dirs: dict[str, Path], family: str) -> None:
    model = build(lmm_dirs, family).eval()
    images, samples = four_samples()
    raw = model(images, samples, mode='tensor')
    predicted = model(images, samples, mode='predict')
    for image, sample, logits, result in zip(images, samples, raw, predicted, strict=True):
        with torch.no_grad():
            alone = model([image], [sample], mode='tensor')[0]
        for name in ('attention_maps', 'hidden_states', 'coarse_logits', 'refined_logits', 'scores'):
            batched = logits[name][: len(alone[name])]
            torch.testing.assert_close(batched, alone[name], atol=1e-4, rtol=1e-4, check_dtype=False)
        instances = result.pred_instances
        assert instances.masks.shape == (len(sample.gt_instances.masks), *image.shape[1:])
        assert instances.masks.dtype == instances.coarse_masks.dtype == torch.bool
        assert instances.phrases == sample.gt_instances.phrases
        assert torch.equal(instances.masks, logits['refined_logits'] > 0)
        assert len(instances.scores) == len(result.attention_maps) == len(instances)


def test_mask_head_alone(lmm_dirs: dict[str, Path]) -> None:
    model = build(lmm_dirs, refiner=None)
    images, samples = four_samples()
    assert set(model(images, samples, mode='loss')) == {'loss_mask', 'loss_dice', 'accuracy', 'aiou'}
    instances = model.eval()(images, samples, mode='predict')[0].pred_instances
    assert torch.equal(instances.masks, instances.coarse_masks)
    assert ((instances.scores >= 0) & (instances.scores <= 1)).all()
    assert all(name.startswith('mask_head.') for name in model.state_dict())


def test_tokens_instead_of_text(lmm_dirs: dict[str, Path]) -> None:
    model = build(lmm_dirs).eval()
    images, samples = four_samples()
    ids, phrases, _ = model.lmm.tokenize(samples[0].prompt, samples[0].segments)
    tokenised = BaseDataElement(metainfo=dict(input_ids=ids, phrase_ids=phrases))
    result = model(images[:1], [tokenised], mode='predict')[0]
    expected = model(images[:1], samples[:1], mode='predict')[0]
    assert torch.equal(result.pred_instances.masks, expected.pred_instances.masks)
    assert 'phrases' not in result.pred_instances


def test_training_leaves_the_frozen_parts_alone(lmm_dirs: dict[str, Path]) -> None:
    model = build(lmm_dirs)
    images, samples = four_samples()
    before, answer = model.frozen_hash(), model.lmm.generate(images[0], 'describe this image', 5)[1]
    trained = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-2))
    for _ in range(2):
        log = model.train_step(dict(inputs=images, data_samples=samples), optimizer)
    assert torch.isfinite(log['loss'])
    assert model.frozen_hash() == before
    assert model.lmm.generate(images[0], 'describe this image', 5)[1] == answer
    changed = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, trained[name])]
    for part in ('mask_head.', 'sam.model.mask_decoder.', 'sam.model.prompt_encoder.', 'text_proj.', 'text_layer'):
        assert any(name.startswith(part) for name in changed)


def test_checkpoint_holds_what_is_trained(lmm_dirs: dict[str, Path], tmp_path: Path) -> None:
    model = build(lmm_dirs)
    parts = ('mask_head.', 'sam.model.prompt_encoder.', 'sam.model.mask_decoder.', 'text_proj.', 'text_layer_weights')
    assert all(name.startswith(parts) for name in model.state_dict())
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), str(tmp_path / 'model.pth'))
    torch.manual_seed(7)
    other = MODELS.build(tiny_flmm(lmm_dirs['llava']))
    load_checkpoint(other, str(tmp_path / 'model.pth'), map_location='cpu', strict=True)
    assert all(torch.equal(other.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize('strict', [True, False])
def test_missing_and_unexpected_keys_are_named(lmm_dirs: dict[str, Path], strict: bool) -> None:
    model = build(lmm_dirs)
    state = model.state_dict()
    del state['text_proj.bias']
    state['mask_head.extra'] = torch.zeros(1)
    with pytest.raises(UserError, match=r'missing: text_proj\.bias; unexpected: mask_head\.extra'):
        model.load_state_dict(state, strict=strict)


def test_checkpoint_of_another_lmm(lmm_dirs: dict[str, Path], tmp_path: Path) -> None:
    other = build(lmm_dirs, 'llava_next')
    save_checkpoint(dict(state_dict=other.state_dict(), meta={}), str(tmp_path / 'next.pth'))
    channels = (
        r'llava.*another LMM.*mask_head\.encoder\.0\.0\.convs\.0\.conv\.weight is \(4, 16, 3, 3\) .* \(4, 8, 3, 3\)'
    )
    with pytest.raises(UserError, match=channels):
        load_checkpoint(build(lmm_dirs), str(tmp_path / 'next.pth'), map_location='cpu')


def test_checkpoint_of_another_lmm_of_the_same_shapes(lmm_dirs: dict[str, Path]) -> None:
    model = build(lmm_dirs)
    checkpoint = dict(meta=dict(lmm_fingerprint=model.lmm_fingerprint()))
    check_lmm(build(lmm_dirs).bfloat16(), checkpoint)
    check_lmm(model, dict(state_dict={}))  # the authors' checkpoints do not say
    next(find_decoder(model.lmm.model, model.lmm.config.text_config).layers.parameters()).data += 1
    with pytest.raises(UserError, match=r'other weights .*model\.lmm\.pretrained'):
        check_lmm(model, checkpoint)


def test_config_is_left_alone(lmm_dirs: dict[str, Path]) -> None:
    config = Config(dict(model=tiny_flmm(lmm_dirs['llava'])))
    before = config.pretty_text
    MODELS.build(config.model)
    assert config.pretty_text == before


def test_losses_are_needed_for_training_only(lmm_dirs: dict[str, Path]) -> None:
    model = build(lmm_dirs, loss_mask=None, loss_dice=None)
    images, samples = four_samples()
    assert 'pred_instances' in model.eval()(images, samples, mode='predict')[0]
    with pytest.raises(ValueError, match='loss_mask and loss_dice'):
        model(images, samples, mode='loss')


def test_as_many_masks_as_phrases(lmm_dirs: dict[str, Path]) -> None:
    model = build(lmm_dirs)
    images, samples = four_samples()
    samples[1].gt_instances = samples[1].gt_instances[:1]
    with pytest.raises(ValueError, match='2 phrases but 1 masks'):
        model(images, samples, mode='loss')


def test_text_prompt_makes_the_text_projection(lmm_dirs: dict[str, Path]) -> None:
    model = build(lmm_dirs, refiner=tiny_refiner(prompts=('mask', 'box')))
    assert not any(name.startswith('text') for name in model.state_dict())
    images, samples = four_samples()
    assert torch.isfinite(model(images, samples, mode='loss')['sam_loss_mask'])
