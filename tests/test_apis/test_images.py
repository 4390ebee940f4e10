"""Pictures of every kind are read as a person sees them, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
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


@pytest.mark.parametrize('array', [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)])
def test_arrays_must_be_rgb(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match='uint8 RGB'):
        read_image(array)


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
