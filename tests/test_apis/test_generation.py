"""Every argument of generate: the bare LMM's tokens in both turns, or an error that names it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    GenerationConfig,
    GenerationMixin,
    LogitsProcessorList,
    WatermarkingConfig,
)

from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.generation_arguments import ALONE, KNOWN, NO_EFFECT, REFUSED, WORKS, ArgumentError
from flmm_plugin.apis.grounding import Grounder
from flmm_plugin.apis.together import ask_together
from flmm_plugin.errors import UserError
from tests.test_apis.conftest import SILENT
from tests.test_engine.tiny_runs import ROOT
from tests.tiny_flmm import random_image

QUESTIONS = ('what is this ?', 'is there a dog ?')
LENGTH = 12
SAMPLED = dict(do_sample=True, temperature=1.5)

#: A value that makes a difference, or could, for every argument of the table that is not refused.
VALUES: dict[str, Any] = dict(
    max_new_tokens=5,
    max_length=160,
    min_new_tokens=9,
    min_length=100,
    max_time=100.0,
    stop_strings=['dogs'],
    eos_token_id=33,
    pad_token_id=3,
    bos_token_id=1,
    forced_eos_token_id=9,
    forced_bos_token_id=9,
    do_sample=True,
    temperature=0.5,
    top_k=3,
    top_p=0.5,
    top_h=0.5,
    min_p=0.1,
    typical_p=0.5,
    epsilon_cutoff=0.02,
    eta_cutoff=0.02,
    repetition_penalty=2.0,
    encoder_repetition_penalty=2.0,
    no_repeat_ngram_size=2,
    encoder_no_repeat_ngram_size=2,
    bad_words_ids=[[33], [28]],
    suppress_tokens=[*SILENT, 10, 11],
    begin_suppress_tokens=[16],
    sequence_bias={(10,): 5.0},
    renormalize_logits=True,
    remove_invalid_values=True,
    exponential_decay_length_penalty=(2, 1.5),
    guidance_scale=2.0,
    watermarking_config=WatermarkingConfig(bias=2.0),
    generation_config=GenerationConfig(max_new_tokens=7, no_repeat_ngram_size=1, suppress_tokens=SILENT),
    logits_processor=LogitsProcessorList([lambda ids, scores: scores + torch.arange(scores.shape[-1]) % 7]),
    stopping_criteria=[lambda ids, scores: torch.ones(len(ids), dtype=torch.bool) * (ids.shape[1] % 4 == 0)],
    prefix_allowed_tokens_fn=lambda batch, ids: [10, 11, 12 + ids.shape[-1] % 5],
    negative_prompt_ids=torch.tensor([[5, 6, 7]]),
    negative_prompt_attention_mask=torch.ones(1, 3, dtype=torch.long),
    use_model_defaults=True,
    num_beams=3,
    use_cache=False,
    cache_implementation='static',
    cache_config={},
    prompt_lookup_num_tokens=3,
    length_penalty=0.1,
    early_stopping=True,
    low_memory=True,
    disable_compile=True,
    num_assistant_tokens=3,
    num_assistant_tokens_schedule='heuristic',
    assistant_confidence_threshold=0.1,
    assistant_lookbehind=3,
    target_lookbehind=3,
    max_matching_ngram_size=1,
)
#: What these arguments are about.
TOGETHER: dict[str, dict[str, Any]] = {
    **{name: SAMPLED for name in 'top_k top_p top_h min_p typical_p epsilon_cutoff eta_cutoff temperature'.split()},
    **{name: dict(num_beams=2) for name in ('length_penalty', 'early_stopping')},
    **{key: dict(prompt_lookup_num_tokens=3) for key in ('num_assistant_tokens', 'max_matching_ngram_size')},
    'negative_prompt_ids': dict(guidance_scale=2.0),
    'negative_prompt_attention_mask': dict(guidance_scale=2.0, negative_prompt_ids=torch.tensor([[5, 6, 7]])),
}
#: transformers' own stop_strings fail on the tiny LMM's vocabulary of words; max_length is of one turn.
ASIDE = {'stop_strings', 'max_length'}
#: Objects rather than values, see the tests below, or nothing that a release knows without another.
ELSEWHERE = set(
    'streamer assistant_model tokenizer transformers_version compile_config synced_gpus decoder_start_token_id '
    'is_assistant assistant_early_exit assistant_ensemble_weight speculation_type continuous_batching_config '
    'max_cache_len generation_kwargs'.split()
)


def of_this_release() -> set[str]:
    config = {name for name in vars(GenerationConfig()) if not name.startswith('_')}
    return config | set(inspect.signature(GenerationMixin.generate).parameters) - {'self', 'kwargs'}


def both(talker: Grounder, **arguments: Any) -> list[list[int]]:
    """What conversation and bare LMM say in two turns under the arguments: they must agree."""
    conversation, said = Conversation(talker, random_image(40, 60)), []
    for question in QUESTIONS:
        prompt = conversation._prompt(question)
        length = {} if {'max_length', 'generation_config'} & arguments.keys() else dict(max_new_tokens=LENGTH)
        start = {} if 'generation_config' in arguments else dict(do_sample=False)
        torch.manual_seed(5)
        try:
            whole = conversation.lmm.answer(prompt, **{**start, **length, **arguments})
        except ValueError as error:  # this release's LLaVA cannot do it
            with pytest.raises(ValueError, match=f'cannot answer with.*{re.escape(str(error)[:40])}'):
                conversation.ask(question, **{**length, **arguments})
            pytest.skip(f'transformers says: {error}')
        torch.manual_seed(5)
        answer = conversation.ask(question, **{**length, **arguments})
        assert conversation._said.input_ids.tolist() == whole[0].tolist()
        assert answer.phrases or len(set(answer.answer.split())) == 1  # a pronoun or an article is no phrase
        said.append(whole[0, len(prompt.input_ids) :].tolist())
    return said


def test_the_table_knows_every_argument_of_the_release() -> None:
    assert of_this_release() - KNOWN == set()
    assert len(KNOWN) == sum(map(len, (WORKS, ALONE, NO_EFFECT, REFUSED))), 'an argument has two places'
    assert (WORKS | ALONE | NO_EFFECT) - VALUES.keys() - ELSEWHERE == set(), 'not tried below'


@pytest.mark.parametrize('name', sorted(((WORKS | ALONE | NO_EFFECT) & VALUES.keys() & of_this_release()) - ASIDE))
def test_the_tokens_are_the_bare_lmm_s(talker: Grounder, name: str) -> None:
    both(talker, **{**TOGETHER.get(name, {}), name: VALUES[name]})


@pytest.mark.parametrize('name', sorted(REFUSED))
def test_what_is_not_possible_is_refused_by_name(talker: Grounder, name: str) -> None:
    value = 2 if name in ('num_return_sequences', 'num_beam_groups') else True
    conversation = Conversation(talker, random_image(40, 60))
    with pytest.raises(ArgumentError, match=f'^{name} is not possible here: '):
        conversation.ask('what is this ?', **{name: value})
    if hasattr(GenerationConfig(), name):
        config = GenerationConfig()
        setattr(config, name, value)
        with pytest.raises(UserError, match=f'^{name} is not possible here: '):
            conversation.ask('what is this ?', generation_config=config)
        conversation.ask('what is this ?', max_new_tokens=1, **{name: getattr(GenerationConfig(), name)})


def test_unknown_arguments_are_named(talker: Grounder) -> None:
    conversation = Conversation(talker, random_image(40, 60))
    with pytest.raises(ArgumentError, match=r'^temprature is no argument.*did you mean temperature'):
        conversation.ask('what is this ?', temprature=0.5)
    with pytest.raises(ArgumentError, match='GenerationConfig, got dict'):
        conversation.ask('what is this ?', generation_config={})
    with pytest.raises(ArgumentError, match='max_length=9 counts the prompt'):
        conversation.ask('what is this ?', max_length=9)
    assert not conversation.turns


@pytest.mark.parametrize(
    ('name', 'value'),
    [('max_new_tokens', 0), ('max_new_tokens', '5'), ('stopping_criteria', len), ('logits_processor', len)],
)
def test_values_that_transformers_cannot_do_with_are_named(talker: Grounder, name: str, value: Any) -> None:
    conversation = Conversation(talker, random_image(40, 60))
    with pytest.raises(ArgumentError, match=f'cannot answer with {name}: '):
        conversation.ask('what is this ?', **{name: value})
    with pytest.raises(ArgumentError, match=f'cannot answer with {name}: '):
        ask_together(talker, [random_image(40, 60)] * 2, ['what is this ?'] * 2, {name: value})
    assert conversation.ask('what is this ?', max_new_tokens=1).answer


def test_the_bare_lmm_s_static_cache_is_its_own(talker: Grounder) -> None:
    """What is asked runs in inference mode, whose tensors nothing else may write to."""
    conversation, options = Conversation(talker, random_image(40, 60)), dict(cache_implementation='static')
    prompt = conversation._prompt('what is this ?')
    conversation.ask('what is this ?', max_new_tokens=3, **options)
    conversation.lmm.model.generate(**conversation.lmm.collate([prompt]), max_new_tokens=2, **options)


@pytest.mark.parametrize(
    'config',
    [
        dict(use_cache=False),
        dict(num_beams=2),
        dict(return_dict_in_generate=True, output_scores=True),
        dict(cache_implementation='static'),
        dict(do_sample=True, temperature=0.7),
    ],
    ids=lambda config: '-'.join(config),
)
def test_what_the_checkpoint_asks_for(talker: Grounder, config: dict[str, Any], monkeypatch: Any) -> None:
    own = talker.model.lmm.model.generation_config
    for name, value in config.items():
        monkeypatch.setattr(own, name, value)
    conversation = Conversation(talker, random_image(40, 60))
    for question in QUESTIONS:
        prompt = conversation._prompt(question)
        options = dict(max_new_tokens=LENGTH, do_sample=False, return_dict_in_generate=False)
        whole = conversation.lmm.answer(prompt, **{**options, 'cache_implementation': None})
        conversation.ask(question, max_new_tokens=LENGTH)
        assert conversation._said.input_ids.tolist() == whole[0].tolist()


def test_the_docs_have_the_table() -> None:
    page = Path(ROOT, 'docs/chat.md').read_text()
    rows = [line for line in page.splitlines() if line.startswith('| ') and line.count('`') >= 8]
    told = {name for row in rows for name in re.findall(r'`(\w+)`', row)}
    assert KNOWN - told == set()
