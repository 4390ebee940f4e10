"""What holds for the package as a whole: what it imports, and what it ships."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import flmm_plugin
from flmm_plugin.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS, VISUALIZERS

REPO = Path(__file__).resolve().parents[1]


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=REPO)


def test_datasets_import_no_models():
    code = """
import sys, flmm_plugin.datasets
loaded = sorted(name for name in sys.modules if name.startswith('flmm_plugin.models'))
assert not loaded, loaded
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr


def test_installed_version_is_the_package_s():
    assert metadata.version('flmm_plugin') == flmm_plugin.__version__


def test_changelog_names_the_version():
    assert f'## [{flmm_plugin.__version__}]' in (REPO / 'CHANGELOG.md').read_text()


@pytest.mark.parametrize('registry', [MODELS, DATASETS, TRANSFORMS, METRICS, HOOKS, VISUALIZERS])
def test_registries_are_children_in_the_scope_of_the_package(registry):
    assert registry.scope == 'flmm_plugin'
    assert registry.parent is not None and registry.parent.scope == 'mmengine'


def test_types_are_found_without_custom_imports():
    """A registry imports its own modules when a type is first looked up."""
    code = """
from flmm_plugin import registry
for name, types in {types}.items():
    for kind in types:
        assert getattr(registry, name).get('flmm_plugin.' + kind) is not None, (name, kind)
"""
    types = {
        'MODELS': ['FLMM', 'LlavaLMM', 'UNetMaskHead', 'SAMRefiner'],
        'DATASETS': ['GRefCOCODataset', 'PNGDataset', 'ReasonSegDataset', 'RefCOCODataset'],
        'METRICS': ['GRESMetric', 'PNGMetric', 'RESMetric', 'ReasonSegMetric'],
    }
    result = run_python(code.replace('{types}', repr(types)))
    assert result.returncode == 0, result.stderr


def test_installing_moves_neither_torch_nor_mmcv_nor_mmdet():
    """An existing MMDetection environment keeps them: the package must not even ask for them."""
    always = [line for line in metadata.requires('flmm_plugin') or [] if 'extra ==' not in line]
    names = {re.split(r'[^A-Za-z0-9_-]', line)[0].lower() for line in always}
    assert names.isdisjoint({'torch', 'torchvision', 'mmcv', 'mmdet', 'xtuner', 'opencv-python'})
    assert not any('==' in line for line in always)
