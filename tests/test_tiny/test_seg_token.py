"""The model that others' way makes: its [SEG] token prompts SAM, and all of the LMM is trained for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from flmm_plugin.datasets.scenes import render, sample_scene
from flmm_plugin.datasets.scenes.language import narrative
from flmm_plugin.registry import MODELS
from flmm_plugin.structures import Segment
from flmm_plugin.tiny.conversations import Conversations, answer_logits
from flmm_plugin.tiny.sam import phrase_masks
from flmm_plugin.tiny.seg_token import SegTokenLMM

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/tiny/flmm_tiny_scenes.py'


def build(**options: Any) -> SegTokenLMM:
    """On the LMM and the SAM that ship with the package."""
    parts = Config.fromfile(CONFIG).model
    torch.manual_seed(0)
    own = {part: parts[part] for part in ('refiner', 'loss_mask', 'loss_dice')}
    return MODELS.build(dict(type='SegTokenLMM', lmm=parts.lmm.pretrained, **own, **options))


def narrated(seed: int) -> tuple[Tensor, BaseDataElement]:
    """A picture and its narrative, as the data sets give them."""
    scene = sample_scene(np.random.default_rng(seed))
    picture, owners = render(scene)
    spans = narrative(scene)
    grounded = [span for span in spans if span.grounded]
    segments = [Segment(span.text, grounded.index(span) if span.grounded else -1) for span in spans]
    sample = BaseDataElement(metainfo=dict(prompt='Describe the image.', segments=segments))
    sample.gt_instances = InstanceData(masks=phrase_masks(scene, owners), phrases=[span.text for span in grounded])
    return torch.from_numpy(picture).permute(2, 0, 1), sample


@pytest.fixture(scope='module')
def batch() -> tuple[list[Tensor], list[BaseDataElement]]:
    images, samples = zip(*(narrated(seed) for seed in (1, 2)), strict=True)
    assert [len(sample.gt_instances) for sample in samples] == [3, 4]
    return list(images), list(samples)


@pytest.fixture(scope='module')
def model() -> SegTokenLMM:
    return build()


def test_masks_alone_train_the_lmm_the_projection_and_the_decoder(batch):
    model = build().train()
    losses = model(*batch, mode='loss')
    (losses['loss_mask'] + losses['loss_dice']).backward()
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    for part in (
        'lmm.model.vision_tower.',
        'lmm.model.language_model.layers.0.',
        'lmm.model.language_model.embed_tokens.',
        'seg_proj.0.',
        'seg_proj.2.',
        'sam.model.mask_decoder.transformer.',
    ):
        grads = [p.grad for name, p in model.named_parameters() if name.startswith(part) and name in reached]
        assert grads and sum(grad.abs().sum() for grad in grads) > 0, part
    assert not any('image_encoder' in name for name in reached)
    rows = model.lmm.get_input_embeddings().weight.grad.abs().sum(1)
    assert rows[model.seg_id] > 0  # its hidden state made the prompt


def test_words_of_an_answer_end_with_the_token(model, batch):
    read, states, prompts = model.read(*batch)
    assert states.shape[:2] == read['ids'].shape
    assert [len(own) for own in prompts] == [3, 4]
    tokenizer = model.processor.tokenizer
    row = read['ids'][0][read['block'][0] == 0].tolist()
    said = tokenizer.convert_ids_to_tokens(row)
    phrase = batch[1][0].gt_instances.phrases[0].split()
    assert said[: 2 + len(phrase)] == ['segment', *phrase, '.']
    assert said[-len(phrase) - 3 :] == [*phrase, '[SEG]', '.', tokenizer.eos_token]


def test_masks_differ_by_phrase_alone_and_do_not_depend_on_the_batch(model, batch):
    with torch.no_grad():
        model.eval()
        (logits, _), (other, _) = model.segment(batch[0], model.read(*batch)[2])
        ((alone, _),) = model.segment(batch[0][1:], model.read(batch[0][1:], batch[1][1:])[2])
    assert logits.shape == (3, 192, 192)
    assert all((logits[i] - logits[j]).abs().max() > 1e-3 for i in range(3) for j in range(i))
    torch.testing.assert_close(other, alone, atol=1e-3, rtol=1e-4)
    found = model(*batch, mode='predict')[0].pred_instances
    assert found.masks.dtype == torch.bool and len(found.scores) == 3
    assert torch.equal(found.masks, logits > 0)


def test_steps_lower_every_loss_and_leave_the_image_encoder(batch):
    model = build(conversations=1).train()
    before, steps = model.frozen_hash(), 12
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
    seen = []
    for _ in range(steps):
        losses = model(*batch, mode='loss')
        seen.append({name: value.item() for name, value in losses.items()})
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        optimizer.step()
    for name in ('loss_mask', 'loss_dice', 'loss_words'):
        assert seen[-1][name] < seen[0][name], name
    assert len({one['loss_talk'] for one in seen}) == model.read_along == steps  # other scenes each time
    assert model.frozen_hash() == before


def test_new_words_change_nothing_that_is_said_before_training(model):
    """So that what is measured after training is what training did."""
    from transformers import AutoProcessor

    from flmm_plugin.assets import resolve

    folder = resolve('flmm_plugin::tiny_llava')
    processor, bare = AutoProcessor.from_pretrained(folder), model.family.model.from_pretrained(folder).eval()
    logits = []
    for lmm, own in ((bare, processor), (model.lmm.eval(), model.processor)):
        scenes = Conversations(model.family, own, seed=3)
        with torch.no_grad():
            logits.append(answer_logits(model.family, lmm, scenes.share_image([scenes.sample(0)])))
    assert len(model.processor.tokenizer) == len(processor.tokenizer) + 2
    torch.testing.assert_close(logits[1][..., : len(processor.tokenizer)], logits[0], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_tool_compares_all_models_and_goes_on_where_it_was_stopped(tmp_path):
    page = tmp_path / 'docs/tiny.md'
    page.parent.mkdir()
    page.write_text('<!-- conversation: begin -->\n<!-- conversation: end -->\n')
    options = '--steps 2 --seeds 0 --scenes 20 --asked 4 --threads 1'.split()
    command = [sys.executable, 'tools/conversation.py', '--work-dir', tmp_path, '--docs', page.parent, *options]
    first, again = (subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True) for _ in range(2))
    assert first.stdout.count(' min\n') == 4 and again.stdout.count(' min\n') == 0
    rows = [line.split(' | ') for line in page.read_text().splitlines() if line.startswith('| ')]
    bare, ours = rows[2], rows[3]
    assert ours[0] == '| ours, frozen' and ours[4:] == bare[4:]  # what it says is what the bare LMM says
    assert [row[0] for row in rows[4:6]] == ['| [SEG]', '| [SEG], conversations mixed in']
