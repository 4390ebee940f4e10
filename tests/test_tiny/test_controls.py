"""The controls are the shipped LMM without what it has learned."""

import torch
from transformers import AutoModelForImageTextToText

from flmm_plugin.assets import resolve
from flmm_plugin.tiny import controls


def test_controls_keep_the_tower_or_nothing(tmp_path):
    controls.save_untrained(tmp_path / 'untrained', seed=0)
    controls.save_random_language(tmp_path / 'random', seed=0)
    shipped, untrained, random = (
        AutoModelForImageTextToText.from_pretrained(folder).state_dict()
        for folder in (resolve(controls.TINY_LMM), tmp_path / 'untrained', tmp_path / 'random')
    )
    assert shipped.keys() == untrained.keys() == random.keys()
    for name, weights in shipped.items():
        language = 'language_model' in name or 'lm_head' in name
        assert torch.equal(random[name], untrained[name] if language else weights), name
    tower, text = (
        next(n for n in shipped if part in n and 'proj.weight' in n) for part in ('vision_tower', 'language')
    )
    assert not torch.equal(untrained[tower], shipped[tower])
    assert not torch.equal(random[text], shipped[text])
