"""A report runs dry through every part, and whatever befalls a part, what was measured stays."""

from __future__ import annotations

import json
import os
import re
import runpy
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from flmm_plugin.benchmark.plain_losses import CrossEntropyLoss, DiceLoss
from flmm_plugin.benchmark.report.parts import PARTS, attempt
from flmm_plugin.benchmark.report.running import Keep, notes_of, run_parts
from flmm_plugin.benchmark.report.settings import DRY, settings_for
from flmm_plugin.benchmark.report.tables import ASKED, read_report, tables
from flmm_plugin.benchmark.report.waits import waits_of_host
from flmm_plugin.errors import UserError
from flmm_plugin.registry import MODELS

TOOL = Path(__file__).resolve().parents[2] / 'tools/gpu_report.py'
ABOUT = dict(dry=True, machine='a machine', torch='2', transformers='5', date='2026-11-27')


def good(settings: Any, keep: Keep) -> None:
    keep('first', dict(value=settings))
    keep('first', dict(value=2 * settings))


def broken(settings: Any, keep: Keep) -> None:
    keep('before', dict(value=settings))
    raise UserError('no such thing\nat all')


def endless(settings: Any, keep: Keep) -> None:
    keep('before', dict(value=settings))
    time.sleep(600)


def killed(settings: Any, keep: Keep) -> None:
    keep('before', dict(value=settings))

    os._exit(9)


@pytest.mark.slow
def test_what_befalls_a_part_leaves_what_it_had(tmp_path: Path) -> None:
    out = tmp_path / 'report.json'
    # The server of processes imports everything with the first of them, which may take long.
    parts = dict(good=good, broken=broken, endless=endless, killed=killed)
    shares = dict(good=60, broken=60, killed=60, endless=5)
    report = run_parts(parts, 21, shares, 100, dict(ABOUT), out)
    assert json.loads(out.read_text()) == report and list(tmp_path.iterdir()) == [out]
    statuses = {name: part['status'] for name, part in report['parts'].items()}
    assert statuses == dict(
        endless=statuses['endless'],
        broken='UserError: no such thing',
        killed='its process ended with 9',
        good='done',
    )
    # Of what the others left, in proportion to what comes after it.
    left = 100 - sum(report['parts'][name]['seconds'] for name in ('good', 'broken'))
    limit = re.fullmatch(r'ran out of its (\d+) seconds', statuses['endless'])
    assert limit and int(limit[1]) == pytest.approx(left * 5 / 65, abs=1.5)
    for name in ('endless', 'broken', 'killed'):
        assert report['parts'][name]['results'] == {'before': {'value': 21}}
    assert report['parts']['good']['results'] == {'first': {'value': 42}}


def test_one_measurement_that_fails_is_said_among_the_others() -> None:
    kept: dict[str, Any] = {}
    attempt(kept.__setitem__, 'large', lambda: torch.empty(2**50))
    attempt(kept.__setitem__, 'small', lambda: dict(preset='tiny'))
    assert kept['small'] == dict(preset='tiny') and 'RuntimeError' in kept['large']['error']
    part = dict(status='done', seconds=1.0, results=kept)
    assert '- large: RuntimeError' in tables(dict(ABOUT, parts=dict(extract=part)))


@pytest.fixture(scope='module')
def dry_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('report') / 'new' / 'report.json'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [str(TOOL), '--dry-run', '--out', str(out)])
        runpy.run_path(str(TOOL), run_name='__main__')
    return out


def test_dry_run_goes_through_every_part(dry_run: Path) -> None:
    report = json.loads(dry_run.read_text())
    assert report['dry'] and report['device'] == 'cpu' and list(report['parts']) == list(PARTS)
    assert {name: part['status'] for name, part in report['parts'].items()} == dict.fromkeys(PARTS, 'done')
    results = {name: part['results'] for name, part in report['parts'].items()}
    (outcome,) = results['tests'].values()
    assert outcome['finished'] and outcome['passed'] == 2 and outcome['failed'] == []
    for part in ('extract', 'test', 'train', 'chat'):
        assert not any('error' in result for result in results[part].values())
    assert len(results['extract']) == len(DRY.presets) * len(DRY.batches) * len(DRY.tokens)
    for name in DRY.presets:
        for precision, limit in (('fp32', 1e-4), ('mixed precision', 0.05)):
            (row,) = results['train'][f'{name}, {precision}']['train']
            assert row['peak_bytes']['ours'] > 1e8 and row['max_difference'] < limit
        assert len(results['train'][f'profile of {name}']['operations']) == 10


def test_tables_are_those_of_the_json(
    dry_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = dry_run.with_suffix('.md').read_text()
    monkeypatch.setattr(sys, 'argv', [str(TOOL), '--from-json', str(dry_run)])
    runpy.run_path(str(TOOL), run_name='__main__')
    assert capsys.readouterr().out == written
    for part in PARTS:
        assert f'\n## `{part}`\n' in written
    lines = written.splitlines()
    for name, side, limit in ASKED:
        (line,) = (line for line in lines if line.startswith(f'| {name} | {side} {limit:g} | '))
        assert float(line.split('|')[3].split(':')[0]) > 0
    for name in DRY.presets:
        for precision in ('float32', 'float32 in mixed precision'):
            assert f'{name}, batch 2, {precision}, 2 phrases:' in lines
    assert '3 phrases:' in lines


def test_report_that_was_cut_off_and_rows_without_room() -> None:
    row = dict(
        tokens=3000,
        time_vs_bare=1.01,
        peak_memory_vs_bare=1.1,
        speedup_vs_eager=None,
        seconds=dict(bare=1.0, ours=1.01),
        peak_bytes=dict(bare=2e10, ours=2.2e10),
        kept_bytes=dict(bare=0, ours=1e6),
    )
    results = {'one': dict(preset='llava-1.5-7b', dtype='bfloat16', phrases=6, batch=8, extract=[row])}
    parts = dict(extract=dict(status='ran out of its 190 seconds', seconds=190.0, results=results))
    lines = tables(dict(ABOUT, parts=parts)).splitlines()
    assert '| `extract` | ran out of its 190 seconds | 190 |' in lines
    assert '| capture / bare, time | at most 1.03 | 1.010 |' in lines
    assert '| capture / bare, peak memory | at most 1.05 | 1.100: missed |' in lines
    assert "| SAM's decoder, one by one / at once | at least 4 |  |" in lines
    (line,) = (line for line in lines if line.startswith('| 3000 |'))
    assert line.count('no room') == 4


def test_what_the_part_had_that_a_run_was_cut_off_in(tmp_path: Path) -> None:
    out = tmp_path / 'report.json'
    out.write_text(json.dumps(dict(ABOUT, parts={})))
    outcome = dict(device='cuda', passed=7, skipped=0, failed=[], finished=False)
    notes_of('tests', out).write_text(json.dumps(dict(name='tests', result=outcome)) + '\n{"name": "te')
    notes_of('no such part', out).write_text('{}')
    lines = tables(read_report(out)).splitlines()
    assert '| `tests` | cut off |  |' in lines and '7 passed, 0 failed, 0 skipped on cuda (cut off)' in lines


@pytest.mark.parametrize('minutes', ['0', '-1', 'nan'])
def test_no_time_is_refused(minutes: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, 'argv', [str(TOOL), '--dry-run', '--minutes', minutes])
    with pytest.raises(SystemExit):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert '--minutes must be more than 0' in capsys.readouterr().err


def test_a_whole_run_takes_less_than_twelve_minutes() -> None:
    settings = settings_for('cuda', dry=False)
    assert list(settings.seconds) == list(PARTS) and sum(settings.seconds.values()) < 12 * 60


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_says_that_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, 'argv', [str(TOOL)])
    with pytest.raises(SystemExit):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert 'there is no GPU; --dry-run' in capsys.readouterr().err


@pytest.mark.parametrize('text', ['{', '{"machine": "x"}'])
def test_what_is_no_report(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'other.json'
    path.write_text(text)
    monkeypatch.setattr(sys, 'argv', [str(TOOL), '--from-json', str(path)])
    with pytest.raises(SystemExit):
        runpy.run_path(str(TOOL), run_name='__main__')
    assert f'Error: {path}' in capsys.readouterr().err


def test_waits_are_counted_where_they_are_made() -> None:
    with waits_of_host() as waits:
        for _ in range(2):
            warnings.warn('called a synchronizing CUDA operation', UserWarning, stacklevel=1)
        warnings.warn('something else', UserWarning, stacklevel=1)
    ((place, count),) = waits.items()
    assert count == 2 and place.startswith(__file__)


def test_plain_losses_are_those_of_mmdet() -> None:
    logits, targets = torch.randn(3, 50), (torch.rand(3, 50) > 0.5).float()
    theirs = MODELS.build(dict(type='mmdet.DiceLoss', use_sigmoid=True, naive_dice=True, eps=1.0))
    ours = DiceLoss(use_sigmoid=True, naive_dice=True, eps=1.0)
    torch.testing.assert_close(ours(logits, targets, 3), theirs(logits, targets, avg_factor=3))
    theirs = MODELS.build(dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True))
    found = CrossEntropyLoss(use_sigmoid=True)(logits.flatten(), targets.flatten(), 150)
    torch.testing.assert_close(found, theirs(logits.flatten(), targets.flatten(), avg_factor=150))
