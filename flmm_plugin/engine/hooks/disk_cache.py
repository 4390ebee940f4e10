"""How much room cached image features and attention maps will take, said before training starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm_plugin.engine.hooks.unwrapping import unwrapped_model
from flmm_plugin.registry import HOOKS

SAMPLES = 16  # whose maps are measured; how many phrases a sample has is not known before it is read


@HOOKS.register_module()
class DiskCacheHook(Hook):
    """Log the sizes of the refiner's ``feature_folder`` and the LMM's ``map_folder``, where they are given."""

    @master_only
    def before_train(self, runner: Runner) -> None:
        model = unwrapped_model(runner)
        for name, dataset in _datasets(runner):
            features, count = getattr(getattr(model, 'sam', None), 'image_features', None), len(dataset)
            if features is not None and features.cache.folder is not None:
                folder, each = features.cache.folder, features.num_bytes
                runner.logger.info(
                    f'image features are kept in {folder}: {each / 1e6:.2f} MB an image, at most '
                    f'{count * each / 1e9:.2f} GB for the {count} {name} samples, less where they share images'
                )
            if model.lmm.map_cache is not None:
                each = _mean_map_bytes(model, dataset)
                runner.logger.info(
                    f'attention maps are kept in {model.lmm.map_cache.folder}: about {each / 1e6:.2f} MB a sample, '
                    f'{count * each / 1e9:.2f} GB for the {count} {name} samples, more where texts are drawn at random'
                )


def _datasets(runner: Runner) -> Iterator[tuple[str, Any]]:
    yield 'training', runner.train_dataloader.dataset
    if runner.val_loop is not None:
        yield 'validation', runner.val_dataloader.dataset


def _mean_map_bytes(model: Any, dataset: Any) -> float:
    indices = range(0, len(dataset), max(1, len(dataset) // SAMPLES))
    packed = [dataset[index] for index in indices]
    prepared = model.prepare([one['inputs'] for one in packed], [one['data_samples'] for one in packed])
    return sum(model.lmm.map_cache.sample_bytes(sample) for sample in prepared) / len(prepared)
