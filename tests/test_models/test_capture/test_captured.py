"""Layers that are looked at together give what they give one by one."""

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig, PreTrainedModel

from flmm_plugin.models.capture import captured
from flmm_plugin.models.capture.attention import ATTENTION_NAME, AttentionSelection, select_attention

LAYERS, HEADS, TOKENS = 4, 4, 13
SELECTIONS = [
    AttentionSelection(torch.tensor([6, 7, 11]), torch.tensor([1, 0, 1]), torch.tensor([2, 5, 3]), 2),
    AttentionSelection(torch.tensor([12]), torch.tensor([0]), torch.arange(6), 1),
]
SIZES = dict(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=HEADS)
CONFIGS = {
    'full': LlamaConfig(**SIZES, num_key_value_heads=2),
    'sliding and full in turn': Gemma3TextConfig(
        **SIZES,
        num_key_value_heads=1,
        head_dim=16,
        sliding_window=4,
        layer_types=['sliding_attention'] * 2 + ['full_attention'] * 2,
    ),
}


def build(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation=ATTENTION_NAME).eval()


@torch.no_grad()
def capture(model: PreTrainedModel, **options) -> tuple[list[Tensor], list[int]]:
    """Maps of both samples, and how many layers were looked at together."""
    ids, mask = torch.randint(50, (2, TOKENS), generator=torch.Generator().manual_seed(1)), torch.ones(2, TOKENS)
    mask[1, :3] = 0
    with select_attention(SELECTIONS, LAYERS, HEADS, **options) as found:
        look, groups = found.look, []
        found.look = lambda: (groups.append(len(found.waiting)), look())
        model(ids, attention_mask=mask.long(), use_cache=False)
    return [found.maps(0), found.maps(1)], [group for group in groups if group]


@pytest.mark.parametrize('heads', [None, {0: [1], 1: [], 2: [0, 3], 3: [2]}])
@pytest.mark.parametrize(('name', 'expected'), [('full', [4]), ('sliding and full in turn', [2, 2])])
def test_layers_together_equal_one_by_one(monkeypatch, name, expected, heads):
    options = {} if heads is None else dict(heads={layer: torch.tensor(own).long() for layer, own in heads.items()})
    model = build(name)
    alone, groups = capture(model, **options)
    assert groups == [1] * LAYERS
    monkeypatch.setitem(captured.ROOM, 'cpu', 2**30)
    together, groups = capture(model, **options)
    assert groups == expected
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_no_more_wait_than_there_is_room_for(monkeypatch):
    model = build('full')
    size = 2 * TOKENS * (HEADS + 2) * 8 * 4  # queries of 4 heads and keys of 2, 8 wide, fp32, two samples
    monkeypatch.setitem(captured.ROOM, 'cpu', 3 * size)
    assert capture(model)[1] == [3, 1]


@torch.no_grad()
def test_a_pass_that_is_broken_off_leaves_what_was_attended(monkeypatch):
    """What an LMM is tried out by when it is loaded: its first layer alone."""
    model, ids = build('full'), torch.randint(50, (1, TOKENS), generator=torch.Generator().manual_seed(1))
    whole, _ = select_one(model, ids, None)
    monkeypatch.setitem(captured.ROOM, 'cpu', 2**30)
    broken, reported = select_one(model, ids, model.model.layers[0])
    assert reported == {0}
    torch.testing.assert_close(broken[:, :HEADS], whole[:, :HEADS], atol=1e-6, rtol=0)


class BrokenOff(Exception):
    pass


def select_one(model: PreTrainedModel, ids: Tensor, last: torch.nn.Module | None) -> tuple[Tensor, set[int]]:
    def stop(*args):
        raise BrokenOff

    handle = last.register_forward_hook(stop) if last is not None else None
    try:
        with select_attention(SELECTIONS[:1], LAYERS, HEADS) as found:
            model(ids, use_cache=False)
    except BrokenOff:
        pass
    finally:
        if handle is not None:
            handle.remove()
    return found.maps(0), found.reported
