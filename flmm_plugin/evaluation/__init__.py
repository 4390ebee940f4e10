from flmm_plugin.evaluation.png_metric import PNGMetric
from flmm_plugin.evaluation.res_metric import RESMetric

__all__ = ['PNGMetric', 'RESMetric']
