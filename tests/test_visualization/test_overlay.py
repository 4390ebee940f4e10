"""Masks and names on a picture: seen, and not over each other."""

from __future__ import annotations

from itertools import combinations, product

import cv2
import numpy as np
import pytest

from flmm_plugin.visualization import Layer, draw_attention, draw_overlay, overlay, phrase_color
from flmm_plugin.visualization.colors import PALETTE, rgb, text_color
from flmm_plugin.visualization.names import inner_point, overlap, place
from tests.test_visualization.test_text import TEXTS

GREY = np.full((60, 80, 3), 128, np.uint8)


def circle(y: int, x: int, radius: int) -> np.ndarray:
    rows, columns = np.mgrid[:60, :80]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def test_mask_has_its_colour_inside_and_nothing_outside() -> None:
    drawn = draw_overlay(GREY, [Layer(circle(30, 40, 15), '', '#e6194b')])
    assert drawn.shape == (480, 640, 3) and drawn.dtype == np.uint8
    inside, outside = drawn[240, 320].astype(int), drawn[20, 20].astype(int)
    assert inside[0] > inside[1] + 30 and (outside == 128).all()
    assert (GREY == 128).all()


def test_large_pictures_keep_their_size() -> None:
    assert draw_overlay(np.zeros((700, 900, 3), np.uint8), []).shape == (700, 900, 3)


def test_small_masks_lie_on_large_ones() -> None:
    layers = [Layer(circle(30, 40, 3), '', '#00ff00'), Layer(circle(30, 40, 25), '', '#ff0000')]
    center = draw_overlay(GREY, layers)[240, 320].astype(int)
    assert center[1] > center[0]


def test_names_do_not_overlap_and_stay_on_the_picture() -> None:
    taken: list = []
    for _ in range(40):
        taken.append(place((90, 20), (320, 240), (640, 480), taken))
    assert all(overlap(*pair) == 0 for pair in combinations(taken, 2))
    assert all(0 <= x0 < x1 < 640 and 0 <= y0 < y1 < 480 for x0, y0, x1, y1 in taken)
    assert abs(taken[0][0] + 45 - 320) < 2 and abs(taken[0][1] + 10 - 240) < 2


def test_a_full_picture_still_has_a_place() -> None:
    assert place((50, 50), (30, 30), (60, 60), [(0, 0, 60, 60)]) is not None
    assert place((500, 50), (30, 30), (60, 60), [])[0] == 0


def test_names_are_written_in_many_scripts() -> None:
    layers = [Layer(circle(30, 40, 20), name, '#4363d8') for name in ('the café', 'собака', '狗 🐶', 'x' * 200)]
    assert draw_overlay(GREY, layers).shape == (480, 640, 3)


def test_empty_and_full_masks() -> None:
    layers = [Layer(np.zeros((60, 80), bool), 'none', '#4363d8'), Layer(np.ones((60, 80), bool), 'all', '#e6194b')]
    assert draw_overlay(GREY, layers).shape == (480, 640, 3)


def test_inner_point_is_inside() -> None:
    ring = circle(30, 40, 25) & ~circle(30, 40, 15)
    x, y = inner_point(ring)
    assert ring[y, x]
    corner = np.zeros((60, 80), bool)
    corner[-1, -1] = True
    assert inner_point(corner) == (79, 59)


def test_attention_is_brightest_where_it_is_largest() -> None:
    attention = np.zeros((6, 8), np.float32)
    attention[1, 6] = 1
    drawn = draw_attention(GREY, attention).sum(axis=2)
    y, x = np.unravel_index(drawn.argmax(), drawn.shape)
    assert abs(y / 480 - 1.5 / 6) < 0.1 and abs(x / 640 - 6.5 / 8) < 0.1
    assert draw_attention(GREY, np.ones((6, 8))).shape == (480, 640, 3)


def test_colours_differ_and_carry_text() -> None:
    assert len(set(PALETTE)) == len(PALETTE) and phrase_color(len(PALETTE)) == PALETTE[0]
    for first, second in combinations(PALETTE, 2):
        assert np.abs(np.subtract(rgb(first), rgb(second))).sum() > 60, (first, second)
    assert {text_color('#ffff00'), text_color('#000080')} == {'#000000', '#ffffff'}


@pytest.mark.parametrize('color', PALETTE)
def test_text_is_readable_on_every_colour(color: str) -> None:
    def luminance(value: str) -> float:
        parts = [v / 255 for v in rgb(value)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    lighter, darker = sorted((luminance(color), luminance(text_color(color))), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_every_corner_is_a_place() -> None:
    for anchor in product((0, 639), (0, 479)):
        x0, y0, x1, y1 = place((90, 20), anchor, (640, 480), [])
        assert min(x0, y0) >= 0 and x1 <= 640 and y1 <= 480


def test_the_picture_is_that_of_whole_outlines() -> None:
    """Masks are tinted exactly; bands around them are what OpenCV draws along outlines, but for their soft edges."""
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 255, (6, 8, 3)).astype(np.uint8), (800, 600))
    for masks in ([(300, 400, 120)], [(0, 0, 90), (599, 799, 200)], [(300, 10, 60), (310, 400, 5)]):
        layers = []
        for index, (y, x, radius) in enumerate(masks):
            rows, columns = np.mgrid[:600, :800]
            layers.append(Layer((rows - y) ** 2 + (columns - x) ** 2 <= radius**2, '', phrase_color(index)))
        expected = image.copy()
        for layer in sorted(layers, key=lambda one: -one.mask.sum()):
            tint = 0.65 * expected[layer.mask] + 0.35 * np.array(rgb(layer.color))
            expected[layer.mask] = np.rint(tint).astype(np.uint8)
            outlines, _ = cv2.findContours(layer.mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(expected, outlines, -1, (255, 255, 255), 6, cv2.LINE_AA)
            cv2.drawContours(expected, outlines, -1, rgb(layer.color), 4, cv2.LINE_AA)
        difference = np.abs(draw_overlay(image, layers).astype(int) - expected)
        assert difference.mean() < 0.5 and (difference.max(axis=2) > 0).mean() < 0.03


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outlines within a tile, across several and along the picture's border, against one tile for all."""
    image = np.random.default_rng(0).integers(0, 255, (700, 900, 3)).astype(np.uint8)
    rows, columns = np.mgrid[:700, :900]
    masks = [(rows - y) ** 2 + (columns - x) ** 2 <= r * r for y, x, r in ((350, 450, 300), (0, 0, 90), (690, 880, 9))]
    layers = [Layer(mask, '', phrase_color(index)) for index, mask in enumerate([*masks, rows >= 0])]
    monkeypatch.setattr(overlay, 'TILE', 64)
    tiled = draw_overlay(image, layers)
    monkeypatch.setattr(overlay, 'TILE', 10_000)
    assert np.array_equal(tiled, draw_overlay(image, layers))


@pytest.mark.parametrize('name', TEXTS)
def test_every_name_is_drawn(name: str) -> None:
    drawn = draw_overlay(GREY, [Layer(circle(30, 40, 15), name, '#e6194b')])
    assert drawn.shape == (480, 640, 3)
    assert (drawn != draw_overlay(GREY, [Layer(circle(30, 40, 15), '', '#e6194b')])).any() or not name
