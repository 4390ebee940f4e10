"""What the tools say when the user made a mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from torch.utils.data import DataLoader
from transformers import AutoConfig

from flmm_plugin.errors import DataError, explain, readable_errors
from flmm_plugin.registry import DATASETS, METRICS


def said(error: Exception, capsys: pytest.CaptureFixture) -> str:
    with pytest.raises(SystemExit) as exit_, readable_errors():
        raise error
    assert exit_.value.code == 1
    return capsys.readouterr().err


def test_user_errors_are_said_without_a_traceback(capsys: pytest.CaptureFixture) -> None:
    assert said(DataError('x.json has no image 5'), capsys) == 'Error: x.json has no image 5\n'
    assert 'no.py' in said(FileNotFoundError('file "no.py" does not exist'), capsys)


@pytest.mark.parametrize(
    'registry, wrong, right',
    [
        (DATASETS, 'RefCOCODatset', 'RefCOCODataset'),
        (METRICS, 'PNGMetrics', 'PNGMetric'),
        (DATASETS, 'Concat', 'Concat'),
    ],
)
def test_misspelt_type_names_the_nearest(registry, wrong: str, right: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(KeyError) as error:
        registry.build(dict(type=wrong))
    message = said(error.value, capsys)
    assert f"There is no {registry.name} of type '{wrong}'" in message and right in message


def fail(_: object) -> None:
    raise DataError('x.jpg cannot be read')


def test_errors_of_workers_are_said_without_a_traceback(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(DataError) as error:
        list(DataLoader([1], num_workers=1, collate_fn=fail))
    assert 'Traceback' in str(error.value)
    assert said(error.value, capsys) == 'Error: x.jpg cannot be read\n'


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError), readable_errors():
        raise ZeroDivisionError


def test_a_misspelt_argument_of_a_config_is_said_in_a_line(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(TypeError) as error:
        DATASETS.build(dict(type='FolderDataset', data_prefix={}, splt='val'))
    assert re.fullmatch(r"Error: .*unexpected keyword argument 'splt' \(misspelt .*\n", said(error.value, capsys))


def test_a_model_that_is_not_to_be_had_is_explained() -> None:
    with pytest.raises(OSError) as raised:
        AutoConfig.from_pretrained('no/such-model', local_files_only=True)
    assert 'name a folder on disk' in (explain(raised.value) or '')
    assert explain(OSError('disk full')) is None


def test_files_that_cannot_be_written_are_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(OSError) as full:
        Path('/dev/full').write_text('x')
    assert said(full.value, capsys) == 'Error: No space left on device: make room, and run the same command again\n'
    with pytest.raises(IsADirectoryError) as folder:
        tmp_path.write_text('x')
    assert said(folder.value, capsys) == f'Error: Is a directory ({tmp_path})\n'
