"""Damaged files that this project writes: annotations, results, presence rules, folders for the Hub."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('hypothesis')

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flmm_plugin.annotation.export import EXPORTERS, export
from flmm_plugin.annotation.names import read_phrases
from flmm_plugin.annotation.run import Summary
from flmm_plugin.annotation.store import SETTINGS, SHARD, Store
from flmm_plugin.datasets.sources import Source, find_pictures
from flmm_plugin.errors import UserError
from flmm_plugin.evaluation.phrase_records import read_records
from flmm_plugin.models.presence.rules import PresenceRules
from flmm_plugin.models.presence.signals import SIGNALS
from flmm_plugin.models.weights.checkpoints import read_tensors
from flmm_plugin.models.weights.hub_folder import HubFolder, write_folder
from flmm_plugin.rle import encode_mask
from tests.test_properties import bounded, bytes_damage, damage, harm, in_a_child

Read = Callable[[Path], Any]


def tried(path: Path, whole: Any, read: Read) -> None:
    """Damage what a JSON file, or one of JSON lines, says, or its bytes: ``read`` ends well or by a UserError."""
    lines = path.suffix == '.jsonl'

    def write(content: Any) -> bytes:
        return (
            '\n'.join(json.dumps(line) for line in [*content, '']).encode() if lines else json.dumps(content).encode()
        )

    @bounded
    @given(st.one_of(damage(whole), bytes_damage(write(whole))))
    def work(changes: Any) -> None:
        if isinstance(changes, bytes):
            path.write_bytes(changes)
        else:
            content = json.loads(json.dumps(whole))
            harm(content, changes)
            path.write_bytes(write(content))
        try:
            read(path)
        except UserError as error:
            assert str(error)

    in_a_child(work)


def annotated(mask: np.ndarray) -> dict[str, Any]:
    found = dict(text='a dog', spans=[[0, 5]], grounded=True, score=0.9, attention=0.1, box=[1, 2, 3, 4])
    lost = dict(found, text='grass', spans=[[9, 14]], grounded=False, box=None, mask=None)
    return dict(
        file_name='a.png',
        question='What?',
        answer='a dog on grass',
        image=dict(height=6, width=8),
        phrases=[dict(found, mask=encode_mask(mask)), lost],
    )


def test_damaged_lines_of_annotations(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), bool)
    mask[2:4, 1:3] = True
    Image.new('RGB', (8, 6)).save(tmp_path / 'a.png')
    source = Source('a.png', tmp_path / 'a.png')

    def read(path: Path) -> None:
        store = Store(tmp_path, {}, rank=1)
        Summary.of(store)
        for kind in EXPORTERS:
            export(kind, store, [source], tmp_path / kind)

    tried(tmp_path / SHARD.format(0), [annotated(mask), dict(file_name='b.png', error='damaged')], read)


def test_damaged_settings_of_annotations(tmp_path: Path) -> None:
    settings = dict(model='a', batch_size=8)
    tried(tmp_path / SETTINGS, settings, lambda path: Store(tmp_path, settings))


def test_damaged_names_for_annotations(tmp_path: Path) -> None:
    sources = [Source(name, tmp_path / name) for name in ('a.png', 'b.png')]

    def read(path: Path) -> None:
        names = read_phrases(str(path), sources)
        assert all(name.strip() for own in names.values() for name in own) and set(names) == {'a.png', 'b.png'}

    tried(tmp_path / 'names.json', {'a.png': ['a dog'], 'b.png': ['a cat', 'grass']}, read)


def test_damaged_lists_of_pictures(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        assert all(isinstance(source.name, str) for source in find_pictures(str(path)))

    tried(tmp_path / 'coco.json', dict(images=[dict(id=1, file_name='a.png'), dict(id='b', file_name='b.png')]), read)


@pytest.mark.parametrize('name', ['list.txt', 'shard.tar'])
def test_damaged_files_of_pictures(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    picture = io.BytesIO()
    Image.new('RGB', (8, 6)).save(picture, 'PNG')
    (tmp_path / 'a.png').write_bytes(picture.getvalue())
    path.write_text('ä/a.png\nb.png\n')
    if name == 'shard.tar':
        with tarfile.open(path, 'w') as archive:
            archive.add(tmp_path / 'a.png', 'ä.png')

    @bounded
    @given(bytes_damage(path.read_bytes()))
    def work(content: bytes) -> None:
        path.write_bytes(content)
        try:
            for source in find_pictures(str(path)):
                source.open()
        except UserError as error:
            assert str(error)

    in_a_child(work)


def test_damaged_results(tmp_path: Path) -> None:
    line = dict(sample_id='a/1', img_id=1, img_path='a.jpg', group='png/narrative', index=0, phrase='a dog', score=0.5)
    numbers = dict(iou=0.5, coarse_iou=0.4, intersection=3, union=6, area=4, size=[6, 8], predicted='', truth='')

    def read(path: Path) -> None:
        for record in read_records(path):
            assert record['size'][0] * record['size'][1] > 0 and np.isfinite(record['iou'] + record['area'])
            assert hash((record['group'], record['sample_id'], record['index']))

    tried(tmp_path / 'results.jsonl', [{**line, **numbers}, {**line, **numbers, 'index': 1}], read)


def test_damaged_presence_rules(tmp_path: Path) -> None:
    signals = np.random.default_rng(0).normal(size=(40, len(SIGNALS)))
    PresenceRules.fit(signals, signals[:, 0] > 0, 'Look.', 'Is there {phrase}?').save(tmp_path / 'rule.json')

    def read(path: Path) -> None:
        rules = PresenceRules.load(path)
        for ask in [False] if rules.asked is None else [False, True]:
            found = rules(signals, ask)
            assert found.shape == (40,) and ((found >= 0) & (found <= 1)).all()

    tried(tmp_path / 'rule.json', json.loads((tmp_path / 'rule.json').read_text()), read)


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors'])
def test_damaged_folders_for_the_hub(tmp_path: Path, name: str) -> None:
    import torch

    lmm = dict(type='LlavaLMM', pretrained='owner/name')
    model = dict(
        type='FLMM', lmm=lmm, mask_head=dict(type='UNetMaskHead'), refiner=dict(type='SAMRefiner', arch='tiny')
    )
    write_folder(
        tmp_path, {'text_proj.bias': torch.ones(4)}, model, dict(fingerprint='abc'), 'a card', png_prompt='What?'
    )
    path = tmp_path / name

    def read(path: Path) -> None:
        folder = HubFolder.fetch(tmp_path)
        assert isinstance(folder.model_config(lmm=dict(dtype='float32'), refiner=dict(cache_size=1))['lmm'], dict)
        read_tensors(folder.weights)

    if name == 'config.json':
        tried(path, json.loads(path.read_text()), read)
        return

    @bounded
    @given(bytes_damage(path.read_bytes()))
    def work(content: bytes) -> None:
        path.write_bytes(content)
        try:
            read(path)
        except UserError as error:
            assert str(error)

    in_a_child(work)
