"""Conversations say what the bare LMM says, and ground it as a full forward pass would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from flmm_plugin.apis.cache_budget import CacheBudget
from flmm_plugin.apis.conversation import Conversation
from flmm_plugin.apis.grounding import Grounder
from flmm_plugin.apis.phrases import Phrase, PhraseExtractor, RulePhrases, phrase_ids, token_spans
from flmm_plugin.apis.turns import next_turn
from flmm_plugin.errors import UserError
from flmm_plugin.models import FLMM
from flmm_plugin.models.groundings import image_attention
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import random_image, tiny_flmm
from tests.tiny_lmms import FAMILIES

QUESTIONS = ('what is this ?', 'is there a dog ?', 'and grass ?')


class EveryWord(PhraseExtractor):
    """A random LMM names nothing sensible: here every word is a phrase."""

    def find(self, text, ask=None):
        spans, at = [], 0
        for word in text.split():
            at = text.index(word, at)
            spans.append((at, at + len(word)))
            at += len(word)
        return spans


@pytest.fixture(scope='module', params=FAMILIES)
def grounder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Grounder:
    save, adapter = FAMILIES[request.param]
    return make_grounder(save(tmp_path_factory.mktemp(request.param)), adapter)


def make_grounder(folder: Path, adapter: str, **lmm: Any) -> Grounder:
    torch.manual_seed(0)
    config = tiny_flmm(folder, adapter)
    model: FLMM = MODELS.build({**config, 'lmm': {**config['lmm'], **lmm}}).eval()
    # A random LMM writes anything, its image token too, and may end at once.
    words = model.lmm.processor.tokenizer.get_vocab().items()
    model.lmm.model.generation_config.suppress_tokens = [token for word, token in words if word[0] in '<:.,?']
    return Grounder(model, EveryWord(), min_score=-10.0)


def bare_generate(conversation: Conversation, prompt: Tensor, tokens: int) -> list[int]:
    """The LMM's own generate on the whole text, nothing cached."""
    lmm = conversation.lmm
    whole = replace(lmm.prepare(conversation.image, 'x'), input_ids=prompt, phrase_ids=torch.full_like(prompt, -1))
    made = lmm.model.generate(**lmm.collate([whole]), do_sample=False, max_new_tokens=tokens)
    return made[0, len(prompt) :].tolist()


def test_tokens_are_those_of_the_bare_lmm_in_every_turn(grounder: Grounder) -> None:
    conversation = Conversation(grounder, random_image(40, 60))
    before = grounder.model.lmm.weights_hash()
    for turn, question in enumerate(QUESTIONS):
        prompt = conversation._prompt(question).input_ids
        expected = bare_generate(conversation, prompt, 12)
        conversation.ask(question, max_new_tokens=12)
        assert conversation._said.input_ids.tolist() == prompt.tolist() + expected
        if turn == 0:
            ids, text = grounder.model.lmm.generate(conversation.image, question, 12)
            assert expected == ids.tolist() and conversation.turns[0].answer == text
    assert grounder.model.lmm.weights_hash() == before


def test_cached_grounding_equals_a_full_forward_pass(grounder: Grounder) -> None:
    conversation = Conversation(grounder, random_image(60, 40))
    for question in QUESTIONS:
        prompt = conversation._prompt(question)
        answer = conversation.ask(question, max_new_tokens=8)
        said = conversation._said
        assert answer.phrases, 'nothing to compare'
        # The same phrases, found in the generated ids, grounded by one pass over everything.
        ids = said.input_ids[len(prompt.input_ids) :].tolist()
        spans = token_spans(conversation.lmm.processor.tokenizer, ids)[1]
        phrases = [Phrase(p.text, p.spans) for p in answer.phrases]
        inputs = prompt.follow(ids, phrase_ids(spans, phrases))
        with torch.inference_mode():
            (full,) = conversation.lmm([inputs])
            cached = conversation.lmm.forward_cached(inputs, conversation._past, len(prompt.input_ids))
            images = [conversation.image]
            (expected,) = grounder.model.ground_batch(images, [inputs], [full])
            (found,) = grounder.model.ground_batch(images, [inputs], [cached])
        for name in ('attention_maps', 'hidden_states'):
            torch.testing.assert_close(getattr(cached, name), getattr(full, name), atol=1e-5, rtol=1e-4)
        for name in ('coarse', 'refined', 'scores'):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=1e-4, rtol=1e-4)
        scores = torch.tensor([phrase.score for phrase in answer.phrases])
        torch.testing.assert_close(scores, expected.scores, atol=1e-4, rtol=1e-4)


def test_pieces_of_a_stream_are_the_answer(grounder: Grounder) -> None:
    conversation = Conversation(grounder, random_image(40, 40))
    for question in QUESTIONS[:2]:
        stream = conversation.stream(question, max_new_tokens=10)
        pieces = list(stream)
        assert len(pieces) > 2
        assert ''.join(pieces) == stream.result.answer == conversation.turns[-1].answer
    alone = Conversation(grounder, random_image(40, 40)).ask(QUESTIONS[0], max_new_tokens=10)
    assert alone.answer == conversation.turns[0].answer


def test_a_closed_stream_ends_the_answer_early(grounder: Grounder) -> None:
    conversation = Conversation(grounder, random_image(40, 40))
    stream = conversation.stream('what is this ?', max_new_tokens=400)
    next(stream)
    stream.close()
    assert 0 < len(stream.result.answer.split()) < 300


def test_errors_come_out_of_a_stream(grounder: Grounder) -> None:
    conversation = Conversation(grounder, random_image(40, 40))
    with pytest.raises(ValueError, match='no_such_argument'):
        list(conversation.stream('what is this ?', no_such_argument=1))
    with pytest.raises(UserError, match='question is empty'):
        conversation.ask('  ')
    with pytest.raises(UserError, match='question is empty'):
        conversation.stream('')


def test_a_failed_turn_leaves_the_conversation_as_it_was(grounder: Grounder) -> None:
    image = random_image(40, 40)
    conversation, other = Conversation(grounder, image), Conversation(grounder, image)
    conversation.ask(QUESTIONS[0], max_new_tokens=6)
    with pytest.raises(ValueError, match='no_such_argument'):
        conversation.ask(QUESTIONS[1], no_such_argument=1)
    other.ask(QUESTIONS[0], max_new_tokens=6)
    answers = [each.ask(QUESTIONS[2], max_new_tokens=6).answer for each in (conversation, other)]
    assert answers[0] == answers[1] and len(conversation.turns) == 2


def test_the_lmm_is_asked_aside_without_changing_the_conversation(grounder: Grounder) -> None:
    image, replies = random_image(40, 40), []

    class Asking(EveryWord):
        def find(self, text, ask=None):
            replies.append(ask('what is there ?'))
            return super().find(text)

    asking = Grounder(grounder.model, Asking(), min_score=-10.0)
    first, plain = Conversation(asking, image), Conversation(grounder, image)
    for question in QUESTIONS:
        told, bare = (each.ask(question, max_new_tokens=6) for each in (first, plain))
        assert told.answer == bare.answer
        assert [p.score for p in told.phrases] == pytest.approx([p.score for p in bare.phrases], abs=1e-4)
    assert len(replies) == 3


def test_the_next_turn_is_that_of_the_chat_template(grounder: Grounder) -> None:
    lmm = grounder.model.lmm
    tokenizer = lmm.processor.tokenizer
    for ended in (True, False):
        last = [7, tokenizer.eos_token_id] if ended else [7]
        ids = next_turn(lmm, 'is there a dog ?', 'and grass ?', last)
        eos = '' if ended else '</s>'
        user, assistant = (
            ('User:', 'Assistant:') if 'deepseek' in type(lmm).__name__.lower() else ('USER:', 'ASSISTANT:')
        )
        expected = tokenizer(f'{eos} {user} and grass ? {assistant}', add_special_tokens=False)['input_ids']
        assert ids == expected
    image = tokenizer.convert_ids_to_tokens(lmm.image_token_id)
    with pytest.raises(UserError, match='image token'):
        next_turn(lmm, 'is there a dog ?', f'and {image} ?', [7])


def test_below_a_threshold_nothing_is_grounded(grounder: Grounder) -> None:
    image = random_image(30, 50)
    found = Conversation(grounder, image).ask('what is this ?', max_new_tokens=6).phrases
    scores = sorted(phrase.score for phrase in found)
    limit = scores[len(scores) // 2]
    some = Conversation(Grounder(grounder.model, EveryWord(), min_score=limit), image)
    for phrase in some.ask('what is this ?', max_new_tokens=6).phrases:
        assert phrase.grounded == (phrase.score >= limit and phrase.mask is not None)
        assert (phrase.mask is None) == (phrase.box is None) == (not phrase.grounded)
    strict = Grounder(grounder.model, EveryWord(), min_score=-10.0, min_attention=1.0)
    assert not Conversation(strict, image).ask('what is this ?', max_new_tokens=6).grounded
    assert all(0 < phrase.attention < 1 for phrase in found)


def test_share_of_attention_is_what_eager_attention_gives(tmp_path: Path) -> None:
    save, adapter = FAMILIES['llava']
    lmm = MODELS.build(dict(type=adapter, pretrained=str(save(tmp_path))))
    answer = lmm.processor.tokenizer('the dog', add_special_tokens=False)['input_ids']
    image = random_image(40, 60)
    inputs = lmm.prepare(image, 'what is this ?').follow(answer, torch.tensor([-1, 0]))
    (outputs,) = lmm([inputs])
    share = image_attention(outputs.attention_maps, inputs.grids)
    lmm.model.set_attn_implementation('eager')
    with torch.no_grad():
        full = lmm.model(**lmm.collate([inputs]), output_attentions=True).attentions
    expected = torch.stack(full)[:, 0, :, -1][..., inputs.finest_grid.columns].sum(-1).mean()
    torch.testing.assert_close(share, expected[None], atol=1e-5, rtol=1e-4)


def test_no_phrase_no_grounding(grounder: Grounder) -> None:
    silent = Grounder(grounder.model, RulePhrases())
    silent.extractor.find = lambda text, ask=None: []
    answer = Conversation(silent, random_image(40, 40)).ask('what is this ?', max_new_tokens=4)
    assert answer.phrases == () and answer.answer


def test_an_image_token_in_the_answer_is_an_error_that_says_so(grounder: Grounder) -> None:
    lmm = grounder.model.lmm
    generation = lmm.model.generation_config
    before, generation.suppress_tokens = generation.suppress_tokens, None
    generation.sequence_bias = None
    try:
        with pytest.raises(UserError, match='suppress_tokens'):
            Conversation(grounder, random_image(40, 40)).ask(
                'what is this ?', max_new_tokens=4, sequence_bias={(lmm.image_token_id,): 1e4}
            )
    finally:
        generation.suppress_tokens = before


def test_twenty_conversations_keep_to_their_bound(grounder: Grounder) -> None:
    images = [random_image(40, 40, seed=index) for index in range(20)]
    alone = [Conversation(grounder, image).ask(QUESTIONS[0], max_new_tokens=4) for image in images]
    one = Conversation(grounder, images[0])
    one.ask(QUESTIONS[0], max_new_tokens=4)
    bounded = replace(grounder, caches=CacheBudget(3 * one.cache_bytes))
    conversations = [Conversation(bounded, image) for image in images]
    for question in QUESTIONS[:2]:
        for index, conversation in enumerate(conversations):
            answer = conversation.ask(question, max_new_tokens=4)
            assert conversation.cache_bytes > 0 and bounded.caches.num_bytes <= bounded.caches.max_bytes
            assert bounded.caches.num_bytes == sum(each.cache_bytes for each in conversations)
            if question == QUESTIONS[0]:
                assert answer.answer == alone[index].answer
    kept = Conversation(grounder, images[0])
    expected = [kept.ask(question, max_new_tokens=4).answer for question in QUESTIONS[:2]]
    assert [turn.answer for turn in conversations[0].turns] == expected
