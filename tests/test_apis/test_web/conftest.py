"""A page with the tiny model behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip('gradio', reason='the web page needs Gradio')

from flmm_plugin.apis import FLMMInferencer
from flmm_plugin.apis.web import build_page, launch_options
from tests.tiny_checkpoint import CONFIG, draw_scene, save_checkpoint, save_presence


@pytest.fixture(scope='package')
def inferencer(tmp_path_factory: pytest.TempPathFactory) -> FLMMInferencer:
    checkpoint = save_checkpoint(tmp_path_factory.mktemp('flmm'))
    save_presence(checkpoint)
    return FLMMInferencer(CONFIG, checkpoint, 'cpu', extractor=dict(type='RulePhrases'), min_score=-10.0)


@pytest.fixture(scope='package')
def address(inferencer: FLMMInferencer) -> Iterator[str]:
    page = build_page(inferencer, max_new_tokens=48)
    _, url, _ = page.launch(
        prevent_thread_lock=True, quiet=True, server_name='127.0.0.1', max_file_size=2**20, **launch_options()
    )
    yield url
    page.close()


@pytest.fixture(scope='package')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp('scenes')
    for index in range(5):
        Image.fromarray(draw_scene(index)).save(folder / f'{index}.png')
    return sorted(folder.iterdir())
