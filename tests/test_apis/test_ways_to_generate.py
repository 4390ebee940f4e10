"""Beams, samples, streams, stop strings and the end of the context, in a conversation."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast, StopStringCriteria

from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.generation import StopAtStrings
from flmm_plugin.apis.generation_arguments import ArgumentError
from flmm_plugin.apis.grounding import Grounder
from flmm_plugin.models.lmms.context import ContextError, check_context
from flmm_plugin.structures import Segment
from tests.test_apis.conftest import SILENT
from tests.test_apis.test_generation import QUESTIONS, both
from tests.tiny_flmm import random_image


def test_a_generation_config_says_it_all(talker: Grounder) -> None:
    config = GenerationConfig(max_new_tokens=9, num_beams=3, length_penalty=2.0, suppress_tokens=SILENT)
    said = both(talker, generation_config=config)
    assert said[0] == both(talker, num_beams=3, length_penalty=2.0, max_new_tokens=9)[0]
    sampled = GenerationConfig(max_new_tokens=9, do_sample=True, temperature=2.0, suppress_tokens=SILENT)
    assert both(talker, generation_config=sampled)[0] != said[0]


def test_max_length_counts_the_prompt(talker: Grounder) -> None:
    conversation = Conversation(talker, random_image(40, 60))
    prompt = conversation._prompt('what is this ?')
    most = len(prompt.input_ids) + 7
    whole = conversation.lmm.answer(prompt, do_sample=False, max_length=most)
    config = GenerationConfig(max_length=most, suppress_tokens=SILENT)
    for arguments in (dict(max_length=most), dict(generation_config=config)):
        conversation = Conversation(talker, random_image(40, 60))
        conversation.ask('what is this ?', **arguments)
        assert conversation._said.input_ids.tolist() == whole[0].tolist() and whole.shape[1] == most


def test_ways_change_between_turns(talker: Grounder) -> None:
    """Beams, then greedy with the kept tokens, then without a cache: as if each had been all along."""
    conversation = Conversation(talker, random_image(40, 60))
    for arguments in (dict(num_beams=3), {}, dict(use_cache=False), dict(assistant_model=conversation.lmm.model), {}):
        prompt, said, turns = conversation._prompt('what is this ?'), conversation._said, list(conversation.turns)
        whole = conversation.lmm.answer(prompt, do_sample=False, max_new_tokens=6, **arguments)
        answer = conversation.ask('what is this ?', max_new_tokens=6, **arguments)
        assert conversation._said.input_ids.tolist() == whole[0].tolist() and answer.phrases
        fresh = Conversation(talker, conversation.image)
        fresh._said, fresh.turns = said, turns
        again = fresh.ask('what is this ?', max_new_tokens=6, **arguments)
        scores = [phrase.score for phrase in answer.phrases]
        assert scores == pytest.approx([phrase.score for phrase in again.phrases], abs=1e-4)


def test_sampling_repeats_with_a_seed(talker: Grounder) -> None:
    def sampled(seed: int) -> list[str]:
        torch.manual_seed(seed)
        conversation = Conversation(talker, random_image(40, 60))
        return [conversation.ask(q, do_sample=True, temperature=3.0, max_new_tokens=8).answer for q in QUESTIONS]

    assert sampled(1) == sampled(1) != sampled(2)


@pytest.mark.parametrize('arguments', [{}, dict(num_beams=3), dict(use_cache=False)])
def test_text_comes_in_pieces_or_whole(talker: Grounder, arguments: dict[str, Any]) -> None:
    stream = Conversation(talker, random_image(40, 60)).stream('what is this ?', max_new_tokens=8, **arguments)
    pieces = list(stream)
    assert ''.join(pieces) == stream.result.answer
    assert (len(pieces) == 1) == ('num_beams' in arguments)
    with pytest.raises(ArgumentError, match='choose one'):
        list(Conversation(talker, random_image(40, 60)).stream('what is this ?', streamer=object()))


def test_stop_strings_end_the_answer(talker: Grounder) -> None:
    def ask(**arguments: Any) -> str:
        return Conversation(talker, random_image(40, 60)).ask('what is this ?', max_new_tokens=8, **arguments).answer

    words = ask().split()
    assert len(words) == 8
    stop = ' '.join(words[2:4])
    end = next(i for i in range(8) if stop in ' '.join(words[:i]))
    tokenizer = talker.model.lmm.processor.tokenizer
    for arguments in (dict(stop_strings=[stop]), dict(stop_strings=stop, tokenizer=tokenizer)):
        assert ask(**arguments).split() == words[:end]
    assert ask(stop_strings=['nowhere']).split() == words
    assert len(ask(stop_strings=[stop], num_beams=2).split()) <= 8


def test_stop_strings_end_where_transformers_ends() -> None:
    tokenizer = byte_tokenizer()
    generator = torch.Generator().manual_seed(0)
    text = 'the dog, the sky. and. «été» the end; then a dog and the dogs.'
    for stops in (['.'], ['dog'], ['e d', 'y.'], ['the end', 'zebra'], ['og and']):
        ids = torch.tensor([tokenizer(text[int(torch.randint(0, 9, (), generator=generator)) :])['input_ids']])
        ours, theirs = StopAtStrings(tokenizer, stops, 0), StopStringCriteria(tokenizer, stops)
        for end in range(1, ids.shape[1] + 1):
            before = bool(theirs(ids[:, :end], None))
            assert bool(ours(ids[:, :end], None)) >= before
            if before:  # generation ends here
                assert not ours(ids[:, : end - 1], None)
                break


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, and some pairs of them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [('t', 'h'), ('th', 'e'), ('d', 'o'), ('Ġ', 'd'), ('g', 's'), ('y', '.'), ('n', 'd'), ('Ġ', 'the')]
    vocabulary = {token: i for i, token in enumerate([*alphabet, *(''.join(merge) for merge in merges)])}
    made = Tokenizer(models.BPE(vocabulary, merges))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made, clean_up_tokenization_spaces=False)


def test_the_context_is_kept_to(talker: Grounder, monkeypatch: Any) -> None:
    """An answer ends at the last position that the LMM was made for; the next question is refused."""
    conversation = Conversation(talker, random_image(40, 60))
    free = conversation.ask('what is this ?', max_new_tokens=8).answer.split()
    tokens = len(Conversation(talker, random_image(40, 60))._prompt('what is this ?').input_ids)
    monkeypatch.setattr(talker.model.lmm.text_config, 'max_position_embeddings', tokens + 5)
    conversation = Conversation(talker, random_image(40, 60))
    with pytest.warns(UserWarning, match='last token that the LMM reads: begin a new conversation'):
        assert conversation.ask('what is this ?').answer.split() == free[:5]
    with pytest.raises(ContextError, match=rf'has \d+ tokens by now and .* reads {tokens + 5}: begin a new'):
        conversation.ask('and ?')
    assert len(conversation.turns) == 1
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        assert (
            len(Conversation(talker, random_image(40, 60)).ask('what is this ?', max_new_tokens=4).answer.split()) == 4
        )
    sample = conversation.lmm.prepare(random_image(40, 60), 'what is this ?', [Segment('the dog', 0)] * 4)
    with pytest.raises(ContextError, match='of them the picture'):
        check_context(conversation.lmm, sample)
    branches = [Segment('the dog', index, branch=index) for index in range(9)]
    check_context(conversation.lmm, conversation.lmm.prepare(random_image(40, 60), 'what is this ?', branches))
