"""The arguments that say which model talks, of chat, page and annotation alike."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest

from flmm_plugin.apis.arguments import add_model_arguments, load_inferencer
from flmm_plugin.errors import UserError
from tests.tiny_checkpoint import CONFIG

UNTRAINED = CONFIG.parent / 'attention_tiny_scenes.py'
LMM = ('--lmm', 'flmm_plugin::tiny_llava')


def load(*words: str | Path):
    parser = ArgumentParser()
    add_model_arguments(parser)
    return load_inferencer(parser.parse_args([*map(str, words), '--device', 'cpu']))


def test_an_lmm_and_a_segmenter_by_name(tmp_path: Path) -> None:
    ask = load(*LMM, '--sam', 'flmm_plugin::tiny_sam.safetensors', '--checkpoint', 'none', '--min-score', '0.4')
    assert type(ask.model.mask_head).__name__ == 'AttentionMaskHead' and ask.grounder.min_score == 0.4
    assert ask.model.sam.prompts == ('mask', 'box') and len(ask.model.lmm.heads) == 24


def test_a_config_with_nothing_to_train_needs_no_checkpoint() -> None:
    for words in ((), ('--checkpoint', 'none')):
        assert type(load('--config', UNTRAINED, *words).model.mask_head).__name__ == 'AttentionMaskHead'


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (LMM, 'no SAM: give sam='),
        ((*LMM, '--sam', 'nowhere.pth'), 'no SAM file nowhere.pth'),
        ((*LMM, '--sam', 'none', '--checkpoint', 'flmm.pth'), 'nothing of it is trained'),
        ((*LMM, '--sam', 'none', '--config', CONFIG), 'nothing of it is trained'),
        ((*LMM, '--sam', 'none', '--heads', 'nowhere.json'), 'heads file nowhere.json does not exist'),
        (('--sam', 'none'), 'go with --lmm'),
        (('--config', UNTRAINED, '--checkpoint', 'flmm.pth'), 'no checkpoint belongs to it'),
        (('--config', CONFIG, '--checkpoint', 'none'), 'points at nothing without its checkpoint'),
        (('--config', CONFIG), '--config needs --checkpoint'),
    ],
)
def test_wrong_use_is_one_clear_error(words: tuple[str | Path, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(*words)
