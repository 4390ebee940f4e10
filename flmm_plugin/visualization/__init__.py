from flmm_plugin.visualization.colors import phrase_color
from flmm_plugin.visualization.overlay import Layer, draw_attention, draw_overlay
from flmm_plugin.visualization.visualizer import GroundingVisualizer

__all__ = ['GroundingVisualizer', 'Layer', 'draw_attention', 'draw_overlay', 'phrase_color']
