"""The doctor on this environment, on models built here, and on environments that lack things."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import CLIPVisionConfig, GPT2Config, LlamaConfig, LlavaConfig

from flmm_plugin.doctor.__main__ import main
from flmm_plugin.doctor.certify import certify
from flmm_plugin.doctor.findings import Level
from flmm_plugin.doctor.lmm import check_lmm
from flmm_plugin.doctor.machine import check_disk, check_operators
from flmm_plugin.doctor.packages import Support, check_combinations, check_package, check_python, release
from flmm_plugin.models.lmms import AutoLMM
from flmm_plugin.structures import LMMOutputs
from tests.auto_families import FAMILIES, SHIPPED

REPO = Path(__file__).resolve().parents[1]
NUMPY = Support('numpy', '1.23', '2', essential=False, remedy='take numpy 1')
MMCV = Support('mmcv', '2.0', '2.2', essential=True, remedy='take mmcv 2.1')


@pytest.fixture
def llava_folder(tmp_path: Path) -> Path:
    """A folder with nothing but config.json: no weights are needed."""
    text = LlamaConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=3, num_attention_heads=4, vocab_size=50)
    vision = CLIPVisionConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    LlavaConfig(text_config=text, vision_config=vision).save_pretrained(tmp_path)
    return tmp_path


def test_environment_of_the_project_is_sound():
    found = [check_python(), *check_operators()]
    assert [str(finding) for finding in found if finding.level is Level.FAIL] == []


def test_language_model_layers_are_routed(llava_folder: Path):
    found = check_lmm(str(llava_folder))
    assert [finding.level for finding in found] == [Level.OK] * len(found)
    language = next(finding for finding in found if 'Llama' in finding.subject)
    assert language.subject.startswith('3 x LlamaAttention at ') and 'flmm_sdpa' in language.detail


def test_layers_with_attention_of_their_own_fail(monkeypatch: pytest.MonkeyPatch, llava_folder: Path):
    from transformers.models.llama.modeling_llama import LlamaAttention

    def forward(self, hidden_states):
        return self.o_proj(self.v_proj(hidden_states))

    monkeypatch.setattr(LlamaAttention, 'forward', forward)
    found = [finding for finding in check_lmm(str(llava_folder)) if finding.level is Level.FAIL]
    assert len(found) == 1 and 'cannot be captured' in found[0].detail and 'transformers' in found[0].remedy


def test_model_without_vision_is_looked_at_too(tmp_path: Path):
    GPT2Config(n_embd=16, n_head=2, n_layer=2, vocab_size=20).save_pretrained(tmp_path)
    assert any(finding.subject.startswith('2 x GPT2Attention') for finding in check_lmm(str(tmp_path)))


@pytest.mark.parametrize('name', ['no/such/folder/here', './absent'])
def test_absent_folder(name: str):
    (found,) = check_lmm(name)
    assert found.level is Level.FAIL and 'no such folder' in found.detail


def test_folder_without_config_is_not_guessed_from_its_name(tmp_path: Path):
    folder = tmp_path / 'llava'
    folder.mkdir()
    (found,) = check_lmm(str(folder))
    assert found.level is Level.FAIL and 'config.json' in found.detail


@pytest.mark.parametrize(
    ('support', 'version', 'level'),
    [
        (MMCV, '2.1.0', Level.OK),
        (MMCV, '2.2.0', Level.FAIL),
        (MMCV, '1.7.2', Level.FAIL),
        (MMCV, None, Level.FAIL),
        (NUMPY, '2.4.6', Level.WARN),
        (NUMPY, None, Level.WARN),
    ],
)
def test_version_ranges(support: Support, version: str | None, level: Level):
    finding = check_package(support, version)
    assert finding.level is level
    assert finding.remedy == ('' if level is Level.OK else support.remedy)


def test_release_numbers():
    assert release('2.11.0+cu130') == (2, 11, 0)
    assert release('5.0.0rc1') == (5, 0, 0)
    assert release('4.48.0.dev0') == (4, 48, 0)


def test_old_python():
    assert check_python((3, 9)).level is Level.FAIL
    assert check_python((3, 13)).level is Level.FAIL


def test_known_bad_combinations():
    versions = {'transformers': '5.23.0', 'xtuner': '0.2.0', 'bitsandbytes': '0.45.0', 'triton': '3.6.0'}
    assert [finding.level for finding in check_combinations(versions, gpu=False)] == [Level.WARN, Level.FAIL]
    assert [finding.level for finding in check_combinations(versions, gpu=True)] == [Level.WARN]


def test_low_disk_is_a_remark_with_a_remedy():
    found = check_disk(low_gb=1e9)
    assert {finding.level for finding in found} == {Level.WARN}
    assert '--work-dir' in found[0].remedy


def test_exit_code(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    assert '0 essential things are broken' in capsys.readouterr().out
    assert main(['--lmm', './absent']) == 1
    assert '1 essential thing is broken' in capsys.readouterr().out


def test_reports_instead_of_crashing_where_nothing_is_installed():
    """-S -E: the interpreter without any site-packages."""
    code = (
        f'import sys; sys.path.insert(0, {str(REPO)!r}); from flmm_plugin.doctor.__main__ import main; sys.exit(main())'
    )
    result = subprocess.run([sys.executable, '-S', '-E', '-c', code], capture_output=True, text=True, cwd=REPO)
    assert result.returncode == 1 and 'Traceback' not in result.stderr
    assert '[FAIL] torch: not installed' in result.stdout and '[FAIL] mmcv operators' in result.stdout


@pytest.mark.parametrize('name', SHIPPED)
def test_certificate_of_the_shipped_lmms(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    found = list(certify(f'flmm_plugin::{name}'))
    assert [str(finding) for finding in found if finding.level is not Level.OK] == []
    subjects = [finding.subject.split(' (')[0] for finding in found]
    checks = [
        'capture = eager',
        'batch = single',
        'branch = single',
        'cached = full',
        'causality as declared',
        'frozen',
    ]
    assert subjects == ['layout', 'layout', *checks]
    assert (tmp_path / 'certificate.png').stat().st_size > 0


@pytest.mark.skipif('internvl' not in FAMILIES, reason='earlier releases have no InternVL')
def test_certificate_of_a_config_and_processor_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    folder = FAMILIES['internvl'](tmp_path / 'lmm')
    (folder / 'model.safetensors').unlink()
    found = list(certify(str(folder)))
    assert len(found) == 8 and {finding.level for finding in found} == {Level.OK}


def test_certificate_fails_where_maps_are_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    right = AutoLMM.forward_cached

    def shifted(self: AutoLMM, *args: Any, **options: Any) -> LMMOutputs:
        outputs = right(self, *args, **options)
        return replace(outputs, attention_maps=outputs.attention_maps.roll(1, -1))

    monkeypatch.setattr(AutoLMM, 'forward_cached', shifted)
    failed = [finding for finding in certify('flmm_plugin::tiny_llava') if finding.level is Level.FAIL]
    assert [finding.subject for finding in failed] == ['branch = single', 'cached = full']
    assert 'at most' in failed[0].detail
