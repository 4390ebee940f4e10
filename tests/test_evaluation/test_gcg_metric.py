"""GCG's figures by hand on three images, its code's flaws and their cure, and AP50 against COCOeval."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from transformers import BertConfig, BertModel, BertTokenizer

from flmm_plugin.errors import UserError
from flmm_plugin.evaluation import GCGMetric
from flmm_plugin.evaluation.captions import caption_scores, one_line
from flmm_plugin.evaluation.gcg_matching import iou_matrix, matches, paired_iou, similarity_matrix


def rows(start: int, stop: int) -> torch.Tensor:
    """A mask of whole rows of 10 x 10 pixels."""
    mask = torch.zeros(10, 10, dtype=torch.bool)
    mask[start:stop] = True
    return mask


def sample(image: str, true: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> DetDataSample:
    made = DetDataSample(metainfo=dict(protocol='gcg', dataset_name='', img_id=image, captions=['a dog on grass']))
    none = torch.zeros(0, 10, 10, dtype=torch.bool)
    made.gt_instances = InstanceData(masks=torch.stack(list(true.values())) if true else none, phrases=list(true))
    made.pred_instances = InstanceData(masks=torch.stack(list(found.values())) if found else none, phrases=list(found))
    made.set_field('a dog', 'caption')
    return made


SAMPLES = [
    # IoU 1 and 0.6; the second is named otherwise
    sample('a', {'a dog': rows(0, 5), 'grass': rows(5, 10)}, {'A dog': rows(0, 5), 'sky': rows(5, 8)}),
    # the wrong name has the larger IoU, 0.8; the right one 0.5
    sample('b', {'a cat': rows(0, 10)}, {'a dog': rows(0, 8), 'a cat': rows(0, 5)}),
    sample('c', {'a tree': rows(0, 2)}, {}),
]


def evaluate(samples: list[DetDataSample], **options: Any) -> dict[str, float]:
    return Evaluator(GCGMetric(encoder='exact', **options)).offline_evaluate(samples)


def test_by_hand() -> None:
    metrics = evaluate(SAMPLES)
    # Pairs: 1 and 0.6; 0.8; none.
    assert metrics['gcg/mIoU'] == pytest.approx((0.8 + 0.8 + 0) / 3)
    # Of 4 labels "a dog" alone: in the second image the search ends with the pair that is named otherwise.
    assert metrics['gcg/recall_exact'] == 1 / 4
    # Four predictions of equal score for four masks: right, right (0.6), right (0.8), the same thing again.
    assert metrics['gcg/AP50'] == pytest.approx(coco_ap50(SAMPLES))
    assert set(metrics) == {'gcg/mIoU', 'gcg/recall_exact', 'gcg/AP50'}


def test_by_hand_strictly() -> None:
    metrics = evaluate(SAMPLES, strict=True)
    # The second image: 0.8 and a prediction without partner; the third: a true mask without.
    assert metrics['gcg/mIoU_strict'] == pytest.approx((0.8 + 0.4 + 0) / 3)
    assert metrics['gcg/recall_exact_strict'] == 2 / 4


def coco_ap50(samples: list[DetDataSample]) -> float:
    def encoded(mask: torch.Tensor) -> dict[str, Any]:
        return coco_mask.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))

    truth: Any = dict(images=[], annotations=[], categories=[dict(id=1)])
    found = []
    for one in samples:
        number = one.img_id
        truth['images'].append(dict(id=number, height=10, width=10))
        for mask in one.gt_instances.masks:
            about = dict(id=len(truth['annotations']) + 1, image_id=number, category_id=1, iscrowd=0, bbox=[0, 0, 1, 1])
            truth['annotations'].append(dict(about, segmentation=encoded(mask), area=int(mask.sum())))
        found += [
            dict(image_id=number, category_id=1, segmentation=encoded(mask), score=1.0)
            for mask in one.pred_instances.masks
        ]
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    evaluation = COCOeval(coco, coco.loadRes(found), 'segm')
    evaluation.params.catIds = [1]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[1]


@pytest.mark.parametrize('found', [{}, {'a dog': rows(0, 5)}])
def test_figures_stay_fractions_where_nothing_is_true(found: dict[str, torch.Tensor]) -> None:
    """COCOeval's AP is -1 there."""
    assert set(evaluate([sample('a', {}, found)]).values()) == {0.0}


def test_ap50_is_that_of_cocoeval() -> None:
    generator = torch.Generator().manual_seed(0)

    def some(number: int) -> dict[str, torch.Tensor]:
        starts = torch.randint(0, 6, (number,), generator=generator).tolist()
        return {f'thing {i}': rows(start, start + 4) for i, start in enumerate(starts)}

    # COCOeval goes through images by their ids, which matters where all scores are alike: 'sa_10' before 'sa_2'.
    samples = [sample(f'sa_{11 - index}', some(1 + index % 3), some(1 + index % 4)) for index in range(12)]
    value = evaluate(samples)['gcg/AP50']
    assert value == pytest.approx(coco_ap50(samples)) and 0 < value < 1


def test_two_empty_masks() -> None:
    """The benchmark's NaN: the image counts nothing in mIoU, though another pair fits."""
    nothing = rows(0, 0)
    empty = sample('a', {'a dog': rows(0, 5), 'void': nothing}, {'a dog': rows(0, 5), 'void': nothing})
    assert np.isnan(iou_matrix(np.zeros((1, 4, 4), bool), np.zeros((1, 4, 4), bool), strict=False)).all()
    assert evaluate([empty])['gcg/mIoU'] == 0.0
    metrics = evaluate([empty], strict=True)
    assert metrics['gcg/mIoU_strict'] == pytest.approx(1 / 3)  # a pair, and two without partner
    assert metrics['gcg/recall_exact_strict'] == 0.5


def test_matching_goes_by_the_largest_iou() -> None:
    ious = np.array([[0.9, 0.8], [0.7, 0.6]])
    assert paired_iou(ious, strict=False) == pytest.approx((0.9 + 0.6) / 2)
    assert matches(ious, np.ones((2, 2)), strict=False) == [(0, 0), (1, 1)]
    assert matches(ious, np.array([[0.4, 1], [1, 1]]), strict=False) == []
    assert matches(ious, np.array([[0.4, 1], [1, 1]]), strict=True) == [(0, 1), (1, 0)]
    assert paired_iou(np.zeros((0, 2)), strict=False) == paired_iou(np.zeros((0, 0)), strict=True) == 0.0


def test_similarity_by_a_text_model(tmp_path: Path) -> None:
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'dog', 'cat']
    (tmp_path / 'vocab.txt').write_text('\n'.join(words))
    BertTokenizer(str(tmp_path / 'vocab.txt')).save_pretrained(tmp_path)
    torch.manual_seed(0)
    sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(tmp_path)
    metrics = Evaluator(GCGMetric(encoder=str(tmp_path))).offline_evaluate(SAMPLES[:1])
    assert 0.5 <= metrics[f'gcg/recall_{tmp_path.name}'] <= 1.0
    same = similarity_matrix(['a'], ['b', 'c'], {'a': np.ones(2), 'b': np.ones(2), 'c': np.array([1, -1])}.__getitem__)
    assert same == pytest.approx(np.array([[1.0, 0.0]]))


def test_predictions_in_the_benchmarks_format(tmp_path: Path) -> None:
    evaluate(SAMPLES, out_dir=str(tmp_path / 'gcg'))
    assert sorted(path.name for path in (tmp_path / 'gcg').iterdir()) == ['a.json', 'b.json', 'c.json']
    content = json.loads((tmp_path / 'gcg/b.json').read_text())
    assert (content['image_id'], content['caption'], content['phrases']) == ('b', 'a dog', ['a dog', 'a cat'])
    assert [coco_mask.decode(rle).sum() for rle in content['pred_masks']] == [80, 50]


def test_a_caption_is_one_line() -> None:
    """Java's tokenizer ends a line at each of these."""
    assert one_line('a\ndog\r\non\x0bgreen\x0cgrass\u2028runs\u2029 fast\x85') == dict(
        caption='a dog on green grass runs fast'
    )


def test_captions() -> None:
    try:
        import pycocoevalcap  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match=r'need pycocoevalcap .*flmm_plugin\[eval\]'):
            caption_scores({1: (['a dog'], 'a dog')})
        return
    if shutil.which('java') is None:
        with pytest.raises(UserError, match='need Java'):
            caption_scores({1: (['a dog'], 'a dog')})
        return
    said = {1: (['a dog runs on green grass'], 'a dog runs on green grass'), 2: (['two cats sleep'], 'a red car')}
    scores = caption_scores(said)
    assert 0.3 < scores['METEOR'] < 1 and scores['CIDEr'] > 1
