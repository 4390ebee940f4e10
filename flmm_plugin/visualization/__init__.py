from flmm_plugin.visualization.visualizer import GroundingVisualizer

__all__ = ['GroundingVisualizer']
