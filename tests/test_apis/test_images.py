"""Pictures of every kind are read as a person sees them, or refused with a reason."""

from __future__ import annotations

import base64
import io
import textwrap
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image

from flmm_plugin.apis import read_image
from flmm_plugin.images import ImageError, to_8_bits

RAMP = np.linspace(0, 255, 60 * 40).reshape(40, 60).astype(np.uint8)


def test_photos_are_turned_as_their_exif_data_say(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new('L', (30, 20)).save(tmp_path / 'photo.jpg', exif=exif)
    assert read_image(tmp_path / 'photo.jpg').shape == (3, 30, 20)


def test_16_bit_grey_keeps_its_levels(tmp_path: Path) -> None:
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / 'grey.png')
    for path in (tmp_path / 'grey.png', str(tmp_path / 'grey.png')):
        np.testing.assert_array_equal(read_image(path)[0].numpy(), RAMP)


def test_fractions_and_small_integers() -> None:
    np.testing.assert_array_equal(to_8_bits(RAMP.astype(np.int32)), RAMP)
    np.testing.assert_array_equal(to_8_bits(RAMP / 255), RAMP)


def test_cmyk_is_not_inverted(tmp_path: Path) -> None:
    Image.new('RGB', (20, 20), (250, 20, 20)).convert('CMYK').save(tmp_path / 'print.jpg')
    red, green, blue = read_image(tmp_path / 'print.jpg').float().mean(dim=(1, 2)).tolist()
    assert red > 200 > 80 > max(green, blue)


def test_an_animation_gives_its_first_picture(tmp_path: Path) -> None:
    frames = [Image.new('RGB', (20, 20), color) for color in ('red', 'green', 'blue')]
    frames[0].save(tmp_path / 'moving.gif', save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / 'moving.gif')[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'P'])
def test_transparent_parts_become_white(tmp_path: Path, mode: str) -> None:
    image = Image.new('RGBA', (20, 20), (0, 0, 0, 0))
    image.paste((10, 10, 10, 255), (10, 0, 20, 20))
    image.convert(mode).save(tmp_path / 'clear.png')
    pixels = read_image(tmp_path / 'clear.png')
    assert pixels[:, 5, 2].tolist() == [255, 255, 255] and pixels[:, 5, 15].max() < 20


def test_a_text_file_named_png(tmp_path: Path) -> None:
    (tmp_path / 'note.png').write_text('not a picture')
    with pytest.raises(ImageError, match=r'note\.png is not an image'):
        read_image(tmp_path / 'note.png')


def test_a_damaged_file(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / 'whole.png')
    data = (tmp_path / 'whole.png').read_bytes()
    (tmp_path / 'half.png').write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r'half\.png is damaged'):
        read_image(tmp_path / 'half.png')


def test_100_megapixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    Image.new('1', (10_000, 10_000)).save(tmp_path / 'huge.png')
    with pytest.raises(ImageError, match=r'10000 x 10000 pixels \(100 megapixels\) is too large'):
        read_image(tmp_path / 'huge.png')
    Image.new('1', (16_000, 16_000)).save(tmp_path / 'bomb.png')
    with pytest.raises(ImageError, match='bomb'):
        read_image(tmp_path / 'bomb.png')


def test_a_missing_file() -> None:
    with pytest.raises(ImageError, match=r'no image file nowhere\.png'):
        read_image('nowhere.png')


def test_other_things_are_named() -> None:
    with pytest.raises(ImageError, match='got list'):
        read_image([1, 2])  # type: ignore[arg-type]
    with pytest.raises(ImageError, match='shows nothing'):
        read_image(np.zeros((1, 50, 3), np.uint8))


def test_the_result_is_a_copy() -> None:
    array = np.zeros((4, 5, 3), np.uint8)
    tensor = read_image(array)
    tensor[:] = 7
    assert tensor.shape == (3, 4, 5) and array.max() == 0
    assert read_image(Image.fromarray(array)).shape == (3, 4, 5)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, 'png')
    return file.getvalue()


COLORED = np.stack([RAMP, 255 - RAMP, RAMP // 2], axis=-1)
PNG = png(Image.fromarray(COLORED))
TEXT = base64.b64encode(PNG).decode()
CHANNELS_FIRST = np.ascontiguousarray(COLORED.transpose(2, 0, 1))

COLORED_KINDS: dict[str, Any] = {
    'data URI': f'data:image/png;base64,{TEXT}',
    'data URI in capitals, with a parameter': f'DATA:image/png;charset=utf-8;BASE64,{TEXT}',
    'data URI on lines': 'data:image/png;base64,' + '\n'.join(textwrap.wrap(TEXT, 76)),
    'data URI among spaces': f'  data:image/png;base64,{TEXT}\n',
    'data URI as bytes': f'data:image/png;base64,{TEXT}'.encode(),
    'data URI in the letters of URLs': 'data:image/png;base64,' + base64.urlsafe_b64encode(PNG).decode(),
    'escaped data URI': 'data:image/png;base64,' + quote(TEXT, safe=''),
    'data URI in percents': 'data:image/png,' + quote(PNG),
    'base64 alone': TEXT,
    'base64 alone in the letters of URLs': base64.urlsafe_b64encode(PNG).decode(),
    'bytes': PNG,
    'bytearray': bytearray(PNG),
    'memoryview': memoryview(PNG),
    'file object': lambda: io.BytesIO(PNG),
    'array': COLORED,
    'array, channels first': CHANNELS_FIRST,
    'view of an array': COLORED[:, ::-1][:, ::-1],
    'opaque array': np.dstack([COLORED, np.full_like(RAMP, 255)]),
    'fractions': COLORED / 255,
    'fractions in float32': (COLORED / 255).astype(np.float32),
    'levels as floats': COLORED.astype(np.float32),
    'levels as int64': COLORED.astype(np.int64),
    'levels of 16 bits': COLORED.astype(np.uint16) * 257,
    'tensor': torch.from_numpy(CHANNELS_FIRST),
    'tensor, channels last': torch.from_numpy(COLORED),
    'tensor of fractions': torch.from_numpy(CHANNELS_FIRST / 255).float().requires_grad_(),
}
GREY_KINDS: dict[str, Any] = {
    'array': RAMP,
    'array with a channel': RAMP[..., None],
    'tensor': torch.from_numpy(RAMP),
    'tensor with a channel': torch.from_numpy(RAMP)[None],
    '16 bits': RAMP.astype(np.uint16) * 257,
    'fractions': RAMP / 255,
    'half precision': torch.from_numpy(RAMP / 255).half(),
    'PIL': Image.fromarray(RAMP),
    '16-bit PIL': Image.fromarray(RAMP.astype(np.uint16) * 257),
}


@pytest.mark.parametrize('kind', COLORED_KINDS)
def test_kinds_of_pictures(kind: str) -> None:
    given = COLORED_KINDS[kind]
    given = given() if callable(given) else given
    np.testing.assert_array_equal(read_image(given).permute(1, 2, 0).numpy(), COLORED)


@pytest.mark.parametrize('kind', GREY_KINDS)
def test_kinds_of_grey_pictures(kind: str) -> None:
    for channel in read_image(GREY_KINDS[kind]).numpy():
        np.testing.assert_allclose(channel, RAMP, atol=0)


def test_masks_and_transparent_arrays() -> None:
    assert read_image(RAMP > 100).unique().tolist() == [0, 255]
    assert read_image((RAMP > 100).astype(np.float32)).unique().tolist() == [0, 255]
    clear = np.dstack([COLORED, np.zeros_like(RAMP)])
    assert read_image(clear).unique().tolist() == [255]


def test_an_open_file_stays_open(tmp_path: Path) -> None:
    (tmp_path / 'picture.png').write_bytes(PNG)
    with (tmp_path / 'picture.png').open('rb') as file:
        assert read_image(file).shape == (3, 40, 60) == read_image(file).shape  # it is read from its beginning
        assert not file.closed
    with (tmp_path / 'picture.png').open(encoding='latin-1') as file, pytest.raises(ImageError, match='mode "rb"'):
        read_image(file)


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ('https://images.org/dog.jpg', 'no image file https://images.org/dog.jpg.*not fetched from a URL'),
        ('file:///dog.jpg', 'not fetched from a URL'),
        ('data:image/png;base64', 'no comma'),
        ('data:image/png;base64,' + TEXT[:-3], 'base64 text is damaged'),
        ('data:image/png;base64,' + TEXT[: len(TEXT) // 8 * 4], 'bytes is damaged'),
        ('data:text/plain,hello', '5 bytes is not an image'),
        ('x' * 5000 + '.png', 'no image file xxx'),
        (b'hello', '5 bytes is not an image'),
        (b'', '0 bytes is not an image'),
        (np.zeros(5), 'this one 5'),
        (np.zeros((2, 3, 20, 20), np.uint8), 'batch as a list'),
        (torch.zeros(1, 3, 20, 20), 'batch as a list'),
        (np.zeros((20, 20, 2), np.uint8), '1, 3 or 4 channels'),
        (torch.empty(3, 20, 20, device='meta'), 'a dense one'),
        (torch.zeros(3, 20, 20).to_sparse(), 'a dense one'),
        (torch.randn(3, 20, 20), 'before it was normalised'),
        (np.full((20, 20), np.nan), 'before it was normalised'),
        (np.full((20, 20, 3), 300.0), 'between 300 and 300'),
        (np.array([['a', 'b']]), 'has numbers'),
        (np.zeros((0, 20, 3), np.uint8), 'shows nothing'),
        (None, 'got NoneType'),
        ({}, 'got dict'),
    ],
)
def test_what_is_no_picture_is_said(given: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_image(given)
