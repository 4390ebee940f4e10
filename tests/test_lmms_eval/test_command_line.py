"""lmms-eval's own command line over a task on disk, end to end: nothing is downloaded."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from flmm_plugin.datasets.scenes import write_scenes
from flmm_plugin.registry import MODELS
from tests.tiny_checkpoint import save_checkpoint

pytest.importorskip('lmms_eval')
#: POPE's task, its data a file; the tiny LMM ends its answers with a full stop.
TASK = """
task: local_pope
dataset_path: parquet
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.pope_doc_to_visual
doc_to_text: !function utils.pope_doc_to_text
doc_to_target: answer
generation_kwargs: {{max_new_tokens: 8, temperature: 0, do_sample: false, until: ["."]}}
process_results: !function utils.pope_process_results
metric_list:
  - {{metric: pope_accuracy, aggregation: !function utils.pope_aggregate_accuracy, higher_is_better: true}}
  - {{metric: pope_f1_score, aggregation: !function utils.pope_aggregate_f1_score, higher_is_better: true}}
lmms_eval_specific_kwargs: {{default: {{pre_prompt: "", post_prompt: ""}}}}
metadata: [{{version: 0.0}}]
"""
CONFIG = 'configs/tiny/flmm_tiny_scenes.py'


def write_task(folder: Path) -> list[dict]:
    """A task of six questions about two scenes; the questions."""
    datasets = pytest.importorskip('datasets')
    write_scenes(folder / 'scenes', 2, seed=4, fractions=(0, 1, 0))
    lines = (folder / 'scenes/pope/val_random.json').read_text().splitlines()[:6]
    docs = []
    for line in map(json.loads, lines):
        buffer = io.BytesIO()
        Image.open(folder / 'scenes/images' / line['image']).convert('RGB').save(buffer, 'PNG')
        picture = dict(bytes=buffer.getvalue(), path=None)
        docs.append(dict(question_id=line['question_id'], question=line['text'], answer=line['label'], image=picture))
    table = datasets.Dataset.from_list(docs).cast_column('image', datasets.Image())
    table.to_parquet(folder / 'pope.parquet')
    (folder / 'task').mkdir()
    (folder / 'task/local_pope.yaml').write_text(TASK.format(data=folder / 'pope.parquet'))
    (folder / 'task/utils.py').write_text('from lmms_eval.tasks.pope.utils import *\n')
    return docs


def test_a_task_on_disk(tmp_path: Path) -> None:
    checkpoint, docs = save_checkpoint(tmp_path), write_task(tmp_path)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, '-m', 'lmms_eval', '--model', 'flmm', '--tasks', 'local_pope', '--batch_size', '1']
    command += ['--model_args', f'config={root / CONFIG},checkpoint={checkpoint},device=cpu']
    command += ['--include_path', str(tmp_path / 'task'), '--output_path', str(tmp_path / 'out'), '--log_samples']
    offline = dict(HF_HUB_OFFLINE='1', HF_DATASETS_OFFLINE='1', HF_HOME=str(tmp_path / 'hf'), OMP_NUM_THREADS='1')
    offline |= dict(PYTHONPATH=os.pathsep.join([str(root), os.environ.get('PYTHONPATH', '')]))
    done = subprocess.run(command, env={**os.environ, **offline}, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = (tmp_path / 'out').rglob('*results.json')
    (samples,) = (tmp_path / 'out').rglob('*samples_local_pope.jsonl')
    logged = [json.loads(line) for line in samples.read_text().splitlines()]
    logged.sort(key=lambda one: one['doc_id'])
    lmm = MODELS.build(dict(type='LlavaLMM', pretrained='flmm_plugin::tiny_llava')).eval()
    right = 0
    for doc, sample in zip(docs, logged, strict=True):
        content = [{'type': 'image'}, {'type': 'text', 'text': doc['question']}]
        text = lmm.processor.apply_chat_template([{'role': 'user', 'content': content}], add_generation_prompt=True)
        picture = Image.open(io.BytesIO(doc['image']['bytes']))
        inputs = lmm.processor(images=picture, text=text, return_tensors='pt')
        with torch.no_grad():
            ids = lmm.model.generate(**inputs, do_sample=False, max_new_tokens=8)[0, inputs['input_ids'].shape[1] :]
        answer = lmm.processor.tokenizer.decode(ids, skip_special_tokens=True).strip().split('.')[0]
        assert sample['filtered_resps'] in (answer, [answer]) and answer
        right += answer.lower() == doc['answer']
    found = json.loads(results.read_text())['results']['local_pope']
    assert found['pope_accuracy,none'] == pytest.approx(right / len(docs))
