"""The set-up's checks on real small conditions, and its stages on small stages of their own."""

from __future__ import annotations

import fcntl
import importlib.util
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tools._env import main as env_main
from tools._env import mmcv_wheel
from tools._env.console import CommandError, Console, SetupError
from tools._env.context import Context, requirements
from tools._env.stages import Stage, all_stages, drop_interrupted, make_environment, read_stamp, remaining, write_stamp

SCRIPT = Path(__file__).resolve().parents[1] / 'tools' / 'setup_env.py'

SETTINGS = ('CC', 'CXX', 'FLMM_MMCV_WHEEL', 'PIP_FIND_LINKS')


def run_script(*arguments: str | Path, **environment: str | Path) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    env['PIP_NO_INDEX'] = '1'  # no pip that offers a prebuilt mmcv
    env.update({key: str(value) for key, value in environment.items()})
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL)


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path / 'setup.log', total=2)


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment that starts, without pip: quick to make."""
    folder = tmp_path / 'venv'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', folder], check=True)
    return folder


@pytest.fixture
def cached_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a compiled mmcv of this machine would lie, in a cache of the test's own."""
    monkeypatch.setenv('FLMM_CACHE', str(tmp_path / 'cache'))
    monkeypatch.delenv('FLMM_MMCV_WHEEL', raising=False)
    folder = mmcv_wheel.wheel_folder()
    folder.mkdir(parents=True)
    python = f'cp{sys.version_info[0]}{sys.version_info[1]}'
    return folder / f'mmcv-2.1.0-{python}-{python}-linux_{os.uname().machine}.whl'


def write_wheel(path: Path) -> None:
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('mmcv/version.py', '__version__ = "2.1.0"\n' * 50)


class TestChecks:
    def test_nothing_in_the_way(self, tmp_path: Path, cached_wheel: Path):
        write_wheel(cached_wheel)
        result = run_script('--check', '--need-gb', '0.001', '--venv', tmp_path / 'venv', PATH='')
        assert (result.returncode, result.stderr) == (0, '')
        assert 'left to do: venv, torch, packages, mmcv, xtuner, project' in result.stdout
        assert not (tmp_path / 'venv').exists()

    def test_too_small_a_disk(self, tmp_path: Path):
        result = run_script('--check', '--need-gb', '1e9', '--venv', tmp_path / 'venv')
        assert result.returncode == 1
        assert 'too little disk space: 1000000000.0 GB needed' in result.stderr and 'VENV=' in result.stderr

    def test_too_small_a_disk_stops_the_set_up(self, tmp_path: Path):
        result = run_script('--need-gb', '1e9', '--venv', tmp_path / 'venv')
        assert result.returncode == 1 and 'too little disk space' in result.stderr
        assert not (tmp_path / 'venv').exists()

    def test_no_compiler(self, tmp_path: Path):
        result = run_script('--check', '--venv', tmp_path / 'venv', PATH='', FLMM_CACHE=tmp_path)
        assert result.returncode == 1
        assert 'no C++ compiler' in result.stderr and 'apt install g++' in result.stderr
        assert 'FLMM_MMCV_WHEEL' in result.stderr

    def test_no_compiler_but_a_wheel_that_pip_finds(self, tmp_path: Path):
        links = tmp_path / 'links'
        links.mkdir()
        with zipfile.ZipFile(links / 'mmcv-2.1.0-py3-none-any.whl', 'w') as archive:
            archive.writestr('mmcv-2.1.0.dist-info/METADATA', 'Metadata-Version: 2.1\nName: mmcv\nVersion: 2.1.0\n')
            archive.writestr('mmcv-2.1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\nTag: py3-none-any\n')
        settings = {'PATH': '', 'FLMM_CACHE': tmp_path, 'PIP_FIND_LINKS': links}
        result = run_script('--check', '--need-gb', '0.001', '--venv', tmp_path / 'venv', **settings)
        assert result.returncode == 0, result.stderr

    def test_compiler_that_does_not_work(self, tmp_path: Path):
        result = run_script('--check', '--venv', tmp_path / 'venv', FLMM_CACHE=tmp_path, CC='true', CXX='false')
        assert result.returncode == 1 and 'the compiler false cannot build mmcv' in result.stderr

    def test_damaged_wheel_in_the_cache_asks_for_the_compiler(self, tmp_path: Path, cached_wheel: Path):
        write_wheel(cached_wheel)
        cached_wheel.write_bytes(cached_wheel.read_bytes()[:-40])
        result = run_script('--check', '--venv', tmp_path / 'venv', PATH='')
        assert result.returncode == 1 and 'no C++ compiler' in result.stderr

    def test_named_wheel_that_is_not_there(self, tmp_path: Path):
        result = run_script('--check', '--venv', tmp_path / 'venv', FLMM_MMCV_WHEEL=tmp_path / 'absent.whl')
        assert result.returncode == 1 and 'absent.whl' in result.stderr

    def test_named_wheel_needs_no_compiler(self, tmp_path: Path):
        write_wheel(tmp_path / 'mine.whl')
        settings = {'FLMM_CACHE': tmp_path / 'cache', 'FLMM_MMCV_WHEEL': tmp_path / 'mine.whl', 'PATH': ''}
        result = run_script('--check', '--need-gb', '0.001', '--venv', tmp_path / 'venv', **settings)
        assert result.returncode == 0, result.stderr


class TestPython:
    @pytest.fixture
    def entry(self):
        spec = importlib.util.spec_from_file_location('setup_env_entry', SCRIPT)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def test_too_old_and_no_other(self, entry, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(sys, 'version_info', (3, 8, 18))
        monkeypatch.setenv('PATH', '')
        with pytest.raises(SystemExit, match=r'(?s)Python 3\.8 cannot run this project.*PYTHON='):
            entry.main()

    def test_interpreter_that_does_not_start_is_passed_over(self, entry, tmp_path: Path):
        shim = tmp_path / 'shims' / 'python3.11'
        shim.parent.mkdir()
        shim.write_text('#!/bin/sh\necho "python3.11: not installed" >&2\nexit 127\n')
        shim.chmod(0o755)
        assert entry.find_python(str(shim.parent)) is None
        real = tmp_path / 'real' / 'python{}.{}'.format(*sys.version_info[:2])
        real.parent.mkdir()
        real.symlink_to(Path(sys.base_prefix) / 'bin' / real.name)
        assert entry.find_python(f'{shim.parent}:{real.parent}') == str(real)

    def test_environment_of_an_unsupported_python(self, venv: Path):
        config = venv / 'pyvenv.cfg'
        own = '.'.join(map(str, sys.version_info[:3]))
        config.write_text(config.read_text().replace(f'version = {own}', 'version = 3.13.0'))
        result = run_script('--venv', venv)
        assert result.returncode == 1 and 'was made with Python 3.13' in result.stderr


class TestStages:
    def test_goes_on_where_it_failed(self, venv: Path, console: Console):
        done: list[str] = []

        def fail(context: Context) -> None:
            context.console.run([sys.executable, '-c', 'print("no route to host"); raise SystemExit(3)'])

        first = Stage('first', 'first', lambda context: done.append('first'))
        with pytest.raises(CommandError, match='no route to host'):
            env_main.install([first, Stage('second', 'second', fail)], venv, console)
        second = Stage('second', 'second', lambda context: done.append('second'))
        env_main.install([first, second], venv, console)
        assert done == ['first', 'second']
        assert remaining([first, second], venv) == []

    def test_changed_requirements_make_a_stage_due_again(self, venv: Path, tmp_path: Path):
        file = tmp_path / 'some.txt'
        file.write_text('numpy==1.26.4\n')
        stage = Stage('some', 'some', lambda context: None, (file,))
        write_stamp(venv, {'some': stage.key(venv)})
        assert remaining([stage], venv) == []
        file.write_text('numpy==1.26.3\n')
        assert remaining([stage], venv) == [stage]

    def test_nothing_to_do_says_nothing(self, venv: Path):
        write_stamp(venv, {stage.name: stage.key(venv) for stage in all_stages()})
        result = run_script('--venv', venv, PATH='')
        assert (result.returncode, result.stdout, result.stderr) == (0, '', '')

    def test_environment_whose_python_has_gone_counts_for_nothing(self, venv: Path):
        write_stamp(venv, {'venv': 'x'})
        (venv / 'bin' / 'python').unlink()
        assert read_stamp(venv) == {}

    def test_folder_that_is_no_environment_is_left_alone(self, tmp_path: Path, console: Console):
        (tmp_path / 'data').mkdir()
        (tmp_path / 'data' / 'thesis.txt').write_text('precious')
        with pytest.raises(SetupError, match='is no Python environment'):
            make_environment(Context(tmp_path / 'data', console))
        assert (tmp_path / 'data' / 'thesis.txt').exists()

    def test_package_cut_off_while_it_was_installed(self, tmp_path: Path):
        packages = tmp_path / 'lib' / 'python3.11' / 'site-packages'
        for name in ('whole-1.0.dist-info', 'half-1.0.dist-info'):
            (packages / name).mkdir(parents=True)
        (packages / 'whole-1.0.dist-info' / 'INSTALLER').write_text('pip\n')
        drop_interrupted(tmp_path)
        assert [path.name for path in packages.iterdir()] == ['whole-1.0.dist-info']

    def test_lock_keeps_a_second_set_up_waiting(self, tmp_path: Path):
        path = tmp_path / 'logs' / 'one.lock'
        with env_main.locked(path), path.open('a') as second, pytest.raises(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with path.open('a') as second:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)


SOURCE_PACKAGE = {
    # A package of mmcv's name that is compiled in a moment; like mmcv's, its wheel is for this Python and machine.
    'setup.py': """
from setuptools import Distribution, setup
class Compiled(Distribution):
    def has_ext_modules(self):
        return True
setup(name='mmcv', version='2.1.0', packages=['mmcv', 'mmcv.ops'], distclass=Compiled)
""",
    'PKG-INFO': 'Metadata-Version: 2.1\nName: mmcv\nVersion: 2.1.0\n',
    'mmcv/__init__.py': '',
    'mmcv/ops/__init__.py': """
import torchvision
def nms(boxes, scores, threshold):
    kept = torchvision.ops.nms(boxes, scores, threshold)
    return boxes[kept], kept
""",
}


class TestMmcv:
    """From the source package to an operator that runs, with real pip, on a package that compiles in a moment."""

    @pytest.fixture
    def context(self, venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, console: Console) -> Context:
        """An environment with all that this one has but mmcv; pip sees only a folder with the source package."""
        for entry in Path(pytest.__file__).parents[1].iterdir():
            if not entry.name.lower().startswith('mmcv'):
                (next(venv.glob('lib/python*/site-packages')) / entry.name).symlink_to(entry)
        source = tmp_path / 'links' / 'mmcv-2.1.0.tar.gz'
        source.parent.mkdir()
        with tarfile.open(source, 'w:gz') as archive:
            for name, text in SOURCE_PACKAGE.items():
                info = tarfile.TarInfo(f'mmcv-2.1.0/{name}')
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
        for name, value in {'INDEX': '1', 'CACHE_DIR': '1'}.items():
            monkeypatch.setenv(f'PIP_NO_{name}', value)
        monkeypatch.setenv('PIP_FIND_LINKS', str(source.parent))
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
        console.stream = io.StringIO()
        return Context(venv, console)

    def test_compiled_once_and_taken_from_the_cache_then(self, context: Context, cached_wheel: Path):
        mmcv_wheel.install(context)
        assert cached_wheel.exists() and 'compiling' in context.console.stream.getvalue()
        assert [path.name for path in cached_wheel.parent.iterdir()] == [cached_wheel.name]
        context.console.stream = io.StringIO()
        mmcv_wheel.install(context)
        said = context.console.stream.getvalue()
        assert f'taken from the cache: {cached_wheel}' in said and 'compiling' not in said

    def test_damaged_wheel_is_compiled_anew(self, context: Context, cached_wheel: Path):
        cached_wheel.write_bytes(b'cut off')
        mmcv_wheel.install(context)
        assert 'the cached wheel is damaged' in context.console.stream.getvalue()
        assert mmcv_wheel.intact(cached_wheel)

    def test_named_wheel_that_does_not_work(
        self, context: Context, cached_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        write_wheel(tmp_path / 'mmcv-2.1.0-py3-none-any.whl')
        monkeypatch.setenv('FLMM_MMCV_WHEEL', str(tmp_path / 'mmcv-2.1.0-py3-none-any.whl'))
        with pytest.raises(SetupError, match='does not work with torch'):
            mmcv_wheel.install(context)

    def test_source_that_does_not_compile(self, context: Context, cached_wheel: Path, tmp_path: Path):
        (tmp_path / 'links' / 'mmcv-2.1.0.tar.gz').write_bytes(b'no archive')
        with pytest.raises(SetupError, match='mmcv could not be compiled'):
            mmcv_wheel.install(context)
        assert list(cached_wheel.parent.iterdir()) == []


def test_every_requirement_is_pinned_or_bounded():
    for path in requirements('x').parent.glob('*.txt'):
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith('#')]
        assert all('==' in line or line.startswith('pip>=') for line in lines), path
