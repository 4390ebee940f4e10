"""Inputs have the length and the phrases that were asked for, whatever the LMM."""

from __future__ import annotations

import pytest

from flmm_plugin.benchmark.inputs import TOKENS_PER_PHRASE, image_tokens, make_inputs
from flmm_plugin.benchmark.presets import PRESETS, RandomLlava, grid_for
from flmm_plugin.errors import UserError
from tests.test_benchmark.conftest import WriteConfig
from tests.tiny_lmms import FAMILIES


@pytest.mark.parametrize('tokens, phrases', [(60, 1), (120, 3), (700, 6), (3000, 6)])
def test_preset_s_image_takes_what_the_text_leaves(tokens: int, phrases: int) -> None:
    sample = make_inputs(RandomLlava(PRESETS['tiny'], grid_for(tokens, phrases)), tokens, phrases)
    assert len(sample.input_ids) == tokens
    assert sample.num_phrases == phrases
    (grid,) = sample.grids
    assert len(grid.columns) == grid.height * grid.width == (sample.input_ids == 1).sum()
    if tokens >= 700:
        assert len(grid.columns) > 0.85 * tokens


@pytest.mark.parametrize('family', sorted(FAMILIES))
def test_text_fits_any_lmm(write_config: WriteConfig, family: str) -> None:
    lmm = write_config(family).lmm(0, 0)
    image, text, phrases = image_tokens(lmm), 500, 6  # 500 tokens of some forty words: each is drawn that can be
    sample = make_inputs(lmm, image + text, phrases)
    assert len(sample.input_ids) == len(sample.phrase_ids) == image + text
    shown = sample.input_ids == lmm.image_token_id
    assert shown.nonzero().flatten().tolist() == list(range(4, 4 + image))
    words = set(sample.input_ids.tolist())
    assert words == set(range(lmm.config.text_config.vocab_size))
    for phrase in range(phrases):
        first = 4 + image + phrase * (TOKENS_PER_PHRASE + 1)
        rows = (sample.phrase_ids == phrase).nonzero().flatten().tolist()
        assert rows == list(range(first, first + TOKENS_PER_PHRASE))


@pytest.mark.parametrize('tokens, phrases, least', [(34, 6, 35), (10, 2, 15), (100, 0, 10)])
def test_no_room_for_an_image(tokens: int, phrases: int, least: int) -> None:
    with pytest.raises(UserError, match=rf'^{tokens} tokens have no room .* --tokens must be at least {least} here'):
        grid_for(tokens, phrases)
    if phrases > 0:
        assert grid_for(least, phrases) == 1


def test_no_room_beside_the_image_of_an_lmm() -> None:
    lmm = RandomLlava(PRESETS['tiny'], 8)
    assert len(make_inputs(lmm, 64 + 14, 2).input_ids) == 78
    with pytest.raises(UserError, match=r'77 tokens have no room .* --tokens must be at least 78 here'):
        make_inputs(lmm, 77, 2)
