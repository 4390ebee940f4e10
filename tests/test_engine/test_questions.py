"""A test run that asks: the answers are those of transformers' own generate, on the bare LMM."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from flmm_plugin.datasets.scenes import write_scenes
from flmm_plugin.errors import UserError
from tests.tiny_checkpoint import CONFIG, save_checkpoint

POPE = CONFIG.with_name('pope_tiny_scenes.py')


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('scenes') / 'scenes'
    write_scenes(out, 3, seed=2, fractions=(0, 1, 0))
    return out


def test_answers_are_those_of_the_bare_lmm(scenes: Path, tmp_path: Path) -> None:
    config = Config.fromfile(POPE)
    config.work_dir = str(tmp_path)
    config.load_from = str(save_checkpoint(tmp_path))
    dataset = config.test_dataloader.dataset
    dataset.data_root, dataset.splits = str(scenes), {'random': 'pope/val_random.json'}
    config.test_dataloader.batch_size = 4
    runner = Runner.from_cfg(config)
    kept = []
    process = runner.test_evaluator.metrics[0].process
    runner.test_evaluator.metrics[0].process = lambda data_batch, data_samples: (
        kept.extend(data_samples),
        process(data_batch, data_samples),
    )
    metrics = runner.test()
    lines = [json.loads(line) for line in (scenes / 'pope/val_random.json').read_text().splitlines()]
    assert len(kept) == len(lines) and json.loads((tmp_path / 'metrics.json').read_text()) == metrics
    lmm = runner.model.lmm
    for line, sample in zip(lines[:4], kept, strict=False):
        content = [{'type': 'image'}, {'type': 'text', 'text': line['text']}]
        text = lmm.processor.apply_chat_template([{'role': 'user', 'content': content}], add_generation_prompt=True)
        picture = Image.open(scenes / 'images' / line['image'])
        inputs = lmm.processor(images=picture, text=text, return_tensors='pt')
        with torch.no_grad():
            ids = lmm.model.generate(**inputs, do_sample=False, max_new_tokens=16)[0, inputs['input_ids'].shape[1] :]
        assert sample['answer'] == lmm.processor.tokenizer.decode(ids, skip_special_tokens=True).strip()


def test_presence_rule_is_fitted_once_and_kept(scenes: Path, tmp_path: Path) -> None:
    config = Config.fromfile(POPE.with_name('presence_tiny_scenes.py'))
    config.work_dir, config.load_from = str(tmp_path), str(save_checkpoint(tmp_path))
    hook = config.custom_hooks[-1]
    splits = {way: f'pope/val_{way}.json' for way in ('random', 'adversarial')}
    for dataset in (config.test_dataloader.dataset, hook.dataset):
        dataset.data_root, dataset.splits = str(scenes), splits
    hook.narratives.update(data_root=str(scenes), ann_file='png/png_coco_val.json')
    hook.narratives.update(panoptic_file='png/panoptic_val.json')
    hook.narratives.data_prefix.seg_path = 'png/panoptic_val'
    config.model.max_new_tokens = 2
    metrics = Runner.from_cfg(config).test()
    rule = tmp_path / 'flmm.presence.json'
    written = rule.read_text()
    assert Image.open(tmp_path / 'flmm.presence.png').size == (1080, 456)
    assert {'presence/auroc', 'presence/auroc_hard', 'presence/calibration_error'} <= set(metrics)
    assert 'pope/mean/grounded/F1' in metrics and 0.5 < metrics['presence/auroc'] <= 1  # it was fitted on these
    asked = 2 * len((scenes / 'pope/val_random.json').read_text().splitlines())
    assert [json.loads(written)[name]['fitted_on'] for name in ('free', 'asked')] == [asked, asked]
    narratives = json.loads((scenes / 'png/png_coco_val.json').read_text())
    named = sum(bool(segment['segment_ids']) for narrative in narratives for segment in narrative['segments'])
    assert json.loads(written)['answers']['asked']['fitted_on'] == named > 6
    hook.question = 'Can you see {phrase}?'
    with pytest.raises(UserError, match='was fitted with prompt'):
        Runner.from_cfg(config).test()
    hook.question = 'Is there {phrase}?'
    rule.write_text(written.replace('"weights"', '"other"'))
    with pytest.raises(UserError, match=r'flmm\.presence\.json holds no presence rule'):
        Runner.from_cfg(config).test()
