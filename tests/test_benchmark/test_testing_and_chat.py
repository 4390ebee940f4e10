"""Both ways of testing an image end up with the same; timings are not judged."""

from __future__ import annotations

import torch

from flmm_plugin.benchmark.chatting import ANSWER_TOKENS, QUESTION_TOKENS, measure_chat, with_answer, with_questions
from flmm_plugin.benchmark.chatting import table as chat_table
from flmm_plugin.benchmark.inputs import TOKENS_PER_PHRASE, make_inputs
from flmm_plugin.benchmark.presets import PRESETS, RandomLlava, grid_for
from flmm_plugin.benchmark.subject import PresetSubject
from flmm_plugin.benchmark.testing import as_branches, measure_testing, one_by_one, table
from tests.test_benchmark.conftest import WriteConfig


def test_branches_are_the_expressions_alone() -> None:
    sample = make_inputs(RandomLlava(PRESETS['tiny'], grid_for(120, 3)), 120, 3)
    branches, alone = as_branches(sample), one_by_one(sample)
    assert branches.branch_ids is not None
    for phrase, one in enumerate(alone):
        rows = branches.phrase_rows[branches.phrase_ids[branches.phrase_rows] == phrase]
        assert len(rows) == TOKENS_PER_PHRASE
        assert torch.equal(one.input_ids[one.phrase_rows], branches.input_ids[rows])
        assert set(branches.branch_ids[rows].tolist()) == {phrase}
        assert torch.equal(one.input_ids[: branches.trunk_length], branches.input_ids[: branches.trunk_length])


def test_result_says_what_was_measured() -> None:
    result = measure_testing(PresetSubject('tiny'), [120], phrases=3, repeats=1)
    (shared,) = result['independent']
    assert shared['tokens'] == 120 and shared['max_difference'] < 1e-6
    assert result['decode']['max_difference'] < 1e-4 and result['refine']['max_difference'] < 1e-4
    assert shared['speedup'] > 0 and result['threads'] >= 1
    assert len(table(result).splitlines()) == 5


def test_an_lmm_with_two_grids(write_config: WriteConfig) -> None:
    subject = write_config('llava_next', dict(heads=[5, 0, 2]))
    result = measure_testing(subject, phrases=3, repeats=1)
    (shared,) = result['independent']
    assert shared['max_difference'] < 1e-6 and result['refine']['max_difference'] < 1e-4
    (row,) = measure_chat(subject, phrases=2, repeats=1)['chat']
    assert row['tokens'] == shared['tokens'] and all(seconds > 0 for seconds in row['seconds'].values())


def test_answer_has_the_phrases_asked_for() -> None:
    question = make_inputs(RandomLlava(PRESETS['tiny'], grid_for(120, 1)), 120, 1)
    said = with_answer(question.first(110), torch.arange(ANSWER_TOKENS), 6)
    rows = said.phrase_ids[110:].unique(return_counts=True)
    assert [counts.tolist() for counts in rows] == [list(range(-1, 6)), [40] + [4] * 6]


def test_questions_follow_the_picture() -> None:
    lmm = RandomLlava(PRESETS['tiny'], grid_for(120, 1))
    question = make_inputs(lmm, 120, 1)
    asking = with_questions(lmm, question, 3)
    assert asking.trunk_length == int(question.finest_grid.columns.max()) + 1
    rows = asking.phrase_rows - asking.trunk_length
    assert rows.tolist() == [QUESTION_TOKENS - 1, 2 * QUESTION_TOKENS - 1, 3 * QUESTION_TOKENS - 1]
    assert asking.branch_ids[asking.phrase_rows].tolist() == asking.phrase_ids[asking.phrase_rows].tolist() == [0, 1, 2]


def test_chat_says_what_was_measured() -> None:
    result = measure_chat(PresetSubject('tiny'), [120], phrases=2, repeats=1)
    (row,) = result['chat']
    seconds = row['seconds']
    assert row['grounding_vs_answer'] == (seconds['capture'] + seconds['mask_head']) / seconds['answer']
    assert all(row['presence'][name] > 0 for name in ('signals', 'asked'))
    assert len(chat_table(result).splitlines()) == 3
