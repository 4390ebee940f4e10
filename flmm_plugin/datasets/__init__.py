from flmm_plugin.datasets import transforms
from flmm_plugin.datasets.folder import FolderDataset
from flmm_plugin.datasets.gcg import GCGDataset
from flmm_plugin.datasets.grefcoco import GRefCOCODataset
from flmm_plugin.datasets.png import PNGDataset
from flmm_plugin.datasets.reasonseg import ReasonSegDataset
from flmm_plugin.datasets.refcoco import RefCOCODataset
from flmm_plugin.datasets.yes_no import YesNoDataset

__all__ = [
    'FolderDataset',
    'GCGDataset',
    'GRefCOCODataset',
    'PNGDataset',
    'ReasonSegDataset',
    'RefCOCODataset',
    'YesNoDataset',
    'transforms',
]
