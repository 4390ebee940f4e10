"""Grounded conversation generation (GLaMM, arXiv 2311.03356): captions whose phrases have masks."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from flmm_plugin.evaluation.captions import caption_scores
from flmm_plugin.evaluation.gcg_matching import Array, iou_matrix, matches, paired_iou, similarity_matrix
from flmm_plugin.evaluation.grounding_metric import SKIPPED
from flmm_plugin.plain_json import to_json
from flmm_plugin.registry import METRICS
from flmm_plugin.rle import decode_mask, encode_mask

Record = dict[str, Any]


@METRICS.register_module()
class GCGMetric(BaseMetric):
    """``gcg/[DATA SET/]AP50``, ``mIoU``, ``recall_ENCODER``, and ``METEOR`` and ``CIDEr`` if asked for.

    - AP50: pycocotools' COCOeval on masks, one category, every score 1.
    - mIoU: see :func:`paired_iou`; mean over images.
    - recall: see :func:`matches`; the share of the true labels of all images.

    Args:
        encoder: a text model of transformers by name or folder, whose last hidden states are averaged over the tokens;
            the benchmark's is ``'bert-base-uncased'``. ``'exact'`` asks for the same words.
        captions: METEOR and CIDEr by pycocoevalcap, which needs Java.
        strict: as matching should be, instead of as the benchmark's code does it: what has no partner counts, a pair
            that does not fit is passed over, and empty masks give no NaN. Results are named ``..._strict``.
        out_dir: where a file is written for each image, in the benchmark's format: ``image_id``, ``caption``,
            ``phrases``, ``pred_masks`` (COCO's compressed RLE).
    """

    default_prefix = 'gcg'

    def __init__(
        self,
        encoder: str = 'bert-base-uncased',
        captions: bool = False,
        strict: bool = False,
        out_dir: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.encoder, self.captions, self.strict, self.out_dir = encoder, captions, strict, out_dir

    def accepts(self, protocol: str) -> bool:
        return protocol == 'gcg'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep captions, phrases and run-length encoded masks; every sample leaves one result."""
        for sample in data_samples:
            if not self.accepts(sample['protocol']):
                self.results.append(SKIPPED)
                continue
            truth, found = sample['gt_instances'], sample['pred_instances']
            self.results.append(
                dict(
                    group=sample.get('dataset_name', ''),
                    image_id=sample['img_id'],
                    size=list(truth['masks'].shape[1:]),
                    true=[encode_mask(mask) for mask in truth['masks'].bool().cpu().numpy()],
                    labels=list(truth['phrases']),
                    references=list(sample['captions']),
                    predicted=[encode_mask(mask) for mask in found['masks'].bool().cpu().numpy()],
                    phrases=list(found['phrases']),
                    caption=sample['caption'],
                )
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        records: list[Record] = [result for result in results if result != SKIPPED]
        if not records:
            return {}
        if self.out_dir is not None:
            write_predictions(records, Path(self.out_dir))
        embed = None if self.encoder == 'exact' else text_embedder(self.encoder)
        metrics: dict[str, float] = {}
        for group in dict.fromkeys(record['group'] for record in records):
            own = [record for record in records if record['group'] == group]
            figures = dict(AP50=ap50(own), **mask_figures(own, embed, self.strict, Path(self.encoder).name))
            if self.captions:
                figures |= caption_scores({r['image_id']: (r['references'], r['caption']) for r in own})
            metrics |= {'/'.join(filter(None, (group, name))): value for name, value in figures.items()}
        return metrics


def mask_figures(
    records: Sequence[Record], embed: Callable[[str], Array] | None, strict: bool, encoder: str
) -> dict[str, float]:
    """mIoU and recall over images."""
    ious, matched, labels = [], 0, 0
    for record in records:
        true, predicted = (decode(record, field) for field in ('true', 'predicted'))
        overlaps = iou_matrix(predicted, true, strict)
        ious.append(paired_iou(overlaps, strict))
        alike = similarity_matrix(record['labels'], record['phrases'], embed)
        matched += len(matches(overlaps.T, alike, strict))
        labels += len(record['labels'])
    suffix = '_strict' if strict else ''
    return {
        f'mIoU{suffix}': float(np.mean(ious)) if ious else 0.0,
        f'recall_{encoder}{suffix}': matched / labels if labels else 0.0,
    }


def decode(record: Record, field: str) -> Any:
    """(N, H, W) bool."""
    masks = [decode_mask(rle) for rle in record[field]]
    return np.stack(masks) if masks else np.zeros((0, *record['size']), bool)


def ap50(records: Sequence[Record]) -> float:
    """COCOeval's AP at IoU 0.5, all masks of one category and of score 1; 0 where nothing is predicted or true.

    Where all scores are alike the order of the images matters: it is that of their ids, as in the benchmark.
    """
    truth: Any = dict(images=[], annotations=[], categories=[dict(id=1, name='thing')])
    predicted = []
    ordered = sorted(records, key=lambda record: (isinstance(record['image_id'], str), record['image_id']))
    for index, record in enumerate(ordered, 1):
        height, width = record['size']
        truth['images'].append(dict(id=index, height=height, width=width))
        for rle in record['true']:
            area, box = float(coco_mask.area(rle)), coco_mask.toBbox(rle).tolist()
            known = dict(id=len(truth['annotations']) + 1, image_id=index, category_id=1, iscrowd=0)
            truth['annotations'].append(dict(known, segmentation=rle, area=area, bbox=box))
        predicted += [dict(image_id=index, category_id=1, segmentation=rle, score=1.0) for rle in record['predicted']]
    if not predicted or not truth['annotations']:  # COCOeval says -1 of the latter
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(predicted), 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1])


def text_embedder(name: str) -> Callable[[str], Array]:
    """Texts to the mean of the last hidden states of a text model (D,)."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(name), AutoModel.from_pretrained(name).eval()
    known: dict[str, Array] = {}

    @torch.no_grad()
    def embed(text: str) -> Array:
        if text not in known:
            inputs = tokenizer(text, return_tensors='pt', max_length=512, truncation=True)
            known[text] = model(**inputs).last_hidden_state[0].mean(0).double().numpy()
        return known[text]

    return embed


def write_predictions(records: Sequence[Record], folder: Path) -> None:
    """A file for each image, as the benchmark's ``evaluate.py`` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    for record in records:
        content = {name: record[name] for name in ('image_id', 'caption', 'phrases')}
        (folder / f'{record["image_id"]}.json').write_text(to_json(dict(content, pred_masks=record['predicted'])))
