from flmm_plugin.datasets import transforms
from flmm_plugin.datasets.png import PNGDataset
from flmm_plugin.datasets.refcoco import RefCOCODataset

__all__ = ['PNGDataset', 'RefCOCODataset', 'transforms']
