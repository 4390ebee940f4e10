"""An LMM whose numbers are broken is named; nothing is computed from what it gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.grounding import Grounder, Seen
from flmm_plugin.apis.phrases import Phrase, RulePhrases
from flmm_plugin.models.lmms.parallel import answer_together
from flmm_plugin.models.numbers import BrokenNumbersError
from flmm_plugin.models.presence.estimates import lone_signals
from flmm_plugin.registry import MODELS
from flmm_plugin.structures import Segment
from tests.tiny_flmm import random_image, random_sample, tiny_flmm


def build(folder: Path, **lmm: object):
    torch.manual_seed(0)
    config = tiny_flmm(folder)
    return MODELS.build({**config, 'lmm': {**config['lmm'], **lmm}}).eval()


def weights_of(model, name: str) -> torch.Tensor:
    return next(value for key, value in model.lmm.named_parameters() if key.endswith(name)).data


def ground(model, phrase: str) -> None:
    image = random_image(40, 40)
    inputs = model.lmm.prepare(image, 'what is this ?', [Segment(phrase, 0)])
    seen = Seen(image, [Phrase(phrase, ())], inputs, model.lmm([inputs])[0])
    Grounder(model, RulePhrases()).ground_batch([seen])


LAYERS = ('layers.0.self_attn.q_proj.weight', 'layers.1.self_attn.o_proj.weight', 'lm_head.weight')


@pytest.mark.parametrize('name', LAYERS)
@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_a_broken_lmm_is_named(tiny_llava_dir: Path, name: str, value: float) -> None:
    model = build(tiny_llava_dir)
    weights_of(model, name)[0, 0] = value
    with pytest.raises(BrokenNumbersError, match=r"LMM's numbers are broken.*float32"):
        Conversation(Grounder(model, RulePhrases()), random_image(40, 40)).ask('what is this ?', max_new_tokens=4)
    if 'lm_head' not in name:
        with pytest.raises(BrokenNumbersError, match="LMM's numbers are broken"):
            ground(model, 'dog')


def test_a_broken_lmm_gives_no_answer_to_a_test_either(tiny_llava_dir: Path) -> None:
    """NaN has no largest logit: some word would be chosen, and a yes/no question get an answer."""
    model = build(tiny_llava_dir)
    weights_of(model, 'layers.1.self_attn.o_proj.weight')[0, 0] = torch.nan
    images = [random_image(40, 40), random_image(40, 60)]
    prompts = [model.lmm.prepare(image, 'what is this ?') for image in images]
    for answer in (
        lambda: model.lmm.generate(images[0], 'what is this ?', 2),
        lambda: answer_together(model.lmm, prompts, do_sample=False, max_new_tokens=2),
        lambda: lone_signals(model, images, ['a dog', 'a cat'], 'what is this ?', None),
    ):
        with pytest.raises(BrokenNumbersError, match=r"LMM's numbers are broken.*float32"):
            answer()


def test_a_broken_mask_head_is_told_from_the_lmm(tiny_llava_dir: Path) -> None:
    model = build(tiny_llava_dir)
    model.mask_head.conv_seg.weight.data[:] = torch.nan
    with pytest.raises(BrokenNumbersError, match='mask head or the refiner'):
        ground(model, 'dog')


def test_kept_maps_are_never_broken_and_keep_large_hidden_states(tiny_llava_dir: Path, tmp_path: Path) -> None:
    model = build(tiny_llava_dir, map_folder=str(tmp_path / 'maps'))
    inputs = model.lmm.prepare(random_image(40, 40), 'what is this ?', random_sample(40, 40, ['dog']).segments)
    model.lmm.decoder.norm.weight.data[:] = 1e6
    (first,), (again,) = model.lmm([inputs]), model.lmm([inputs])
    assert first.hidden_states.abs().max() > 70_000 and first.hidden_states.isfinite().all()
    torch.testing.assert_close(again.hidden_states, first.hidden_states, rtol=0, atol=0)

    other = build(tiny_llava_dir, map_folder=str(tmp_path / 'other'))
    weights_of(other, 'layers.0.self_attn.q_proj.weight')[0, 0] = torch.nan
    with pytest.raises(BrokenNumbersError, match="LMM's numbers"):
        other.lmm([inputs])
    assert not list((tmp_path / 'other').iterdir())
