"""Characters and generated tokens belong together exactly, whatever the tokenizer and the script."""

from __future__ import annotations

import random

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from flmm_plugin.apis.phrases import Phrase, phrase_ids, token_spans

TEXTS = [
    'The quick brown dog sits on a mat.',
    'Ein Hündchen läuft über die Straße.',
    '一只小狗坐在草地上，旁边有两个人。',
    'A 👩‍👩‍👧 family 🎉 with a 🐶!',
    'cafe\u0301 and nai\u0308ve and Z\u0351\u036bal',
    'mixed 狗dog犬 текст ‏עברית‎ end',
]


def wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token='</s>', unk_token='<unk>', clean_up_tokenization_spaces=False
    )


@pytest.fixture(scope='module')
def byte_level() -> PreTrainedTokenizerFast:
    """As of GPT-2, Llama 3 and Qwen: pieces are bytes, a character may be cut anywhere."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=['<unk>', '</s>'], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS[:3], trainer)
    return wrap(tokenizer)


@pytest.fixture(scope='module')
def sentencepiece() -> PreTrainedTokenizerFast:
    """As of Llama 2 and Mistral: "▁" for spaces, bytes for characters that the vocabulary lacks."""
    plain = Tokenizer(models.BPE())
    plain.normalizer = normalizers.Replace(' ', '▁')
    plain.train_from_iterator(TEXTS[:2], trainers.BpeTrainer(vocab_size=120, special_tokens=['<unk>', '</s>']))
    vocab = plain.get_vocab()
    for byte in range(256):
        vocab[f'<0x{byte:02X}>'] = len(vocab)
    model = models.BPE(vocab, read_merges(plain), unk_token='<unk>', byte_fallback=True, fuse_unk=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend('▁'), normalizers.Replace(' ', '▁')])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(' ', 1, 0)]
    )
    return wrap(tokenizer)


def read_merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    import json

    return [tuple(merge) for merge in json.loads(tokenizer.to_str())['model']['merges']]


def piece_bytes(tokenizer: PreTrainedTokenizerFast, token: int, byte_level: bool) -> bytes:
    """What a token writes, read from its name in the vocabulary."""
    piece = tokenizer.convert_ids_to_tokens(token)
    if piece in tokenizer.all_special_tokens:
        return b''
    if byte_level:
        return bytes(CHARACTER_BYTES[character] for character in piece)
    if piece.startswith('<0x'):
        return bytes([int(piece[3:5], 16)])
    return piece.replace('▁', ' ').encode()


def byte_level_alphabet() -> dict[str, int]:
    """GPT-2's characters for bytes: printable ones stand for themselves, the rest follow from 256."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


CHARACTER_BYTES = byte_level_alphabet()


def expected_spans(pieces: list[bytes]) -> list[tuple[int, int]]:
    """Spans by counting bytes: a token has every character that it holds a byte of."""
    data = b''.join(pieces)
    owner = []  # the character that each byte is part of
    for index, character in enumerate(data.decode()):
        owner += [index] * len(character.encode())
    spans, at = [], 0
    for piece in pieces:
        here = owner[at : at + len(piece)]
        at += len(piece)
        spans.append((here[0], here[-1] + 1) if here else None)
    return spans


def check(tokenizer: PreTrainedTokenizerFast, ids: list[int], byte_level: bool) -> None:
    pieces = [piece_bytes(tokenizer, token, byte_level) for token in ids]
    if not byte_level and pieces:  # the decoder drops the space before the first word
        pieces[0] = pieces[0].removeprefix(b' ')
    text, spans = token_spans(tokenizer, ids)
    assert text == b''.join(pieces).decode().strip()
    for piece, found, wanted in zip(pieces, spans, expected_spans(pieces), strict=True):
        if wanted is None:
            assert found[0] == found[1], piece
        else:
            assert found == wanted, (piece, text)


@pytest.mark.parametrize('text', TEXTS)
def test_byte_level(byte_level: PreTrainedTokenizerFast, text: str) -> None:
    check(byte_level, [*byte_level(text)['input_ids'], byte_level.eos_token_id], byte_level=True)


@pytest.mark.parametrize('text', TEXTS)
def test_sentencepiece(sentencepiece: PreTrainedTokenizerFast, text: str) -> None:
    check(sentencepiece, [*sentencepiece(text)['input_ids'], sentencepiece.eos_token_id], byte_level=False)


@pytest.mark.parametrize('seed', range(20))
def test_ids_that_no_tokenizer_would_choose(byte_level: PreTrainedTokenizerFast, seed: int) -> None:
    """An LMM may write a text in other tokens than the tokenizer: here cut at random, down to single bytes."""
    rng = random.Random(seed)
    ids = []
    for token in byte_level(rng.choice(TEXTS) + rng.choice(TEXTS))['input_ids']:
        piece = byte_level.convert_ids_to_tokens(token)
        ids += byte_level.convert_tokens_to_ids(list(piece)) if rng.random() < 0.5 else [token]
    assert byte_level(byte_level.decode(ids))['input_ids'] != ids
    check(byte_level, ids, byte_level=True)


def test_every_token_of_a_phrase_and_no_other_is_its_own(byte_level: PreTrainedTokenizerFast) -> None:
    text = '一只小狗 and a 🐶'
    ids = [token for piece in ('一只小狗', ' and', ' a', ' 🐶') for token in byte_level(piece)['input_ids']]
    answer, spans = token_spans(byte_level, ids)
    assert answer == text
    phrases = [Phrase('小狗', ((2, 4),)), Phrase('🐶', ((11, 12),))]
    owners = phrase_ids(spans, phrases).tolist()
    for index, phrase in enumerate(phrases):
        own = [token for token, owner in zip(ids, owners, strict=True) if owner == index]
        assert phrase.text in byte_level.decode(own)
    assert ' and a' in byte_level.decode([t for t, owner in zip(ids, owners, strict=True) if owner == -1])


def test_a_token_of_two_phrases_goes_to_the_larger_share() -> None:
    phrases = [Phrase('ab', ((0, 2),)), Phrase('cde', ((2, 5),)), Phrase('ab', ((7, 9),))]
    assert phrase_ids([(0, 5), (5, 7), (6, 8), (9, 9)], phrases).tolist() == [1, -1, 2, -1]


def test_spaces_that_the_tokenizer_cleans_up_and_spaces_around() -> None:
    tokenizer = Tokenizer(models.WordLevel({'<unk>': 0, '</s>': 1, 'a': 2, 'dog': 3, '.': 4}, unk_token='<unk>'))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token='</s>', unk_token='<unk>', clean_up_tokenization_spaces=True
    )
    text, spans = token_spans(fast, [2, 3, 4, 2, 3, 4, 1])
    assert text == 'a dog. a dog.'
    assert [text[slice(*span)].strip() for span in spans] == ['a', 'dog', '.', 'a', 'dog', '.', '']


def test_no_token() -> None:
    assert phrase_ids([], []).tolist() == []
