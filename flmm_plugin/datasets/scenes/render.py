"""Scenes to pixels: an RGB image and the map of who owns each pixel."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from flmm_plugin.datasets.scenes.world import COLORS, STUFF, Scene, Thing

SHIFT = 4  # cv2 draws polygons on a grid of 1/16 pixel
TILE = 512

TOP, BOTTOM = 0, 1  # owners of stuff pixels; thing i owns i + 2
FIRST_THING = 2

_BASE = {
    'sky': (165, 200, 225),
    'wall': (170, 125, 110),
    'forest': (62, 92, 66),
    'grass': (128, 158, 92),
    'water': (88, 138, 158),
    'sand': (220, 200, 155),
    'snow': (236, 239, 243),
    'road': (128, 128, 132),
}


def render(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a scene.

    Returns:
        image: (H, W, 3) uint8, RGB.
        owners: (H, W) uint8; 0 the upper stuff, 1 the lower, ``i + 2`` the visible part of thing ``i``.
    """
    rng = np.random.default_rng(scene.texture_seed)
    height, width = scene.height, scene.width
    x = np.arange(width, dtype=np.float32)
    line = scene.horizon + scene.wave * np.sin(x / width * 2 * np.pi + scene.phase)
    owners = (np.arange(height, dtype=np.float32)[:, None] >= line[None]).astype(np.uint8)
    image = np.where(owners[..., None] == BOTTOM, _texture(scene.bottom, rng, scene), _texture(scene.top, rng, scene))
    for index in scene.depth:
        thing = scene.things[index]
        contours = _contours(thing)
        color = np.clip(np.array(COLORS[thing.color]) * rng.uniform(0.94, 1.04), 0, 255)
        rim = color * 0.6 if thing.color != 'black' else color + 70
        cv2.fillPoly(image, contours, tuple(map(float, color)), lineType=cv2.LINE_AA, shift=SHIFT)
        cv2.polylines(image, contours, True, tuple(map(float, rim)), 1, lineType=cv2.LINE_AA, shift=SHIFT)
        cv2.fillPoly(owners, contours, (index + FIRST_THING,), shift=SHIFT)
    return image, owners


def _texture(name: str, rng: np.random.Generator, scene: Scene) -> NDArray[np.uint8]:
    tile = _tile(name)
    top, left = rng.integers(0, TILE - scene.height + 1), rng.integers(0, TILE - scene.width + 1)
    return tile[top : top + scene.height, left : left + scene.width]


@cache
def _tile(name: str) -> NDArray[np.uint8]:
    """A large tile of one stuff's texture; a scene shows a random part of it."""
    rng = np.random.default_rng(STUFF.index(name))
    noise = rng.standard_normal((TILE, TILE)).astype(np.float32)
    ys, xs = np.mgrid[:TILE, :TILE].astype(np.float32)
    grain = {
        'sky': 22 * _blur(noise, 25, 12),
        'wall': 5 * noise - 38.0 * _mortar(ys, xs),
        'forest': 26 * _blur(noise, 6, 6),
        'grass': 18 * _blur(noise, 1, 6) + 6 * noise,
        'water': 14 * np.sin(ys / 2.6 + 2 * np.sin(xs / 17)) + 5 * _blur(noise, 9, 2),
        'sand': 11 * noise,
        'snow': 7 * _blur(noise, 15, 15),
        'road': 7 * noise + 12 * _blur(noise, 30, 1.5),
    }[name]
    return np.clip(np.array(_BASE[name], np.float32) + grain[..., None], 0, 255).astype(np.uint8)


def _blur(noise: NDArray, sigma_x: float, sigma_y: float) -> NDArray:
    blurred = cv2.GaussianBlur(noise, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)
    return blurred / blurred.std()


def _mortar(ys: NDArray, xs: NDArray) -> NDArray:
    """Where the joints of a brick wall are (1) and the bricks (0)."""
    course = ys // 14
    return ((ys % 14 < 2) | ((xs + 15 * (course % 2)) % 30 < 2)).astype(np.float32)


def _contours(thing: Thing) -> list[NDArray[np.int32]]:
    angle = np.deg2rad(thing.angle)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    center = np.array([thing.x, thing.y])
    return [
        np.round((outline @ rotation.T * thing.radius + center) * 2**SHIFT).astype(np.int32)
        for outline in _outlines(thing.shape)
    ]


@cache
def _outlines(shape: str) -> tuple[NDArray[np.float64], ...]:
    """Closed outlines of a shape in units of its radius, y down; a second one is a hole."""
    if shape == 'circle':
        return (_arc(1, 0, 360, 40),)
    if shape == 'ring':
        return _arc(1.05, 0, 360, 40), _arc(0.52, 0, 360, 30)
    if shape == 'square':
        return (0.88 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float),)
    if shape == 'triangle':
        return (_arc(1.2, -90, 270, 3) + np.array([0, 0.2]),)
    if shape == 'star':
        points = _arc(1.2, -90, 270, 10)
        points[1::2] *= 0.42
        return (points,)
    if shape == 'cross':
        a, b = 0.36, 1.08
        return (
            np.array(
                [
                    [-a, -b],
                    [a, -b],
                    [a, -a],
                    [b, -a],
                    [b, a],
                    [a, a],
                    [a, b],
                    [-a, b],
                    [-a, a],
                    [-b, a],
                    [-b, -a],
                    [-a, -a],
                ]
            ),
        )
    if shape == 'heart':
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        return (np.stack([16 * np.sin(t) ** 3, -y - 2], 1) / 15.5,)
    if shape == 'moon':
        outer = _arc(1.1, 50, 310, 36)
        inner = _arc(0.88, 295, 65, 30) + np.array([0.45, 0])
        return (np.concatenate([outer, inner]) + np.array([0.15, 0]),)
    raise KeyError(f'no outline for shape {shape!r}')


def _arc(radius: float, start: float, stop: float, points: int) -> NDArray[np.float64]:
    t = np.deg2rad(np.linspace(start, stop, points, endpoint=abs(stop - start) != 360))
    return radius * np.stack([np.cos(t), np.sin(t)], 1)
