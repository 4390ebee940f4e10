"""Procedural scenes: a world small enough to learn in minutes, written in the official formats of real data sets."""

from flmm_plugin.datasets.scenes.render import render
from flmm_plugin.datasets.scenes.world import Scene, Thing, sample_scene
from flmm_plugin.datasets.scenes.writer import write_scenes

__all__ = ['Scene', 'Thing', 'render', 'sample_scene', 'write_scenes']
