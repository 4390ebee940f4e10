"""Reasoning segmentation: gIoU and cIoU."""

from __future__ import annotations

from flmm_plugin.evaluation.grounding_metric import GroundingMetric, Overlaps, cumulative_iou
from flmm_plugin.registry import METRICS


@METRICS.register_module()
class ReasonSegMetric(GroundingMetric):
    """gIoU and cIoU of ReasonSeg (LISA, arXiv 2308.00692; ``validate`` in its ``train_ds.py``).

    - gIoU: mean of the IoUs, one an image under 'reasoning/first_sentence'. Where nothing is predicted and nothing is
      true, it is 1. (LISA adds 1e-5 pixels to each union, which changes no digit that is reported.)
    - cIoU: sum of intersections / sum of unions.
    - cIoU_by_size: the same of pixels divided by those of their image, so that large images weigh no more than small
      ones. F-LMM's authors report it as cIoU.

    Each also for long and for short instructions alone (``gIoU_long``, ``gIoU_short``), where there are both.

    Ignored pixels count neither as predicted nor as true, see :meth:`Overlaps.of_sample`.
    """

    default_prefix = 'reasonseg'

    def accepts(self, protocol: str) -> bool:
        return protocol.startswith('reasoning/')

    def measure(self, group: Overlaps) -> dict[str, float]:
        metrics = measure(group)
        if group.is_long.any() and not group.is_long.all():
            for kind, chosen in (('long', group.is_long), ('short', ~group.is_long)):
                metrics |= {f'{name}_{kind}': value for name, value in measure(group.only(chosen)).items()}
        return metrics


def measure(group: Overlaps) -> dict[str, float]:
    """The three figures of some phrases."""
    shared, either = group.intersections / group.sizes, group.unions / group.sizes
    return {
        'gIoU': float(group.ious_or_right.mean()),
        'cIoU': cumulative_iou(group.intersections, group.unions),
        'cIoU_by_size': float(shared.sum() / either.sum()) if either.any() else 0.0,
    }
