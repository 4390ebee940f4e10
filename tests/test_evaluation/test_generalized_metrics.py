"""gRefCOCO's and ReasonSeg's metrics against references that spell the authors' definitions out pixel by pixel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from flmm_plugin.datasets import GRefCOCODataset
from flmm_plugin.errors import UserError
from flmm_plugin.evaluation import (
    GCGMetric,
    GRESMetric,
    PNGMetric,
    POPEMetric,
    PresenceMetric,
    ReasonSegMetric,
    RESMetric,
)
from tests.data_files import PIPELINE
from tests.test_evaluation.test_metrics import blobs, evaluate, predictions

GENERALIZED = 'generalized/independent/all_sentences'
REASONING = 'reasoning/first_sentence'


def sample(predicted: torch.Tensor, truth: torch.Tensor, protocol: str, **more: torch.Tensor) -> DetDataSample:
    flags = torch.zeros(len(truth), dtype=torch.bool)
    result = DetDataSample(metainfo=dict(protocol=protocol, dataset_name='set_val'))
    result.gt_instances = InstanceData(masks=truth, is_thing=~flags, is_plural=flags, **more)
    result.pred_instances = InstanceData(masks=predicted, coarse_masks=predicted.clone())
    return result


def generalized_samples() -> list[DetDataSample]:
    """Expressions with and without targets; predictions that are empty, tiny (49 and 50 pixels) or large."""
    generator = torch.Generator().manual_seed(3)
    samples = []
    for number in range(30):
        truth, predicted = blobs(generator, 2), blobs(generator, 2)
        if number % 3 == 0:
            truth[0] = False
        if number % 4 == 0:
            predicted[0] = False
        elif number % 4 == 1:
            predicted[0] = False
            predicted[0].flatten()[: 49 + number // 4 % 2] = True
        if number % 5 == 0:
            predicted[1] = truth[1]
        samples.append(sample(predicted, truth, GENERALIZED))
    return samples


def spelled_out_gres(samples: list[DetDataSample], threshold: int) -> dict[str, float]:
    ious, intersection, union = [], 0, 0
    found = {'absent': [0, 0], 'present': [0, 0]}
    for one in samples:
        for predicted, truth in zip(one.pred_instances.masks.numpy(), one.gt_instances.masks.numpy(), strict=True):
            says_nothing = np.count_nonzero(predicted) < threshold
            if says_nothing:
                predicted = np.zeros_like(predicted)
            both, either = np.logical_and(predicted, truth).sum(), np.logical_or(predicted, truth).sum()
            if not truth.any():
                found['absent'][says_nothing] += 1
                ious.append(1.0 if says_nothing else 0.0)
            else:
                found['present'][not says_nothing] += 1
                ious.append(both / either)
            intersection += both
            union += either
    return {
        'gIoU': sum(ious) / len(ious),
        'cIoU': intersection / union,
        'N-acc': found['absent'][1] / sum(found['absent']),
        'T-acc': found['present'][1] / sum(found['present']),
    }


@pytest.mark.parametrize('threshold', [1, 50, 51])
def test_gres_is_what_its_authors_define(threshold: int) -> None:
    samples = generalized_samples()
    metrics = evaluate(GRESMetric(min_pixels=threshold), samples)
    expected = spelled_out_gres(samples, threshold)
    assert metrics == {f'gres/set_val/{GENERALIZED}/{name}': pytest.approx(value) for name, value in expected.items()}


def test_gres_by_presence() -> None:
    """What is less likely there than asked for counts as an empty mask."""
    samples = generalized_samples()
    with pytest.raises(UserError, match='PresenceRuleHook'):
        evaluate(GRESMetric(min_presence=0.5), samples)
    for number, one in enumerate(samples):
        one.pred_instances.presence = torch.tensor([0.2 + 0.01 * number, 0.9 - 0.01 * number])
    metrics = evaluate(GRESMetric(min_presence=0.4), samples)
    for one in samples:
        one.pred_instances.masks[one.pred_instances.presence < 0.4] = False
    expected = spelled_out_gres(samples, 50)
    name = f'gres_presence/set_val/{GENERALIZED}'
    assert metrics == {f'{name}/{figure}': pytest.approx(value) for figure, value in expected.items()}


def test_gres_of_official_files_by_hand(grefcoco_root: Path) -> None:
    """Two images: two targets at once, one target twice, and twice none."""
    path = grefcoco_root / 'grefcoco/grefs(unc).json'
    refs = json.loads(path.read_text())
    refs.append({**refs[1], 'ref_id': 99, 'image_id': 2, 'file_name': refs[3]['file_name'], 'sent_ids': [99]})
    path.write_text(json.dumps(refs))
    files = dict(ann_file='grefcoco/instances.json', split_file='grefcoco/grefs(unc).json')
    folders = dict(data_root=str(grefcoco_root), data_prefix=dict(img_path='train2014'))
    dataset = GRefCOCODataset(**files, **folders, pipeline=PIPELINE, test_mode=True, name='grefcoco')
    one, two = (dataset[index]['data_samples'] for index in range(2))
    both, none, parts = one.gt_instances.masks
    square = both & ~parts
    assert int(square.sum()) == 400 and not none.any() and len(two.gt_instances.masks) == 2
    upper = square.clone()
    upper[15:] = False  # half of it
    patch = torch.zeros_like(square)
    patch[:10, :10] = True  # 100 pixels
    for sample, masks, presence in (
        (one, [square, patch, parts], [0.9, 0.2, 0.3]),
        (two, [upper, patch], [0.8, 0.7]),
    ):
        sample.pred_instances = InstanceData(masks=torch.stack(masks), presence=torch.tensor(presence))
    whole, part = int(both.sum()), int(parts.sum())
    # Of what is not there one is denied and one is not; of what is there "parts", found as it is, is denied.
    expected = {
        'gIoU': (400 / whole + 1 + 0 + 0.5 + 0) / 5,
        'cIoU': (400 + 0 + 200) / (whole + 0 + part + 400 + 100),
        'N-acc': 1 / 2,
        'T-acc': 2 / 3,
    }
    found = evaluate(GRESMetric(min_presence=0.5), [one, two])
    name = f'gres_presence/grefcoco_train/{GENERALIZED}'
    assert found == {f'{name}/{figure}': pytest.approx(value) for figure, value in expected.items()}
    plain, name = evaluate(GRESMetric(), [one, two]), f'gres/grefcoco_train/{GENERALIZED}'
    assert (plain[f'{name}/N-acc'], plain[f'{name}/T-acc']) == (0, 1)


def test_gres_threshold_is_50_pixels() -> None:
    samples = generalized_samples()
    assert evaluate(GRESMetric(), samples) == evaluate(GRESMetric(min_pixels=50), samples)
    assert evaluate(GRESMetric(), samples) != evaluate(GRESMetric(min_pixels=1), samples)


def test_gres_leaves_out_the_accuracy_that_has_no_expression() -> None:
    predicted, nothing = torch.ones(1, 24, 32, dtype=torch.bool), torch.zeros(1, 24, 32, dtype=torch.bool)
    present = evaluate(GRESMetric(), [sample(predicted, predicted, GENERALIZED)])
    absent = evaluate(GRESMetric(), [sample(nothing, nothing, GENERALIZED)])
    assert {key.rsplit('/', 1)[1]: value for key, value in present.items()} == {'gIoU': 1, 'cIoU': 1, 'T-acc': 1}
    assert {key.rsplit('/', 1)[1]: value for key, value in absent.items()} == {'gIoU': 1, 'cIoU': 0, 'N-acc': 1}


def reasoning_samples() -> list[DetDataSample]:
    generator = torch.Generator().manual_seed(5)
    samples = []
    for number in range(20):
        predicted, truth, ignored = (blobs(generator, 1) for _ in range(3))
        if number == 0:
            predicted, ignored = truth.clone(), truth.clone()  # nothing is left to judge
        samples.append(sample(predicted, truth & ~ignored, REASONING, ignored=ignored))
    return samples


def spelled_out_reasonseg(samples: list[DetDataSample]) -> dict[str, float]:
    """As LISA counts: labels 0, 1 and 255; a prediction on a pixel of 255 is taken out."""
    ious, intersection, union = [], 0, 0
    for one in samples:
        label = one.gt_instances.masks[0].numpy().astype(int)
        label[one.gt_instances.ignored[0].numpy()] = 255
        output = one.pred_instances.masks[0].numpy().astype(int)
        output[label == 255] = 255
        both = int(((output == 1) & (label == 1)).sum())
        either = int((output == 1).sum()) + int((label == 1).sum()) - both
        ious.append(both / (either + 1e-5) + (either == 0))
        intersection, union = intersection + both, union + either
    cumulative = intersection / union  # these images are of one size
    return {'gIoU': sum(ious) / len(ious), 'cIoU': cumulative, 'cIoU_by_size': cumulative}


def test_reasonseg_is_what_lisa_computes() -> None:
    samples = reasoning_samples()
    metrics = evaluate(ReasonSegMetric(), samples)
    expected = spelled_out_reasonseg(samples)
    assert metrics == {
        f'reasonseg/set_val/{REASONING}/{name}': pytest.approx(value, abs=1e-6) for name, value in expected.items()
    }


def test_protocols_are_not_mixed_up() -> None:
    """Each sample is evaluated by the one metric of its task."""
    mixed = [*generalized_samples(), *reasoning_samples(), *predictions(4), *predictions(4, 'narrative')]
    metrics: list[Any] = [GRESMetric(), ReasonSegMetric(), RESMetric(), PNGMetric()]
    together = evaluate(metrics, mixed)
    apart = evaluate(GRESMetric(), generalized_samples()) | evaluate(ReasonSegMetric(), reasoning_samples())
    assert apart.items() <= together.items()
    assert evaluate([POPEMetric(), PresenceMetric(), GCGMetric()], mixed) == {}
    for protocol in (GENERALIZED, REASONING, 'narrative', 'concat/all_sentences', 'independent/all_sentences'):
        assert sum(metric.accepts(protocol) for metric in metrics) == 1
