from flmm_plugin.datasets import transforms
from flmm_plugin.datasets.grefcoco import GRefCOCODataset
from flmm_plugin.datasets.png import PNGDataset
from flmm_plugin.datasets.reasonseg import ReasonSegDataset
from flmm_plugin.datasets.refcoco import RefCOCODataset

__all__ = ['GRefCOCODataset', 'PNGDataset', 'ReasonSegDataset', 'RefCOCODataset', 'transforms']
