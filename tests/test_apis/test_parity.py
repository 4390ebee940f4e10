"""Outputs of the authors' code, where the machine has them; they are no part of this repository."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flmm_plugin.apis.parity import check_case
from flmm_plugin.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT.parent / 'shared' / 'golden'
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f'no golden outputs at {GOLDEN}')


@needs_golden
@pytest.mark.parametrize('family', ['llava', 'llava_next'])
def test_equals_the_authors_code(family: str) -> None:
    differences = check_case(GOLDEN / family / 'landscape', GOLDEN / family)
    assert len(differences) > 150
    assert [d for d in differences if not d.passed] == []


@needs_golden
def test_tool_prints_json_and_fails_on_a_difference(tmp_path: Path) -> None:
    case = tmp_path / 'case'
    case.mkdir()
    for name in ('image.png', 'expected.safetensors'):
        (case / name).write_bytes((GOLDEN / 'llava' / 'landscape' / name).read_bytes())
    expected = json.loads((GOLDEN / 'llava' / 'landscape' / 'expected.json').read_text())
    expected['losses']['loss_mask'] += 0.01
    (case / 'expected.json').write_text(json.dumps(expected))
    command = [sys.executable, str(ROOT / 'tools' / 'check_parity.py'), str(case), '--json']
    run = subprocess.run([*command, '--weights', str(GOLDEN / 'llava')], capture_output=True, text=True)
    assert run.returncode == 1
    assert [name for name, entry in json.loads(run.stdout).items() if not entry['passed']] == ['loss_mask']


def test_missing_case(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'expected\.json is missing'):
        check_case(tmp_path, tmp_path)
