from flmm_plugin.evaluation.dump import DumpGroundingResults
from flmm_plugin.evaluation.png_metric import PNGMetric
from flmm_plugin.evaluation.res_metric import RESMetric

__all__ = ['DumpGroundingResults', 'PNGMetric', 'RESMetric']
