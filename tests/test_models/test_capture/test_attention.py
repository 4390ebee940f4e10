"""Captured attention against eager attention, on plain text models."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from flmm_plugin.models.capture import attention
from flmm_plugin.models.capture.attention import ATTENTION_NAME, AttentionSelection, capturing_sdpa, select_attention
from flmm_plugin.models.capture.selection import attend_selected

LAYERS, HEADS, TOKENS = 3, 4, 13


def text_models(
    num_key_value_heads: int, dtype: torch.dtype = torch.float32
) -> tuple[PreTrainedModel, PreTrainedModel]:
    """The same random Llama twice: with eager attention and with ours."""
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=num_key_value_heads,
    )
    torch.manual_seed(0)
    eager = AutoModelForCausalLM.from_config(config, attn_implementation='eager').to(dtype).eval()
    for parameter in eager.parameters():
        parameter.data *= 4  # random weights of the usual size attend almost uniformly
    ours = AutoModelForCausalLM.from_config(deepcopy(config), attn_implementation=ATTENTION_NAME).to(dtype).eval()
    ours.load_state_dict(eager.state_dict())
    return eager, ours


def random_ids(batch: int = 2, tokens: int = TOKENS) -> Tensor:
    return torch.randint(50, (batch, tokens), generator=torch.Generator().manual_seed(1))


def one_row_each(rows: Tensor, num_keys: int) -> AttentionSelection:
    """Every row a phrase of its own, all columns: the bare matrix."""
    return AttentionSelection(rows, torch.arange(len(rows)), torch.arange(num_keys), len(rows))


@pytest.mark.parametrize('num_key_value_heads', [4, 2, 1])
@torch.no_grad()
def test_equals_eager_averaged_over_phrases(num_key_value_heads: int) -> None:
    eager, ours = text_models(num_key_value_heads)
    ids = random_ids()
    selections = [
        AttentionSelection(torch.tensor([6, 7, 11]), torch.tensor([1, 0, 1]), torch.tensor([2, 5, 3]), 2),
        AttentionSelection(torch.tensor([12]), torch.tensor([0]), torch.arange(6), 1),
    ]
    with select_attention(selections, LAYERS, HEADS) as capture:
        logits = ours(ids).logits
    expected = eager(ids, output_attentions=True)
    full = torch.stack(expected.attentions)  # (L, B, H, N, N)
    first = torch.stack([full[:, 0, :, 7], full[:, 0, :, [6, 11]].mean(2)])[..., [2, 5, 3]]
    torch.testing.assert_close(capture.maps(0).unflatten(1, (LAYERS, HEADS)), first, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        capture.maps(1).unflatten(1, (LAYERS, HEADS)), full[None, :, 1, :, 12, :6], atol=1e-5, rtol=0
    )
    torch.testing.assert_close(logits, expected.logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('num_key_value_heads', [4, 2])
@pytest.mark.parametrize('side', ['left', 'right'])
@torch.no_grad()
def test_equals_eager_with_padding(num_key_value_heads: int, side: str) -> None:
    eager, ours = text_models(num_key_value_heads)
    ids, mask = random_ids(), torch.ones(2, TOKENS, dtype=torch.long)
    valid = torch.arange(5, TOKENS) if side == 'left' else torch.arange(TOKENS - 5)
    mask[1, : 5 if side == 'left' else None] = 0
    mask[1, valid] = 1
    selections = [one_row_each(torch.arange(TOKENS), TOKENS), one_row_each(valid, TOKENS)]
    with select_attention(selections, LAYERS, HEADS) as capture:
        ours(ids, attention_mask=mask)
    full = torch.stack(eager(ids, attention_mask=mask, output_attentions=True).attentions)
    for b, selection in enumerate(selections):
        expected = full[:, b][:, :, selection.rows].permute(2, 0, 1, 3)
        torch.testing.assert_close(capture.maps(b).unflatten(1, (LAYERS, HEADS)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize('num_key_value_heads', [4, 2])
@torch.no_grad()
def test_unmasked_equals_eager_where_padding_is_on_the_right(
    num_key_value_heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernels are given no mask: causality is all that is left of it."""
    eager, ours = text_models(num_key_value_heads)
    given, sdpa = [], attention.sdpa_attention_forward
    monkeypatch.setattr(
        attention, 'sdpa_attention_forward', lambda *args, **kwargs: given.append(args[4]) or sdpa(*args, **kwargs)
    )
    ids, mask = random_ids(), torch.ones(2, TOKENS, dtype=torch.long)
    mask[1, -5:] = 0
    full = torch.stack(eager(ids, attention_mask=mask, output_attentions=True).attentions)
    selections = [one_row_each(torch.arange(length), TOKENS) for length in (TOKENS, TOKENS - 5)]
    with select_attention(selections, LAYERS, HEADS, unmasked=True) as capture:
        ours(ids, attention_mask=mask, use_cache=False)
    for b, selection in enumerate(selections):
        expected = full[:, b][:, :, selection.rows].permute(2, 0, 1, 3)
        torch.testing.assert_close(capture.maps(b).unflatten(1, (LAYERS, HEADS)), expected, atol=1e-5, rtol=0)
    assert given == [None] * LAYERS


@torch.no_grad()
def test_equals_eager_with_cache() -> None:
    eager, ours = text_models(2)
    ids = random_ids(1)
    cache = ours(ids[:, :8], use_cache=True).past_key_values
    with select_attention([one_row_each(torch.arange(8, TOKENS), TOKENS)], LAYERS, HEADS) as capture:
        ours(ids[:, 8:], past_key_values=cache)
    full = torch.stack(eager(ids, output_attentions=True).attentions)[:, 0, :, 8:]
    torch.testing.assert_close(
        capture.maps(0).unflatten(1, (LAYERS, HEADS)), full.permute(2, 0, 1, 3), atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_equals_eager_in_bfloat16() -> None:
    eager, ours = text_models(2, torch.bfloat16)
    ids = random_ids(1)
    with select_attention([one_row_each(torch.arange(TOKENS), TOKENS)], LAYERS, HEADS) as capture:
        ours(ids)
    first = eager(ids, output_attentions=True).attentions[0][0].float()
    # The first layer alone: further ones start from hidden states that differ by rounding already. Eager rounds scores
    # twice, before they are scaled and after.
    torch.testing.assert_close(capture.maps(0)[:, :HEADS].transpose(0, 1), first, atol=2**-6, rtol=2**-6)


@pytest.mark.parametrize('groups', [4, 2])
def test_bfloat16_is_no_further_from_the_truth_than_eager(groups: int) -> None:
    generator, width, scaling = torch.Generator().manual_seed(0), 128, 128**-0.5
    query, key = (2 * torch.randn(1, n, 200, width, generator=generator) for n in (HEADS, groups))
    query, key = query.bfloat16(), key.bfloat16()
    rows = torch.arange(150, 200)[None]
    visible = torch.zeros(1, 1, 50, 200).masked_fill(torch.arange(200) > rows[..., None], -torch.inf)
    ours = attend_selected(query[:, :, 150:].contiguous(), key, visible.bfloat16(), scaling)
    keys = key.repeat_interleave(HEADS // groups, dim=1).transpose(2, 3)
    eager = (query[:, :, 150:] @ keys * scaling + visible.bfloat16()).softmax(-1, dtype=torch.float32)
    truth = (query[:, :, 150:].double() @ keys.double() * scaling + visible).softmax(-1)
    assert (ours - truth).abs().max() <= (eager - truth).abs().max()
    assert (ours - truth).abs().mean() < 0.9 * (eager - truth).abs().mean()


@torch.no_grad()
def test_is_causal_and_sums_to_one() -> None:
    _, ours = text_models(4)
    with select_attention([one_row_each(torch.arange(TOKENS), TOKENS)], LAYERS, HEADS) as capture:
        ours(random_ids(1))
    maps = capture.maps(0).unflatten(1, (LAYERS, HEADS))  # (N, L, H, N)
    above = torch.ones(TOKENS, TOKENS).triu(1).bool()
    assert (maps.permute(0, 3, 1, 2)[above] == 0).all()
    torch.testing.assert_close(maps.sum(-1), torch.ones(TOKENS, LAYERS, HEADS))
    assert (maps[..., 2:7].sum(-1) <= 1 + 1e-6).all()


@torch.no_grad()
def test_forward_is_unchanged_by_capture() -> None:
    _, ours = text_models(2)
    plain = AutoModelForCausalLM.from_config(deepcopy(ours.config), attn_implementation='sdpa').eval()
    plain.load_state_dict(ours.state_dict())
    ids = random_ids()
    with select_attention([one_row_each(torch.arange(3), TOKENS)] * 2, LAYERS, HEADS):
        captured = ours(ids).logits
    assert torch.equal(captured, ours(ids).logits)
    torch.testing.assert_close(captured, plain(ids).logits, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_layer_that_does_not_report() -> None:
    eager, _ = text_models(4)
    with (
        pytest.raises(RuntimeError, match=r'layers \[0, 1, 2\] of 3 did not report'),
        select_attention([one_row_each(torch.arange(3), TOKENS)], LAYERS, HEADS),
    ):
        eager(random_ids(1))


@torch.no_grad()
def test_second_forward_pass_in_one_capture() -> None:
    _, ours = text_models(4)
    with (
        pytest.raises(RuntimeError, match='reported its attention twice'),
        select_attention([one_row_each(torch.arange(3), TOKENS)], LAYERS, HEADS),
    ):
        ours(random_ids(1))
        ours(random_ids(1))


def test_soft_capping_is_refused() -> None:
    states = torch.rand(1, 2, 3, 4)
    with (
        pytest.raises(NotImplementedError, match='softcap'),
        select_attention([one_row_each(torch.arange(3), 3)], 1, 2),
    ):
        capturing_sdpa(torch.nn.Identity(), states, states, states, None, softcap=50.0)


@torch.no_grad()
def test_one_selection_a_sample() -> None:
    _, ours = text_models(4)
    with (
        pytest.raises(ValueError, match='1 selections'),
        select_attention([one_row_each(torch.arange(3), 3)], LAYERS, HEADS),
    ):
        ours(random_ids(2))
