"""Raw attention as masks: overlaps against masks made one by one, and what is chosen where."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from flmm_plugin.evaluation.raw_attention import THRESHOLDS, choose, score_raw_attention, threshold_ious


def test_overlaps_equal_those_of_masks_made_one_by_one() -> None:
    torch.manual_seed(0)
    maps, truth = torch.rand(3, 4, 9, 11), torch.rand(3, 9, 11) > 0.7
    maps[0, 0] = THRESHOLDS[4]  # exactly at a threshold: not above it
    truth[2] = False
    found = threshold_ious(maps, truth)
    for number, threshold in enumerate(THRESHOLDS):
        masks = maps > threshold
        union = (masks | truth[:, None]).sum((2, 3)).clamp(min=1)
        assert torch.equal(found[..., number], (masks & truth[:, None]).sum((2, 3)) / union)


def test_head_and_threshold_come_from_other_scenes() -> None:
    """Map 1 shows things, map 2 stuff, map 0 nothing: found on some scenes, scored on others."""
    torch.manual_seed(0)

    def scenes() -> list:
        samples = []
        for _ in range(4):
            truth = F.interpolate((torch.rand(1, 2, 4, 4) > 0.6).float(), size=(32, 32))[0] > 0.5
            truth[:, :8, :8] = True
            small = F.interpolate(truth[None].float(), size=(8, 8))[0]
            maps = torch.rand(2, 3, 8, 8) * 0.2
            maps[0, 1] += small[0]
            maps[1, 2] += small[1]
            samples.append((maps, truth, torch.tensor([True, False])))
        return samples

    fitted, held_out = score_raw_attention(scenes()), score_raw_attention(scenes())
    best = choose(fitted, held_out, mean=False)
    assert min(best.values()) > 0.75
    mean = choose(fitted, held_out, mean=True)
    assert mean['mIoU_thing'] < best['mIoU_thing']
