"""Resized pictures are those of every Pillow before 13, under every Pillow."""

from __future__ import annotations

from hashlib import blake2b

import PIL
import pytest
import torch
from packaging.version import Version
from PIL import Image
from torch import Tensor

from flmm_plugin.resampling import resize_bicubic, resize_bilinear

# Taken under Pillow 10.4 and 12.3 by one call of `Image.resize`; Pillow 13's own differs in the first two and the last.
DIGESTS = {
    ((150, 97), (112, 112)): ('3725a1cdf0667575', 'd37a104b1919873e'),
    ((640, 480), (336, 336)): ('319de10490b120a2', '01f712e3aa1415d5'),
    ((97, 150), (112, 112)): ('6abbe5384ea38e8c', '62e07e704b86f55d'),
    ((427, 640), (683, 1024)): ('a0ee69ba68b72a10', '7d5c726dba6fd4fe'),
    ((2, 400), (1, 112)): ('08ee7a49e8dccff9', 'a364a0b2eddcdb47'),
    ((1000, 10), (336, 3)): ('ba269712d916720e', '44c6f40aa4704ecc'),
}


def noise(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (3, height, width), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def digest(image: Tensor) -> str:
    return blake2b(image.permute(1, 2, 0).contiguous().numpy().tobytes(), digest_size=8).hexdigest()


@pytest.mark.parametrize('size, target', DIGESTS)
def test_bytes_are_those_of_the_releases_that_models_were_trained_with(size, target) -> None:
    image = noise(*size)
    found = resize_bicubic(image, target), resize_bilinear(image, target)
    assert [one.shape for one in found] == [(3, *target)] * 2
    assert tuple(map(digest, found)) == DIGESTS[size, target]


@pytest.mark.skipif(Version('13') <= Version(PIL.__version__), reason='Pillow 13 has another order of its own')
@pytest.mark.parametrize('size, target', DIGESTS)
def test_one_call_of_pillow_gives_the_same(size, target) -> None:
    picture = Image.fromarray(noise(*size).permute(1, 2, 0).numpy())
    for resize, resample in ((resize_bicubic, Image.Resampling.BICUBIC), (resize_bilinear, Image.Resampling.BILINEAR)):
        expected = torch.tensor(list(picture.resize(target[::-1], resample).tobytes()), dtype=torch.uint8)
        assert torch.equal(resize(noise(*size), target).permute(1, 2, 0).flatten(), expected)
