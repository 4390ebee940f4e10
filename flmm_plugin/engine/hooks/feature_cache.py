"""How much room cached image features will take, said before training starts."""

from __future__ import annotations

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm_plugin.engine.hooks.unwrapping import unwrapped_model
from flmm_plugin.registry import HOOKS


@HOOKS.register_module()
class FeatureCacheHook(Hook):
    """Log the size of the refiner's ``feature_folder``, where it has one."""

    @master_only
    def before_train(self, runner: Runner) -> None:
        refiner = getattr(unwrapped_model(runner), 'sam', None)
        if refiner is None or refiner.cache.folder is None:
            return
        samples, each = len(runner.train_dataloader.dataset), refiner.feature_bytes
        runner.logger.info(
            f'image features are kept in {refiner.cache.folder}: {each / 1e6:.2f} MB an image, at most '
            f'{samples * each / 1e9:.2f} GB for the {samples} training samples, less where they share images'
        )
