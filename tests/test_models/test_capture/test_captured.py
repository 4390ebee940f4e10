"""Layers that are looked at together give what they give one by one."""

import pytest
import torch
import transformers
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from flmm_plugin.models.capture import attended, captured, room
from flmm_plugin.models.capture.attention import ATTENTION_NAME, AttentionSelection, select_attention

LAYERS, HEADS, TOKENS = 4, 4, 13
SELECTIONS = [
    AttentionSelection(torch.tensor([6, 7, 11]), torch.tensor([1, 0, 1]), torch.tensor([2, 5, 3]), 2),
    AttentionSelection(torch.tensor([12]), torch.tensor([0]), torch.arange(6), 1),
]
SIZES = dict(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=HEADS)
CONFIGS = {'full': LlamaConfig(**SIZES, num_key_value_heads=2)}
GROUPS = {'full': [4]}
if hasattr(transformers, 'Gemma3TextConfig'):
    GROUPS['sliding and full in turn'] = [2, 2]
    CONFIGS['sliding and full in turn'] = transformers.Gemma3TextConfig(
        **SIZES,
        num_key_value_heads=1,
        head_dim=16,
        sliding_window=4,
        layer_types=['sliding_attention'] * 2 + ['full_attention'] * 2,
    )


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


@pytest.mark.parametrize('small', [2**30, 0])
@pytest.mark.parametrize('heads', [None, {0: [1], 1: [], 2: [0, 3], 3: [2]}])
@pytest.mark.parametrize(('name', 'expected'), GROUPS.items())
def test_layers_and_samples_together_equal_one_by_one(monkeypatch, name, expected, heads, small):
    """Also where rows of the queries are taken at once, as of large ones."""
    options = {} if heads is None else dict(heads={layer: torch.tensor(own).long() for layer, own in heads.items()})
    model = build(name)
    alone, groups = capture(model, **options)
    assert groups == [1] * LAYERS
    monkeypatch.setitem(room.ROOM, 'cpu', 2**30)
    monkeypatch.setitem(captured.SCORES, 'cpu', 2**30)
    monkeypatch.setattr(captured, 'SMALL', small)
    monkeypatch.setattr(attended, 'SMALL', small)
    together, groups = capture(model, **options)
    assert groups == expected
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


@pytest.mark.parametrize('at_once', [0, 2**30])
@pytest.mark.parametrize(('heads', 'masked_heads'), [(4, 4), (4, 1), (1, 1), (1, None)])
def test_what_layers_share_is_not_changed(monkeypatch, heads, masked_heads, at_once):
    """Masks of each head's own, and LMMs of one head, whose scores are as large as what hides them."""
    monkeypatch.setitem(captured.SCORES, 'cpu', at_once)
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, heads, TOKENS, 8, generator=generator) for _ in range(2))
    rows = [torch.tensor([6, 7, 11]), torch.tensor([12])]
    scores = query @ key.transpose(2, 3) / 8**0.5
    seen = torch.ones(TOKENS, TOKENS).tril().bool()
    mask = None
    if masked_heads is not None:
        seen = (
            seen & (torch.rand(2, masked_heads, TOKENS, TOKENS, generator=generator) > 0.3) | torch.eye(TOKENS).bool()
        )
        mask = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)
    expected = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    found = captured.AttentionCapture(
        [AttentionSelection(own, torch.arange(len(own)), torch.arange(TOKENS), len(own)) for own in rows], 3, heads
    )
    for layer in range(3):
        found.add(attended.AttendedLayer(layer, query, key, mask, 8**-0.5, True))
    for b, own in enumerate(rows):
        maps = found.maps(b).unflatten(1, (3, heads))
        torch.testing.assert_close(maps, expected[b][:, own].transpose(0, 1)[:, None].expand_as(maps))


@pytest.mark.parametrize('as_it_lies', [True, False])
def test_heads_of_layers_side_by_side(monkeypatch, as_it_lies):
    monkeypatch.setattr(attended, 'SMALL', 0)
    layers = [torch.randn(2, 5, 3, 4) for _ in range(3)]  # tokens before heads
    layers = [layer.transpose(1, 2) if as_it_lies else layer.transpose(1, 2).contiguous() for layer in layers]
    joined = attended.beside(layers)
    assert torch.equal(joined, torch.cat(layers, 1)) and joined.transpose(1, 2).is_contiguous() == as_it_lies
    assert attended.beside(layers[:1]) is layers[0]


def test_no_more_wait_than_there_is_room_for(monkeypatch):
    model = build('full')
    size = 2 * TOKENS * (HEADS + 2) * 8 * 4  # queries of 4 heads and keys of 2, 8 wide, fp32, two samples
    monkeypatch.setattr(room, 'FEWEST', 3)
    for number, groups in ((4, [4]), (3, [3, 1]), (2, [1, 1, 1, 1])):
        monkeypatch.setitem(room.ROOM, 'cpu', number * size)
        assert capture(model)[1] == groups


@torch.no_grad()
def test_a_pass_that_is_broken_off_leaves_what_was_attended(monkeypatch):
    """What an LMM is tried out by when it is loaded: its first layer alone."""
    model, ids = build('full'), torch.randint(50, (1, TOKENS), generator=torch.Generator().manual_seed(1))
    whole, _ = select_one(model, ids, None)
    monkeypatch.setitem(room.ROOM, 'cpu', 2**30)
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
