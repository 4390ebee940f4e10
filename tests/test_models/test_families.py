"""Every family of LMMs by AutoLMM: what is captured is what transformers' eager attention gives, however it is read."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, DynamicCache

from flmm_plugin.models.capture.positions import KeptTokens
from flmm_plugin.models.capture.recording import stack_grids
from flmm_plugin.models.layouts.certificate import certifiable_sizes, examine
from flmm_plugin.models.lmms import AutoLMM
from flmm_plugin.models.lmms.parallel import answer_together
from flmm_plugin.structures import LMMInputs, LMMOutputs, Segment
from tests.auto_families import FAMILIES, FURTHER
from tests.tiny_flmm import random_image

SIZES = [(168, 280), (280, 168), (150, 150), (130, 390)]
TEXTS = [
    [Segment('there is'), Segment('the dog', 0), Segment('and'), Segment('two dogs', 1)],
    [Segment('grass', 0), Segment('are under the sky', 1)],
    [Segment('there are'), Segment('two dogs', 0), Segment('in the grass and'), Segment('a thing under the sky', 1)],
    [Segment('sky', 0), Segment('and'), Segment('grass', 1)],
]
# Models of these types, or on these texts, have heads x head width unlike the width of the model.
WIDER = ('qwen3_vl', 'qwen3_vl_moe', 'qwen3_5', 'qwen3', 'gemma3', 'gemma4', 'cohere2', 'paligemma', 'llama4')
WIDER += (
    'gemma3n_text',
    'qwen3_5_moe',
    'minicpmv4_6',
    'lfm3',
    'qwen3_omni_moe_text',
    'minimax_m3_vl',
    'gemma4_unified',
)
WIDER += ('nemotron_h', 'cosmos3_omni', 'cosmos3_edge', 'muse_glimmer', 'minicpmv4_7')


@pytest.fixture(
    scope='module',
    params=[*sorted(FAMILIES), *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(FURTHER))],
)
def lmm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AutoLMM:
    folder = (FAMILIES | FURTHER)[request.param](tmp_path_factory.mktemp(request.param))
    return AutoLMM(str(folder), certify=False, dtype='float32')


def make_samples(lmm: AutoLMM) -> list[LMMInputs]:
    pictures = [random_image(*size, seed=index) for index, size in enumerate(SIZES)]
    return [lmm.prepare(picture, 'describe', text) for picture, text in zip(pictures, TEXTS, strict=True)]


def beyond_words(lmm: AutoLMM) -> list[int]:
    """What Gemma 3n has for pictures and sounds, which no trained one says."""
    return list(range(len(lmm.processor.tokenizer), lmm.text_config.vocab_size))


def assert_same(found: LMMOutputs, expected: LMMOutputs, tolerance: float) -> None:
    torch.testing.assert_close(found.attention_maps, expected.attention_maps, atol=tolerance, rtol=0)
    torch.testing.assert_close(found.hidden_states, expected.hidden_states, atol=10 * tolerance, rtol=1e-4)
    assert torch.equal(found.phrase_ids, expected.phrase_ids)


@torch.no_grad()
def eager_maps(lmm: AutoLMM, sample: LMMInputs) -> Tensor:
    """What transformers gives when it is asked for all attention; where a question sees itself, after reading it."""
    config = AutoConfig.from_pretrained(lmm.name)
    model = AutoModelForImageTextToText.from_pretrained(lmm.name, config=config, attn_implementation='eager')
    inputs, past, first = lmm.collate([sample]), None, sample.prompt_length or 0
    if first:
        past = DynamicCache()
        model(**lmm.collate([sample.first(first)]), past_key_values=past)
        inputs = dict(input_ids=inputs['input_ids'][:, first:], attention_mask=inputs['attention_mask'])
    made = model(**inputs, past_key_values=past, output_attentions=True).attentions
    layers = torch.cat([layer[0] for layer in made if layer is not None])  # (L * H, N, N)
    phrases = [(sample.phrase_ids == phrase).nonzero().flatten() - first for phrase in range(sample.num_phrases)]
    columns = torch.cat([grid.columns for grid in sample.grids])
    return stack_grids(torch.stack([layers[:, rows].mean(1)[:, columns] for rows in phrases]), sample)


def test_maps_equal_eager_attention(lmm: AutoLMM) -> None:
    sample = make_samples(lmm)[0]
    maps = lmm([sample])[0].attention_maps
    assert maps.shape[1] == lmm.num_maps
    torch.testing.assert_close(maps, eager_maps(lmm, sample), atol=1e-5, rtol=0)
    flat = maps.flatten(2)
    # Else anything would equal anything; layers that slide may see no image at all.
    assert (flat.amax(-1) / flat.mean(-1).clamp(min=1e-9)).quantile(0.75) > 1.1


def test_batch_of_different_sizes_equals_singles(lmm: AutoLMM) -> None:
    samples = make_samples(lmm)
    assert len({len(sample.input_ids) for sample in samples}) > 1
    for one, sample in zip(lmm(samples), samples, strict=True):
        assert_same(one, lmm([sample])[0], 1e-5)


def test_branches_equal_singles(lmm: AutoLMM) -> None:
    image, shared = random_image(*SIZES[0]), Segment('there is')
    texts = ['the dog', 'two dogs and a thing in the grass', 'sky']
    branches = [Segment(text, index, branch=index) for index, text in enumerate(texts)]
    together = lmm([lmm.prepare(image, 'describe', [shared, *branches])])[0]
    for index, text in enumerate(texts):
        alone = lmm([lmm.prepare(image, 'describe', [shared, Segment(text, 0)])])[0]
        mine = together.phrase_ids == index
        found = replace(
            together,
            attention_maps=together.attention_maps[index : index + 1],
            hidden_states=together.hidden_states[:, mine],
            phrase_ids=together.phrase_ids[mine] * 0,
        )
        assert_same(found, alone, 1e-5)


@torch.no_grad()
def test_grounding_after_generate_and_in_a_second_turn_equals_a_full_pass(lmm: AutoLMM) -> None:
    """Also where other pictures are read in between, whose positions the model then keeps as its state."""
    specials = [token for word, token in lmm.processor.tokenizer.get_vocab().items() if word[0] in '<[]']
    specials += beyond_words(lmm)
    greedy = dict(do_sample=False, min_new_tokens=5, max_new_tokens=5, suppress_tokens=specials)
    prompt = lmm.prepare(random_image(*SIZES[0]), 'describe this image')
    other = lmm.prepare(random_image(*SIZES[3]), 'describe')
    past, known = KeptTokens(), 0
    for question in ('is there a dog ?', 'two dogs and grass'):
        length = len(prompt.input_ids)
        answer = lmm.answer(prompt, past, known, **greedy)[0, length:].tolist()
        lmm.read(other)
        assert answer == lmm.answer(prompt, KeptTokens(), **greedy)[0, length:].tolist()
        lmm.read(other)
        assert len(answer) == 5
        said = prompt.follow(answer, torch.arange(len(answer)))
        assert_same(lmm.forward_cached(said, past, length), lmm([said])[0], 1e-4)
        known = length
        prompt = said.follow(lmm.processor.tokenizer(question, add_special_tokens=False)['input_ids'])


def test_tokens_look_at_their_cells(lmm: AutoLMM) -> None:
    verdict = examine(lmm, certifiable_sizes(lmm)[0])
    assert verdict.cells and not verdict.wrong


def test_heads_are_as_wide_as_promised(lmm: AutoLMM) -> None:
    """The last layer's rows are put back at the width that the layer has."""
    layer = lmm.decoder.layers[lmm.attention_layers[-1]]
    attention = getattr(layer, 'self_attn', None) or layer.mixer
    if getattr(attention, 'q_proj', None) is None:
        pytest.skip('its queries are made otherwise')
    assert (attention.q_proj.out_features != lmm.hidden_size) == bool(
        {lmm.config.model_type, lmm.text_config.model_type} & {*WIDER}
    )


def test_windows_slide_within_the_prompts(lmm: AutoLMM) -> None:
    """Where a family's attention slides, the pictures here are beyond its reach; layers differ as promised."""
    window = getattr(lmm.text_config, 'sliding_window', None)
    kinds = set(getattr(lmm.text_config, 'layer_types', None) or ())
    assert 'sliding_attention' not in kinds or window < min(len(s.input_ids) for s in make_samples(lmm))
    assert all(a < b for a, b in pairwise(lmm.attention_layers))


def test_answers_together_are_those_alone(lmm: AutoLMM) -> None:
    """And what is left of each prompt serves the answer's second pass."""
    prompts = [lmm.prepare(random_image(*size, seed=9 + i), 'what is it?') for i, size in enumerate(SIZES)]
    marks = [getattr(lmm.config, f'vision_{end}_token_id', lmm.image_token_id) for end in ('start', 'end')]
    special = [*lmm.processor.tokenizer.all_special_ids, lmm.image_token_id, *marks, *beyond_words(lmm)]
    options = dict(do_sample=False, min_new_tokens=2, max_new_tokens=8, suppress_tokens=special)
    together = answer_together(lmm, prompts, **options)
    for prompt, (ids, past) in zip(prompts, together, strict=True):
        alone = lmm.answer(prompt, **options)[0, len(prompt.input_ids) :].tolist()
        assert ids == alone
        if past is not None:
            said = prompt.follow(ids, torch.tensor([0] * 2 + [-1] * (len(ids) - 2)))
            assert_same(lmm.forward_cached(said, past, len(prompt.input_ids)), lmm([said])[0], 1e-4)
