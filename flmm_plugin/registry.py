"""Child registries of mmengine's, scope ``flmm_plugin``.

With ``default_scope = 'flmm_plugin'`` mmengine imports this module by itself, and each registry imports its
``locations`` when a type is first looked up, so that no config needs ``custom_imports``.

The registries at the end hold nothing of this package: without a child of its scope, mmengine warns at every look-up
before it falls back to its own types. Without a location it warns that the package is not installed.
"""

from mmengine import registry as mmengine_registry
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry

MODELS = Registry('model', parent=MMENGINE_MODELS, locations=['flmm_plugin.models'])
DATASETS = Registry('dataset', parent=MMENGINE_DATASETS, locations=['flmm_plugin.datasets'])
TRANSFORMS = Registry('transform', parent=MMENGINE_TRANSFORMS, locations=['flmm_plugin.datasets.transforms'])
METRICS = Registry('metric', parent=MMENGINE_METRICS, locations=['flmm_plugin.evaluation'])
LOOPS = Registry('loop', parent=MMENGINE_LOOPS, locations=['flmm_plugin.engine'])
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, locations=['flmm_plugin.engine'])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor', parent=MMENGINE_CONSTRUCTORS, locations=['flmm_plugin.engine']
)
OPTIM_WRAPPERS = Registry('optim_wrapper', parent=MMENGINE_OPTIM_WRAPPERS, locations=['flmm_plugin.engine'])
VISUALIZERS = Registry('visualizer', parent=MMENGINE_VISUALIZERS, locations=['flmm_plugin.visualization'])
TASK_UTILS = Registry('task util', parent=MMENGINE_TASK_UTILS, locations=['flmm_plugin.apis.phrases'])

for _name in (
    'DATA_SAMPLERS',
    'EVALUATOR',
    'LOG_PROCESSORS',
    'MODEL_WRAPPERS',
    'OPTIMIZERS',
    'PARAM_SCHEDULERS',
    'RUNNERS',
    'VISBACKENDS',
    'WEIGHT_INITIALIZERS',
):
    _parent = getattr(mmengine_registry, _name)
    Registry(_parent.name, parent=_parent, locations=[__name__])
