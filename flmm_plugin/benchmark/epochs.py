"""An epoch of training with the frozen parts' results on disk, against the same epoch without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint, set_random_seed
from torch.utils.data import Subset

from flmm_plugin.benchmark.extract import circumstances, interleaved
from flmm_plugin.engine.config import load_config
from flmm_plugin.errors import UserError
from flmm_plugin.models.flmm import FLMM
from flmm_plugin.registry import DATASETS, MODELS

#: Where the frozen parts' results are kept, beside computing them.
FOLDERS = ('half', 'exact')


def measure_epoch(
    config: str,
    options: Mapping[str, Any] | None = None,
    samples: int = 80,
    repeats: int = 3,
    device: str = 'cpu',
    checkpoint: str | None = None,
) -> dict[str, Any]:
    """Train on ``samples`` samples of the config's training set, spread over it, from the same weights each time.

    Files are read before: in training the data loader's workers do that on the side. The folders are filled before,
    too, as they are from the second epoch on.

    Args:
        options: as given to ``tools/train.py --cfg-options``.
        checkpoint: of the config's model, to start from; otherwise the mask head is untrained.

    Returns:
        The circumstances, and under ``epoch`` median ``seconds`` ``without`` folders, with both in half precision
        (``half``) and with both ``exact``; for each of the latter ``time_vs_without``, ``bytes_on_disk``, the largest
        ``max_difference`` of an iteration's loss and the ``mean_difference``, that of the epoch's mean loss.
    """
    set_random_seed(0)  # of the untrained mask head, and of the sentences that are drawn
    settings = load_config(config, dict(options or {}))
    init_default_scope(settings.get('default_scope', 'flmm_plugin'))
    batches = load_batches(settings.train_dataloader, samples)
    with TemporaryDirectory() as folder:
        folders = {way: Path(folder, way) for way in FOLDERS}
        models = {way: build(with_folders(settings.model, at, way), device) for way, at in folders.items()}
        models = {'without': build(settings.model, device), **models}
        if checkpoint is not None:
            load_checkpoint(models['without'], checkpoint, map_location=device)
        start = {name: tensor.clone() for name, tensor in models['without'].state_dict().items()}
        epochs = {way: partial(train, model, batches, start) for way, model in models.items()}
        losses = {way: epoch() for way, epoch in epochs.items()}
        seconds = interleaved(epochs, repeats)
        on_disk = {way: sum(file.stat().st_size for file in at.rglob('*.*')) for way, at in folders.items()}
    found: dict[str, Any] = dict(samples=samples, seconds=seconds)
    for way in FOLDERS:
        differences = losses[way] - losses['without']
        found[way] = dict(
            time_vs_without=seconds[way] / seconds['without'],
            max_difference=differences.abs().max().item(),
            mean_difference=differences.mean().abs().item(),
            bytes_on_disk=on_disk[way],
        )
    about = dict(config=config, checkpoint=checkpoint, repeats=repeats)
    return dict(**about, **circumstances(device), epoch=found)


def load_batches(dataloader: Mapping[str, Any], samples: int) -> list[dict[str, Any]]:
    """So many samples in the config's batches, in the order of the data set."""
    dataset = DATASETS.build(dataloader['dataset'])
    if samples > len(dataset):
        raise UserError(f'the training set has {len(dataset)} samples: --samples must be that or less')
    indices = torch.linspace(0, len(dataset) - 1, samples).long().tolist()
    loader = dict(
        batch_size=dataloader['batch_size'],
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=Subset(dataset, indices),
        num_workers=0,
    )
    return list(Runner.build_dataloader(loader))


def with_folders(model: Mapping[str, Any], folder: Path, way: str) -> dict[str, Any]:
    """The config of the same model with ``map_folder`` and, if it has a refiner, ``feature_folder``."""
    exact = way == 'exact'
    lmm = {**model['lmm'], 'map_folder': str(folder / 'maps'), 'exact_maps': exact}
    refiner = model.get('refiner')
    if refiner is not None:
        refiner = {**refiner, 'feature_folder': str(folder / 'features'), 'exact_features': exact}
    return {**model, 'lmm': lmm, 'refiner': refiner}


def build(config: Mapping[str, Any], device: str) -> FLMM:
    return MODELS.build(dict(config)).to(device).train()


def train(model: FLMM, batches: Sequence[dict[str, Any]], start: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Once over the batches from the weights ``start``, with the paper's AdamW; the loss of each iteration."""
    model.load_state_dict(start)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    wrapper = OptimWrapper(torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.01))
    return torch.stack([model.train_step(batch, wrapper)['loss'].detach() for batch in batches])


def table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    epoch = result['epoch']
    seconds = epoch['seconds']
    lines = [
        f"| {epoch['samples']} samples | time | with / without | mean loss differs by | one iteration's | on disk |",
        '|---|---:|---:|---:|---:|---:|',
        f'| without folders | {seconds["without"]:.3g} s | | | | |',
    ]
    for way in FOLDERS:
        row = epoch[way]
        lines.append(
            f'| {way} | {seconds[way]:.3g} s | {row["time_vs_without"]:.2f} | {row["mean_difference"]:.1e} '
            f'| {row["max_difference"]:.1e} | {row["bytes_on_disk"] / 1e6:.1f} MB |'
        )
    return '\n'.join(lines)
