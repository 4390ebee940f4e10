"""The weights that ship with the project are those that were trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoConfig, AutoProcessor, LlavaForConditionalGeneration

from flmm_plugin.assets import resolve
from flmm_plugin.datasets.scenes import render, sample_scene
from flmm_plugin.datasets.scenes.language import DESCRIBE
from flmm_plugin.models.lmms import LlavaLMM
from flmm_plugin.tiny.accuracy import measure_accuracy
from flmm_plugin.tiny.families import FAMILIES
from flmm_plugin.tiny.llava import SIZE

LMM = 'flmm_plugin::tiny_llava'


@pytest.fixture(scope='module')
def bare() -> LlavaForConditionalGeneration:
    """The LMM as transformers loads it, without the plugin."""
    return LlavaForConditionalGeneration.from_pretrained(resolve(LMM)).eval()


def test_shipped_weights_are_small():
    assets = Path(resolve(LMM)).parent
    assert sum(path.stat().st_size for path in assets.rglob('*') if path.is_file()) <= 20e6


@pytest.mark.parametrize('name', ['tiny_llava', 'tiny_qwen'])
def test_lmm_describes_scenes_it_has_not_seen(name: str):
    folder = resolve(f'flmm_plugin::{name}')
    family, processor = FAMILIES[AutoConfig.from_pretrained(folder).model_type], AutoProcessor.from_pretrained(folder)
    accuracy = measure_accuracy(family, family.model.from_pretrained(folder).eval(), processor, seed=2024, num=50)
    words, answers = accuracy['words'], accuracy['answers']
    assert words['color'] > 0.92 and words['shape'] > 0.92 and words['stuff'] > 0.98
    assert min(right for kind, right in answers.items() if kind != 'caption') > 0.85, answers  # of few


def test_answers_are_those_of_the_bare_model(bare):
    """Same tokens as transformers' own processor and generate give: the plugin changes nothing the LMM says."""
    processor = AutoProcessor.from_pretrained(resolve(LMM))
    grounded = LlavaLMM(LMM)
    for index in range(3):
        image = render(sample_scene(np.random.default_rng([99, index])))[0]
        content = [{'type': 'image'}, {'type': 'text', 'text': DESCRIBE}]
        text = processor.apply_chat_template([{'role': 'user', 'content': content}], add_generation_prompt=True)
        small = Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        inputs = processor(images=small, text=text, return_tensors='pt', add_special_tokens=False)
        with torch.no_grad():
            expected = bare.generate(**inputs, do_sample=False, max_new_tokens=60)[0, inputs['input_ids'].shape[1] :]
        tokens, answer = grounded.generate(torch.from_numpy(image).permute(2, 0, 1), DESCRIBE, max_new_tokens=60)
        assert tokens.tolist() == expected.tolist()
        assert answer.startswith('the ')
