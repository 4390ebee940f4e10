"""Every metric of masks on two pictures of 4 x 4 pixels, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from flmm_plugin.evaluation import GRESMetric, PNGMetric, ReasonSegMetric, RESMetric
from tests.test_evaluation.test_metrics import evaluate


def first(count: int, start: int = 0) -> torch.Tensor:
    """A mask of 4 x 4 pixels, ``count`` of which belong to it, from pixel ``start`` on."""
    mask = torch.zeros(16, dtype=torch.bool)
    mask[start : start + count] = True
    return mask.view(4, 4)


def picture(protocol: str, *phrases: tuple[torch.Tensor, torch.Tensor], things: str, plurals: str) -> DetDataSample:
    """``phrases``: predicted and true mask; ``things`` and ``plurals``: a 1 or 0 a phrase."""
    sample = DetDataSample(metainfo=dict(protocol=protocol))
    predicted, truth = (torch.stack(masks) for masks in zip(*phrases, strict=True))
    flags = [torch.tensor([letter == '1' for letter in word]) for word in (things, plurals)]
    sample.gt_instances = InstanceData(masks=truth, is_thing=flags[0], is_plural=flags[1])
    sample.pred_instances = InstanceData(masks=predicted, coarse_masks=predicted)
    return sample


def two_pictures(protocol: str) -> list[DetDataSample]:
    """IoUs 4/8, 2/2, 0/6 in the first picture and 9/10 in the second."""
    one = [(first(6), first(6, 2)), (first(2), first(2)), (first(3), first(3, 8))]
    return [
        picture(protocol, *one, things='110', plurals='100'),
        picture(protocol, (first(9), first(10)), things='0', plurals='0'),
    ]


def short_names(metrics: dict[str, float]) -> dict[str, float]:
    return {name.rsplit('/', 1)[1]: value for name, value in metrics.items()}


def test_expressions() -> None:
    expected = {'cIoU': 15 / 26, 'mIoU': 2.4 / 4, 'Pr@0.5': 3 / 4}  # 4 + 2 + 0 + 9 of 8 + 2 + 6 + 10 pixels
    expected |= {'Pr@0.6': 2 / 4, 'Pr@0.7': 2 / 4, 'Pr@0.8': 2 / 4, 'Pr@0.9': 2 / 4}
    assert short_names(evaluate(RESMetric(), two_pictures('concat/all_sentences'))) == pytest.approx(expected)


def test_narratives() -> None:
    kinds = {'all': 2.4 / 4, 'thing': 1.5 / 2, 'stuff': 0.9 / 2, 'singular': 1.9 / 3, 'plural': 0.5}
    expected = {f'AR_{kind}': value for kind, value in kinds.items()}
    expected |= {f'mIoU_{kind}': kinds[kind] for kind in ('all', 'thing', 'stuff')} | {'acc@0.5': 2 / 4}
    assert short_names(evaluate(PNGMetric(), two_pictures('narrative'))) == pytest.approx(expected)


def test_generalized_expressions() -> None:
    nothing = first(0)
    protocol = 'generalized/independent/all_sentences'
    phrases = [(first(8), first(8, 4)), (first(1), nothing), (first(5), nothing), (first(1), first(4))]
    sample = picture(protocol, *phrases, things='1111', plurals='0000')
    # Fewer than 2 pixels say "not there": IoUs 4/12, 1, 0, 0; pixels 4 of 12 + 0 + 5 + 4.
    expected = {'gIoU': (1 / 3 + 1) / 4, 'cIoU': 4 / 21, 'N-acc': 1 / 2, 'T-acc': 1 / 2}
    assert short_names(evaluate(GRESMetric(min_pixels=2), [sample])) == pytest.approx(expected)


def test_reasoning() -> None:
    pairs = [(first(6), first(6, 2)), (first(2), first(8)), (first(0), first(0))]
    samples = [picture('reasoning/first_sentence', pair, things='1', plurals='0') for pair in pairs]
    expected = {'gIoU': (4 / 8 + 2 / 8 + 1) / 3, 'cIoU': 6 / 16, 'cIoU_by_size': 6 / 16}
    assert short_names(evaluate(ReasonSegMetric(), samples)) == pytest.approx(expected)


def test_reasoning_on_images_of_two_sizes() -> None:
    """IoU 4/8 of 16 pixels and 8/32 of 64: LISA adds pixels, the authors shares of the image."""
    large = [torch.zeros(8, 8, dtype=torch.bool) for _ in range(2)]
    large[0].flatten()[:16], large[1].flatten()[8:32] = True, True
    pairs = [(first(6), first(6, 2)), (large[0], large[1])]
    samples = [picture('reasoning/first_sentence', pair, things='1', plurals='0') for pair in pairs]
    expected = {'gIoU': 0.75 / 2, 'cIoU': 12 / 40, 'cIoU_by_size': (4 / 16 + 8 / 64) / (8 / 16 + 32 / 64)}
    assert short_names(evaluate(ReasonSegMetric(), samples)) == pytest.approx(expected)
