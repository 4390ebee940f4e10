"""Damaged pictures, heads files, checkpoints and questions; offsets of phrases in any text."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip('hypothesis')

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save
from transformers import AutoTokenizer

from flmm_plugin.apis.phrases.base import Phrase
from flmm_plugin.apis.phrases.tokens import phrase_ids, token_spans
from flmm_plugin.apis.visual_cot.benchmark import read_viscot
from flmm_plugin.errors import UserError
from flmm_plugin.images import read_rgb
from flmm_plugin.models.capture.heads import choose_heads
from flmm_plugin.models.weights.checkpoints import read_tensors
from tests.test_properties import bounded, bytes_damage, damage, harm, in_a_child

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'WEBP', 'GIF', 'TIFF', 'BMP'])
def test_damaged_pictures(tmp_path: Path, kind: str) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(file, format=kind, **({'exif': exif} if kind in ('PNG', 'JPEG', 'WEBP') else {}))

    @bounded
    @given(bytes_damage(file.getvalue()))
    def work(content: bytes) -> None:
        (tmp_path / 'x').write_bytes(content)
        try:
            pixels = read_rgb(tmp_path / 'x')
        except UserError as error:
            assert str(tmp_path / 'x') in str(error)
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3

    in_a_child(work)


def test_damaged_heads_files(tmp_path: Path) -> None:
    whole = dict(heads=[0, 3, 5], fingerprint='abc', lmm='tiny')

    @bounded
    @given(st.one_of(damage(whole), bytes_damage(json.dumps(whole).encode())))
    def work(changes: Any) -> None:
        content = json.loads(json.dumps(whole))
        if isinstance(changes, list):
            harm(content, changes)
        (tmp_path / 'heads.json').write_bytes(changes if isinstance(changes, bytes) else json.dumps(content).encode())
        try:
            heads = choose_heads(tmp_path / 'heads.json', 2, 4, 'abc')
        except UserError:
            return
        assert heads and all(type(head) is int and 0 <= head < 8 for head in heads)

    work()


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_damaged_checkpoints(tmp_path: Path, suffix: str) -> None:
    tensors = {'mask_head.weight': torch.arange(6.0), 'text_proj.bias': torch.ones(2, 3)}
    file = io.BytesIO()
    torch.save(dict(state_dict=tensors, meta=dict(epoch=1)), file)
    whole = save(tensors) if suffix == 'safetensors' else file.getvalue()

    @bounded
    @given(bytes_damage(whole))
    def work(content: bytes) -> None:
        path = tmp_path / f'x.{suffix}'
        path.write_bytes(content)
        try:
            found = read_tensors(path)
        except UserError as error:
            assert str(path) in str(error)
        else:
            assert all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in found.items())

    in_a_child(work)


def test_damaged_questions(tmp_path: Path) -> None:
    turns = [dict(value='<image>\nWhere is it?'), dict(value='there')]
    whole = [dict(question_id=1, image=['a.jpg', 'a.jpg###[1, 2, 3, 4]'], conversations=turns)]

    @bounded
    @given(damage(whole))
    def work(changes: list) -> None:
        content = json.loads(json.dumps(whole))
        harm(content, changes)
        (tmp_path / 'x.json').write_text(json.dumps(content))
        try:
            questions = read_viscot(tmp_path / 'x.json')
        except UserError:
            return
        assert all(isinstance(question.text, str) and len(question.box) == 4 for question in questions)

    work()


def test_offsets_of_phrases(tiny_llava_dir: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llava_dir)

    @bounded
    @given(st.lists(st.integers(0, len(tokenizer) - 1), max_size=12), st.data())
    def work(ids: list[int], data: Any) -> None:
        text, spans = token_spans(tokenizer, ids)
        assert len(spans) == len(ids) and all(0 <= start <= end <= len(text) for start, end in spans)
        assert [start for start, _ in spans] == sorted(start for start, _ in spans)
        written = {place for start, end in spans for place in range(start, end)}
        assert {place for place, character in enumerate(text) if not character.isspace()} <= written
        edges = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=2)))
        (owners,) = [phrase_ids(spans, [Phrase(text[slice(*edges)], (tuple(edges),))])]
        for (start, end), owner in zip(spans, owners.tolist(), strict=True):
            assert owner == (0 if min(end, edges[1]) > max(start, edges[0]) else -1)

    work()
