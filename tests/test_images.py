"""Training and conversations see the same pixels of every kind of picture, turned as its annotation says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flmm_plugin.apis import read_image
from flmm_plugin.datasets.transforms import LoadImageRGB
from flmm_plugin.datasets.transforms.masks import read_panoptic_ids
from flmm_plugin.errors import DataError
from flmm_plugin.images import ORIENTATION, read_rgb

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
GREY = PIXELS[..., 0]
ALPHA = np.where(np.arange(30) < 15, 0, 255).astype(np.uint8) * np.ones((20, 1), np.uint8)


def with_alpha(mode: str) -> Image.Image:
    image = Image.fromarray(PIXELS).convert(mode[:-1])
    image.putalpha(Image.fromarray(ALPHA))
    return image


def turned(orientation: int, path: Path, pixels: np.ndarray = PIXELS) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


WHITE = np.where(ALPHA[..., None] > 0, PIXELS, 255)
LUMA = np.asarray(Image.fromarray(PIXELS).convert('L'))[..., None]
KINDS: dict[str, tuple[str, Callable[[Path], Any], np.ndarray]] = {
    'grey of 16 bits': (
        'x.png',
        lambda path: Image.fromarray(GREY.astype(np.uint16) * 257).save(path),
        GREY[..., None],
    ),
    'grey of 32 bits': ('x.tif', lambda path: Image.fromarray(GREY.astype(np.int32) * 257).save(path), GREY[..., None]),
    'fractions': ('x.tif', lambda path: Image.fromarray(GREY.astype(np.float32) / 255).save(path), GREY[..., None]),
    'hidden colours': ('x.png', lambda path: with_alpha('RGBA').save(path), WHITE),
    'grey with alpha': ('x.png', lambda path: with_alpha('LA').save(path), np.where(ALPHA[..., None] > 0, LUMA, 255)),
    'colour key': (
        'x.png',
        lambda path: Image.fromarray(GREY).save(path, transparency=int(GREY[0, 0])),
        np.where(GREY[0, 0] == GREY, 255, GREY)[..., None],
    ),
    'two levels': ('x.png', lambda path: Image.fromarray(GREY > 128).save(path), (GREY > 128)[..., None] * 255),
    'grey': ('x.png', lambda path: Image.fromarray(GREY).save(path), GREY[..., None]),
    'lossless WebP': ('x.webp', lambda path: Image.fromarray(PIXELS).save(path, lossless=True), PIXELS),
}


def loaded(path: Path, **annotated: Any) -> np.ndarray:
    return LoadImageRGB()(dict(img_path=str(path), img_id=7, **annotated))['img']


@pytest.mark.parametrize('kind', KINDS)
def test_both_read_what_a_person_sees(tmp_path: Path, kind: str) -> None:
    name, write, expected = KINDS[kind]
    write(tmp_path / name)
    for pixels in (loaded(tmp_path / name), read_image(tmp_path / name).permute(1, 2, 0).numpy()):
        np.testing.assert_array_equal(pixels, np.broadcast_to(expected, (20, 30, 3)))


@pytest.mark.parametrize('mode', ['CMYK', 'YCbCr', 'P', 'LAB', 'HSV', '1', 'I', 'F', 'I;16', 'PA', 'RGBX'])
def test_both_agree_on_every_mode_of_pillow(tmp_path: Path, mode: str) -> None:
    """Also where neither can read it."""
    image = Image.fromarray(GREY.astype(np.uint16)) if mode == 'I;16' else Image.new(mode, (30, 20))
    path = tmp_path / 'x.tif'
    try:
        image.save(path)
    except OSError:
        pytest.skip(f'TIFF holds no {mode}')
    try:
        expected = read_image(path).permute(1, 2, 0).numpy()
    except DataError:
        with pytest.raises(DataError, match=r'x\.tif'):
            loaded(path)
    else:
        np.testing.assert_array_equal(loaded(path), expected)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_photos_are_turned_as_they_are_shown(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    path = turned(orientation, tmp_path / 'x.png')
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(loaded(path), expected)
    np.testing.assert_array_equal(read_image(path).permute(1, 2, 0).numpy(), expected)
    # The annotation states what is shown, or what is stored: the one that fits decides.
    np.testing.assert_array_equal(loaded(path, height=expected.shape[0], width=expected.shape[1]), expected)
    np.testing.assert_array_equal(loaded(path, height=20, width=30), expected if orientation < 5 else PIXELS)
    np.testing.assert_array_equal(loaded(path, width=30), expected if orientation < 5 else PIXELS)


def test_a_size_that_neither_has_is_an_error(tmp_path: Path) -> None:
    path = turned(6, tmp_path / 'x.png')
    with pytest.raises(DataError, match=r'x\.png is 30 x 20 pixels, but image 7 is annotated as 31 x 20'):
        loaded(path, height=31, width=20)


def test_a_square_is_turned_as_it_is_shown(tmp_path: Path) -> None:
    path = turned(3, tmp_path / 'x.png', PIXELS[:20, :20])
    np.testing.assert_array_equal(loaded(path, height=20, width=20), PIXELS[:20, :20][::-1, ::-1])


def test_damaged_exif_data_turn_nothing(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / 'x.png', exif=b'Exif\x00\x00MM\x00*\xff\xff\xff\xff')
    np.testing.assert_array_equal(loaded(tmp_path / 'x.png'), PIXELS)


def test_a_grey_level_that_is_none_is_an_error(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 30), np.nan, np.float32)).save(tmp_path / 'x.tif')
    with pytest.raises(DataError, match=r'x\.tif cannot be decoded: .* NaN'):
        loaded(tmp_path / 'x.tif')


@pytest.mark.parametrize('levels', [GREY.astype(np.int32) * 10**6, GREY.astype(np.float32) - 100])
def test_grey_levels_without_a_known_white_are_an_error(tmp_path: Path, levels: np.ndarray) -> None:
    Image.fromarray(levels).save(tmp_path / 'x.tif')
    for read in (loaded, read_image):
        with pytest.raises(DataError, match='grey levels lie between'):
            read(tmp_path / 'x.tif')


def test_conversations_may_be_told_the_size_too(tmp_path: Path) -> None:
    path = turned(6, tmp_path / 'x.png')
    np.testing.assert_array_equal(read_image(path, stated=(20, 30)).permute(1, 2, 0).numpy(), PIXELS)
    with pytest.raises(DataError, match='the picture is 30 x 20 pixels, but it is annotated as 5 x 20'):
        read_image(path, stated=(5, None))


def test_ids_are_colours_as_stored(tmp_path: Path) -> None:
    ids = PIXELS.astype(int) @ [1, 256, 65536]
    np.testing.assert_array_equal(read_panoptic_ids(str(turned(6, tmp_path / 'x.png'))), ids)
    with_alpha('RGBA').save(tmp_path / 'alpha.png')
    np.testing.assert_array_equal(read_panoptic_ids(str(tmp_path / 'alpha.png')), ids)
    for name, image in {'x.jpg': Image.fromarray(PIXELS), 'grey.png': Image.fromarray(GREY)}.items():
        image.save(tmp_path / name)
        with pytest.raises(DataError, match=f'{name} .* has no ids'):
            read_panoptic_ids(str(tmp_path / name))


def test_the_size_is_chosen_by_the_caller(tmp_path: Path) -> None:
    path = turned(6, tmp_path / 'x.png')
    assert read_rgb(path).shape == (30, 20, 3) and read_rgb(path, (20, 30)).shape == (20, 30, 3)
