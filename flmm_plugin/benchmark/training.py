"""What a training step costs: a batch our way against single steps the authors' way, and where our time goes."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from flmm_plugin.benchmark.breakdown import break_down
from flmm_plugin.benchmark.extract import circumstances, interleaved
from flmm_plugin.benchmark.inputs import IMAGE_SIZE, make_image, make_text
from flmm_plugin.benchmark.memory import growth, peak_of
from flmm_plugin.benchmark.original import original_model
from flmm_plugin.benchmark.subject import Subject
from flmm_plugin.errors import UserError
from flmm_plugin.models.flmm import FLMM
from flmm_plugin.models.lmms import FrozenLMM

BATCH = 8
LOSS_TOLERANCE = 1e-4


def measure_training(
    subject: Subject,
    tokens: Sequence[int] | None = None,
    phrases: int = 6,
    repeats: int = 5,
    batch: int = BATCH,
    steps: int = 0,
    amp: bool = False,
) -> dict[str, Any]:
    """Measure a step (losses and their gradients, no update) on ``batch`` images with ``phrases`` phrases each.

    Args:
        amp: compute the losses, of both ways, in mixed precision (bfloat16), in which the authors trained.
        steps: how many further steps, with updates, the first length is trained for to see whether memory grows.

    Returns:
        The circumstances, and under ``train`` a dict for each length: median ``seconds`` of ours and of as many single
        steps of the original, ``speedup``, ``samples_per_second``, ``peak_bytes`` (of tensors on a GPU, else resident),
        the largest ``max_difference`` of their losses, and ``breakdown``: milliseconds (``ms``) and ``percent`` of each
        part of our step. With ``steps`` the ``memory`` over them, see :func:`growth`.

    Raises:
        UserError: when the two ways do not end up with the same losses.
    """
    found: dict[str, Any] = dict(train=[])
    for length in subject.lengths(tokens, phrases):
        ours, original = build_models(subject, length, phrases, amp)
        images, samples = make_samples(ours.lmm, length, phrases, batch)
        step = measure_step(ours, original, images, samples, repeats, amp)
        found['train'].append(dict(tokens=length, **step))
        if steps > 0 and 'memory' not in found:
            found['memory'] = dict(tokens=length, **train(ours, images, samples, steps, subject.device))
        del ours, original
        gc.collect()  # models are tied to themselves by their hooks, and large ones have no room beside the next
    about = dict(**subject.about, amp=amp, batch=batch, phrases=phrases, repeats=repeats)
    return dict(**about, **circumstances(subject.device), **found)


def measure_step(
    ours: FLMM,
    original: FLMM,
    images: Sequence[Tensor],
    samples: Sequence[BaseDataElement],
    repeats: int,
    amp: bool = False,
) -> dict[str, Any]:
    def step() -> dict[str, Tensor]:
        return losses_and_gradients(ours, images, samples)

    def single_steps() -> list[dict[str, Tensor]]:
        return [
            losses_and_gradients(original, [image], [sample]) for image, sample in zip(images, samples, strict=True)
        ]

    difference = largest_difference(step(), single_steps())
    # Half precision rounds the two ways apart: there the difference is reported and not judged.
    if not amp and ours.lmm.model.dtype == torch.float32 and difference > LOSS_TOLERANCE:
        raise UserError(
            f'the losses of the two ways differ by {difference:.1e}, more than {LOSS_TOLERANCE}: times of steps '
            'that do not compute the same say nothing'
        )
    ways = {'ours': step, 'original': single_steps}
    seconds = interleaved(ways, repeats)
    breakdown = break_down(ours, images, samples, repeats)
    return dict(
        seconds=seconds,
        speedup=seconds['original'] / seconds['ours'],
        samples_per_second={way: len(images) / time for way, time in seconds.items()},
        peak_bytes={name: peak_of(way, str(ours.lmm.device)) for name, way in ways.items()},
        max_difference=difference,
        breakdown=breakdown,
    )


def train(
    model: FLMM, images: Sequence[Tensor], samples: Sequence[BaseDataElement], steps: int, device: str
) -> dict[str, Any]:
    """Memory over ``steps`` steps with the updates of AdamW, as training makes them; the weights change."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def step() -> None:
        losses_and_gradients(model, images, samples)
        optimizer.step()

    return growth(step, steps, device)


def build_models(subject: Subject, tokens: int, phrases: int, amp: bool = False) -> tuple[FLMM, FLMM]:
    """Ours, and one that computes the authors' way with the very same weights."""
    ours = subject.model(tokens, phrases).train()
    models = ours, original_model(ours)
    for model in models if amp else ():
        mix_precisions(model)
    return models


def mix_precisions(model: FLMM) -> None:
    """Let the model compute its losses as under mmengine's ``AmpOptimWrapper`` in bfloat16."""
    model.loss = torch.autocast(model.lmm.device.type, torch.bfloat16)(model.loss)  # type: ignore[method-assign]


def make_samples(lmm: FrozenLMM, tokens: int, phrases: int, batch: int) -> tuple[list[Tensor], list[BaseDataElement]]:
    """Pictures of noise, each with a text of ``tokens`` tokens in all and a random mask for each phrase."""
    input_ids, phrase_ids = make_text(lmm, tokens, phrases)
    generator = torch.Generator().manual_seed(0)
    images, samples = [], []
    for _ in range(batch):
        images.append(make_image(generator))
        sample = BaseDataElement(metainfo=dict(input_ids=input_ids, phrase_ids=phrase_ids))
        sample.gt_instances = InstanceData(masks=torch.rand(phrases, *IMAGE_SIZE, generator=generator) > 0.5)
        samples.append(sample)
    return images, samples


def losses_and_gradients(
    model: FLMM, images: Sequence[Tensor], samples: Sequence[BaseDataElement]
) -> dict[str, Tensor]:
    """One step without its update: the weights stay, so that every round computes the same."""
    model.zero_grad()
    losses = model.loss(images, samples)
    model.parse_losses(losses)[0].backward()
    return {name: value.detach() for name, value in losses.items() if 'loss' in name}


def largest_difference(batch: dict[str, Tensor], singles: Sequence[dict[str, Tensor]]) -> float:
    """Between the losses of a batch and the means of those of its samples, which have as many phrases each."""
    means = {name: torch.stack([one[name] for one in singles]).mean() for name in batch}
    return max(abs(batch[name] - mean).item() for name, mean in means.items())


def table(result: dict[str, Any]) -> str:
    """The result as two Markdown tables: the two ways, and where the time of ours goes."""
    header = '| tokens | ours | original | speed-up | peak: ours | original | largest difference |'
    lines = [header, '|' + '---:|' * 7]
    for row in result['train']:
        ours, original = (f'{row["seconds"][way]:.3g} s' for way in ('ours', 'original'))
        peaks = ' | '.join(f'{row["peak_bytes"][way] / 1e9:.2f} GB' for way in ('ours', 'original'))
        times = f'| {row["tokens"]} | {ours} | {original} | {row["speedup"]:.2f}'
        lines.append(f'{times} | {peaks} | {row["max_difference"]:.1e} |')
    for row in result['train']:
        lines += ['', f'| our step, {row["tokens"]} tokens | ms | % |', '|---|---:|---:|']
        lines += [f'| {name} | {part["ms"]:.1f} | {part["percent"]:.1f} |' for name, part in row['breakdown'].items()]
    if 'memory' in result:
        lines += ['', memory_line(result['memory'], result['device'])]
    return '\n'.join(lines)


def memory_line(memory: dict[str, Any], device: str) -> str:
    early, late = (f'{memory[name] / 1e6:.1f} MB' for name in ('bytes_after_third', 'bytes_after_all'))
    what = 'resident' if device == 'cpu' else 'of tensors'
    steps = f'{memory["steps"]} steps of {memory["tokens"]} tokens'
    return f'Memory over {steps}: {early} {what} after a third, {late} after all, {memory["growth_percent"]:+.2f} %'
