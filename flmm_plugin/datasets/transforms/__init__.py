from flmm_plugin.datasets.transforms.formatting import PackGroundingInputs
from flmm_plugin.datasets.transforms.loading import LoadImageRGB
from flmm_plugin.datasets.transforms.masks import LoadGroundingMasks
from flmm_plugin.datasets.transforms.questions import PackQuestion

__all__ = ['LoadGroundingMasks', 'LoadImageRGB', 'PackGroundingInputs', 'PackQuestion']
