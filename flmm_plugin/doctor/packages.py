"""Versions against the ranges that are supported."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata

from flmm_plugin.doctor.findings import Finding, Level, fail, ok, warn


@dataclass(frozen=True)
class Support:
    """Versions ``low <= v < high`` of a distribution. ``essential``: training and testing by config need it."""

    name: str
    low: str
    high: str | None
    essential: bool
    remedy: str


_SET_UP = 'make setup installs a combination that works together'
SUPPORTED = (
    Support('torch', '2.4', None, True, _SET_UP),
    Support('torchvision', '0.19', None, True, f'it must be the release made for your torch; {_SET_UP}'),
    Support('transformers', '4.48', '6', True, "pip install 'transformers>=4.48,<6'"),
    Support('mmengine', '0.10', '1', True, "pip install 'mmengine>=0.10,<1'"),
    Support('segment-anything', '1.0', None, True, 'pip install segment-anything'),
    Support('mmcv', '2.0', '2.2', True, f'mmdet 3.3 refuses mmcv 2.2 and later; see docs/install.md, or {_SET_UP}'),
    Support('mmdet', '3.3', '3.4', True, 'pip install mmdet==3.3.0'),
    Support('pycocotools', '2.0', None, True, 'pip install pycocotools'),
    Support('numpy', '1.23', '2', False, "pip install 'numpy<2': mmdet 3.3 and xtuner 0.2 were written for it"),
    Support('xtuner', '0.2', '0.3', False, 'pip install --no-deps xtuner==0.2.0; only `xtuner train` needs it'),
    Support('tensorboard', '2.0', None, False, 'pip install tensorboard; only the TensorBoard log needs it'),
)


def check_python(version: tuple[int, int] | None = None) -> Finding:
    major, minor = version or sys.version_info[:2]
    if (3, 10) <= (major, minor) <= (3, 12):
        return ok('python', f'{major}.{minor}')
    return fail('python', f'{major}.{minor} is not supported', 'use Python 3.10, 3.11 or 3.12: make setup PYTHON=...')


def check_packages() -> list[Finding]:
    return [check_package(support, installed_version(support.name)) for support in SUPPORTED]


def installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_package(support: Support, version: str | None) -> Finding:
    """Judge one package; ``version`` is None where it is not installed."""
    problem = Level.FAIL if support.essential else Level.WARN
    if version is None:
        return Finding(problem, support.name, 'not installed', support.remedy)
    parsed = release(version)
    if parsed < release(support.low) or (support.high is not None and parsed >= release(support.high)):
        supported = f'{support.low} <= version' + (f' < {support.high}' if support.high else '')
        return Finding(problem, support.name, f'{version} is outside {supported}', support.remedy)
    return ok(support.name, version)


def release(version: str) -> tuple[int, ...]:
    """``'2.11.0+cu130'`` -> ``(2, 11, 0)``. The packaging library may be missing here."""
    numbers = []
    for part in version.split('+')[0].split('.'):
        digits = part[: next((i for i, char in enumerate(part) if not char.isdigit()), len(part))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def check_combinations(versions: dict[str, str | None], gpu: bool) -> list[Finding]:
    """Pairs that are known to break although each is fine alone."""
    found = []
    transformers, bitsandbytes = versions.get('transformers'), versions.get('bitsandbytes')
    if versions.get('xtuner') and transformers and release(transformers) >= (5,):
        detail = f'xtuner 0.2 does not import with transformers {transformers}'
        found.append(warn('xtuner + transformers', detail, "for `xtuner train`: pip install 'transformers<5'"))
    if bitsandbytes and release(bitsandbytes) <= (0, 45, 0) and versions.get('triton') and not gpu:
        detail = f'bitsandbytes {bitsandbytes} breaks `import mmengine.model` beside triton without a GPU'
        found.append(fail('bitsandbytes', detail, 'pip uninstall bitsandbytes, or pip install -U bitsandbytes'))
    return found
