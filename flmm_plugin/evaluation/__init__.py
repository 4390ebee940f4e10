from flmm_plugin.evaluation.dump import DumpGroundingResults
from flmm_plugin.evaluation.gcg_metric import GCGMetric
from flmm_plugin.evaluation.gres_metric import GRESMetric
from flmm_plugin.evaluation.phrase_records import PhraseRecords
from flmm_plugin.evaluation.png_metric import PNGMetric
from flmm_plugin.evaluation.pope_metric import POPEMetric
from flmm_plugin.evaluation.presence_metric import PresenceMetric
from flmm_plugin.evaluation.reasonseg_metric import ReasonSegMetric
from flmm_plugin.evaluation.rec_metric import RECMetric
from flmm_plugin.evaluation.res_metric import RESMetric

__all__ = [
    'DumpGroundingResults',
    'GCGMetric',
    'GRESMetric',
    'PNGMetric',
    'POPEMetric',
    'PhraseRecords',
    'PresenceMetric',
    'RECMetric',
    'RESMetric',
    'ReasonSegMetric',
]
