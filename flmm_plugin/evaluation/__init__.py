from flmm_plugin.evaluation.dump import DumpGroundingResults
from flmm_plugin.evaluation.gres_metric import GRESMetric
from flmm_plugin.evaluation.phrase_records import PhraseRecords
from flmm_plugin.evaluation.png_metric import PNGMetric
from flmm_plugin.evaluation.reasonseg_metric import ReasonSegMetric
from flmm_plugin.evaluation.rec_metric import RECMetric
from flmm_plugin.evaluation.res_metric import RESMetric

__all__ = [
    'DumpGroundingResults',
    'GRESMetric',
    'PNGMetric',
    'PhraseRecords',
    'RECMetric',
    'RESMetric',
    'ReasonSegMetric',
]
