"""Runs: killed and begun again, with damaged pictures, shared by processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.apis.annotated import Unforeseen, attempt
from flmm_plugin.errors import UserError
from tests.test_annotation.conftest import ROOT, Done, command
from tests.tiny_checkpoint import draw_scene

Tool = Callable[..., Done]


def all_lines(folder: Path) -> list[bytes]:
    return sorted(line for shard in folder.glob('shard-*.jsonl') for line in shard.read_bytes().splitlines())


@pytest.fixture(scope='module')
def whole(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The lines of a run that nothing happened to."""
    out = tmp_path_factory.mktemp('whole')
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    subprocess.run(command(pictures, '--out', out), env=environment, check=True, capture_output=True)
    return all_lines(out)


def test_lines_are_the_inferencer_s_results(whole: list[bytes], ask: FLMMInferencer, pictures: Path) -> None:
    assert len(whole) == 12
    for line in whole[::4]:
        record = json.loads(line)
        expected = ask(pictures / record['file_name']).to_dict()
        assert record['answer'] == expected['answer'] and record['image'] == expected['image']
        assert [p['text'] for p in record['phrases']] == [p['text'] for p in expected['phrases']]


def test_killed_and_begun_again_it_ends_the_same(whole: list[bytes], pictures: Path, tmp_path: Path) -> None:
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    shard = tmp_path / 'shard-00000.jsonl'
    for lines in (1, 5):
        process = subprocess.Popen(
            command(pictures, '--out', tmp_path), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and (not shard.exists() or shard.read_bytes().count(b'\n') < lines):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with shard.open('ab') as file:
            file.write(b'{"file_name": "0')  # as if it had been killed within a line
    subprocess.run(command(pictures, '--out', tmp_path), env=environment, check=True, capture_output=True)
    assert all_lines(tmp_path) == whole


def test_a_batch_that_is_half_there_is_completed(
    whole: list[bytes], pictures: Path, tmp_path: Path, tool: Tool
) -> None:
    assert tool(pictures, '--out', tmp_path / 'out').returncode == 0
    shard = tmp_path / 'out/shard-00000.jsonl'
    shard.write_bytes(b''.join(shard.read_bytes().splitlines(keepends=True)[:6]))
    assert tool(pictures, '--out', tmp_path / 'out').returncode == 0
    assert all_lines(tmp_path / 'out') == whole


def test_processes_share_the_pictures(whole: list[bytes], pictures: Path, tmp_path: Path) -> None:
    launch = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node', '2', '--master_port', '29731']
    words = command(pictures, '--out', tmp_path, '--launcher', 'pytorch')[1:]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    done = subprocess.run([*launch, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert '12 pictures, 0 of them with an error' in done.stdout
    assert all_lines(tmp_path) == whole and not (tmp_path / 'claims').exists()


def test_other_questions_in_the_same_folder_are_refused(pictures: Path, tmp_path: Path, tool: Tool) -> None:
    one = pictures / '00.png'
    assert tool(one, '--out', 'out', '--question', 'What is at the top?').returncode == 0
    done = tool(one, '--out', 'out', '--question', 'What is at the bottom?')
    assert done.returncode == 1 and 'holds results of another run (question' in done.stderr
    done = tool(one, '--out', 'out', '--question', 'What is at the top?', '--instances')
    assert done.returncode == 1 and 'instances: False there, True now' in done.stderr


def damaged(folder: Path) -> dict[str, str]:
    """Twelve pictures that are none or are odd, and what their line says; nothing where they are fine."""
    scene = Image.fromarray(draw_scene(3))
    scene.save(folder / 'whole.jpg')
    content = (folder / 'whole.jpg').read_bytes()
    (folder / 'cut.jpg').write_bytes(content[: len(content) // 2])
    (folder / 'text.jpg').write_text('no picture')
    (folder / 'empty.png').write_bytes(b'')
    (folder / 'folder.jpg').mkdir()
    (folder / 'gone.png').symlink_to(folder / 'nowhere.png')
    Image.new('L', (10_000, 10_000)).save(folder / 'huge.png')
    scene.convert('CMYK').save(folder / 'cmyk.jpg')
    Image.fromarray(np.asarray(scene.convert('L')).astype(np.uint16) * 257).save(folder / '16 bit.png')
    scene.convert('P').save(folder / 'moving.gif', save_all=True, append_images=[scene.convert('P')])
    scene.save(folder / 'ein schönes Bild.png')
    scene.convert('RGBA').save(folder / 'rgba.webp')
    return {
        'cut.jpg': 'damaged',
        'text.jpg': 'not an image',
        'empty.png': 'not an image',
        'folder.jpg': 'no image file',
        'gone.png': 'no image file',
        'huge.png': 'too large',
    }


def test_bad_pictures_are_lines_and_the_others_are_annotated(tmp_path: Path, tool: Tool) -> None:
    folder = tmp_path / 'odd ones'
    folder.mkdir()
    errors = damaged(folder)
    done = tool(folder, '--out', 'out')
    assert done.returncode == 0, done.stderr
    records = {record['file_name']: record for record in map(json.loads, all_lines(tmp_path / 'out'))}
    assert set(records) == {path.name for path in folder.iterdir()} and len(records) == 12
    assert {name for name, record in records.items() if 'error' in record} == set(errors)
    for name, record in records.items():
        if name in errors:
            assert name in record['error'] and errors[name] in record['error'], record
        else:
            assert record['answer'] and record['image'] == dict(height=192, width=192)
    assert '12 pictures, 6 of them with an error' in done.stdout
    assert tool(folder, '--out', 'out', '--strict').returncode == 1


def test_names_instead_of_answers(pictures: Path, tmp_path: Path, tool: Tool) -> None:
    (tmp_path / 'names.txt').write_text('the sky\na large star\n')
    done = tool(pictures / '0[0-2].png', '--out', 'out', '--phrases-file', 'names.txt', '--export', 'coco')
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in all_lines(tmp_path / 'out')]
    assert [[p['text'] for p in record['phrases']] for record in records] == [['the sky', 'a large star']] * 3
    assert not (tmp_path / 'out/coco/captions.json').exists()
    summary = json.loads((tmp_path / 'out/summary.json').read_text())
    assert summary['pictures'] == 3 and summary['shards'] == {'shard-00000.jsonl': 3} and not summary['errors']
    assert tool(pictures / '0[0-3].png', '--out', 'out', '--phrases-file', 'names.txt').returncode == 0  # more pictures
    (tmp_path / 'names.txt').write_text('the grass')
    done = tool(pictures / '0[0-3].png', '--out', 'out', '--phrases-file', 'names.txt')
    assert done.returncode == 1 and "['the grass'] now" in done.stderr


def test_in_python(ask: FLMMInferencer, pictures: Path) -> None:
    files = [pictures / '00.png', pictures / 'nowhere.png', pictures / '01.png']
    results = list(ask.annotate((file for file in files), batch_size=2))
    assert [result.name for result in results] == [str(file) for file in files]
    assert results[1].answer is None and 'no image file' in str(results[1].error)
    assert results[2].answer is not None and results[2].answer.answer == ask(files[2]).answer
    assert [result.name for result in ask.annotate([draw_scene(1), draw_scene(2)], phrases=['the sky'])] == ['0', '1']
    (found,) = ask.annotate(str(pictures / '0[0-3].png'), phrases='the sky', batch_size=4).__next__().answer.phrases
    assert found.text == 'the sky'
    for wrong in (
        lambda: ask([draw_scene(1)], batch_size=0),
        lambda: list(ask.annotate([draw_scene(1)], batch_size=0)),
    ):
        with pytest.raises(UserError, match='one picture at least'):
            wrong()


def test_what_nobody_foresaw_is_a_line_unless_it_goes_on() -> None:
    """Eight pictures of a batch, of which one breaks the model; and a model that is broken."""

    def work(indices: list[int]) -> list[int]:
        if 5 in indices:
            raise RuntimeError('split_with_sizes')
        return indices

    found = {i: one for part in attempt(work, list(range(8)), Unforeseen()) for i, one in part.items()}
    assert isinstance(found.pop(5), RuntimeError) and found == {i: i for i in range(8) if i != 5}
    unforeseen, shown = Unforeseen(), []
    with pytest.raises(RuntimeError, match='split'):
        for _ in range(20):
            shown += attempt(work, [5], unforeseen)
    assert len(shown) == 7


def test_a_lost_gpu_is_no_picture() -> None:
    def work(indices: list[int]) -> list[int]:
        raise RuntimeError('CUDA error: device-side assert triggered')

    with pytest.raises(RuntimeError, match='CUDA'):
        list(attempt(work, [0, 1], Unforeseen()))
