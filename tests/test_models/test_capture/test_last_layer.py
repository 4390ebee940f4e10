"""The last layer computes what is read and no more, on a tiny random model of each family."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from flmm_plugin.models.capture import last_layer
from flmm_plugin.models.capture.hidden_states import find_decoder
from flmm_plugin.models.capture.last_layer import skip_unread_rows
from flmm_plugin.models.lmms import FrozenLMM
from flmm_plugin.registry import MODELS
from tests.tiny_flmm import four_samples
from tests.tiny_lmms import FAMILIES


@pytest.fixture(params=sorted(FAMILIES))
def lmm(request: pytest.FixtureRequest, lmm_dirs: dict[str, Path]) -> FrozenLMM:
    adapter = FAMILIES[request.param][1]
    return MODELS.build(dict(type=adapter, pretrained=str(lmm_dirs[request.param]), dtype='float32'))


def test_only_what_is_read_is_computed_and_it_is_the_same(lmm: FrozenLMM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of different lengths and numbers of phrase tokens."""
    images, samples = four_samples()
    inputs = [lmm.prepare(i, s.prompt, s.segments) for i, s in zip(images, samples, strict=True)]
    computed: dict[str, list[int]] = {'q_proj': [], 'o_proj': [], 'mlp': []}
    queries: list[int] = []
    attend = last_layer.sdpa_attention_forward
    monkeypatch.setattr(
        last_layer,
        'sdpa_attention_forward',
        lambda module, query, *more, **options: (
            queries.append(query.shape[2]) or attend(module, query, *more, **options)
        ),
    )
    for layer in find_decoder(lmm.model, lmm.config.text_config).layers:
        for name, module in (
            ('q_proj', layer.self_attn.q_proj),
            ('o_proj', layer.self_attn.o_proj),
            ('mlp', layer.mlp),
        ):
            count_rows(module, computed[name], monkeypatch)
    whole = lmm(inputs, all_tokens=True)
    assert not queries
    everything, part = deepcopy(computed), lmm(inputs)
    assert queries == [max(len(sample.phrase_rows) for sample in inputs)]
    for name, rows in computed.items():
        passed = rows[len(everything[name]) :]
        assert passed[:-1] == everything[name][:-1], name
        assert passed[-1] == sum(len(sample.phrase_rows) for sample in inputs) < everything[name][-1], name
    for sample, read, expected in zip(inputs, part, whole, strict=True):
        rows = expected.hidden_states[:, sample.phrase_rows]
        torch.testing.assert_close(read.hidden_states, rows, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(read.attention_maps, expected.attention_maps, atol=1e-6, rtol=0)


def count_rows(module: Any, counts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the hooks: how many rows each call of the module computes."""
    forward = module.forward
    monkeypatch.setattr(module, 'forward', lambda x: counts.append(x.shape[:2].numel()) or forward(x))


def test_the_lmm_is_whole_again_afterwards(lmm: FrozenLMM) -> None:
    images, samples = four_samples()
    inputs = lmm.collate([lmm.prepare(images[0], samples[0].prompt, samples[0].segments)])
    with torch.no_grad():
        before = lmm.model(**inputs).logits
        with skip_unread_rows(lmm.decoder, torch.tensor([3])):
            within = lmm.model(**inputs).logits
        after = lmm.model(**inputs).logits
    assert torch.equal(before, after)
    assert torch.allclose(within[0, 3], before[0, 3], atol=1e-5) and not torch.allclose(within, before, atol=1e-3)


@pytest.mark.parametrize('as_tuple', [False, True])
def test_parts_of_another_width_and_tuples_keep_what_is_read(as_tuple: bool) -> None:
    """Heads x head width need not be the hidden width, and an MLP of experts returns its router's logits as well."""
    torch.manual_seed(0)
    width, wide = 6, 10

    class Experts(torch.nn.Linear):
        def forward(self, states: torch.Tensor) -> Any:
            made = super().forward(states)
            return (made, states) if as_tuple else made

    layer = torch.nn.Module()
    layer.self_attn = torch.nn.Module()
    layer.self_attn.q_proj, layer.self_attn.o_proj = torch.nn.Linear(width, wide), torch.nn.Linear(wide, width)
    layer.mlp = Experts(width, width)
    decoder: Any = torch.nn.Module()
    decoder.layers = torch.nn.ModuleList([layer])

    def read() -> Any:
        made = layer.mlp(layer.self_attn.o_proj(layer.self_attn.q_proj(states)))
        return made[0] if as_tuple else made

    states, rows = torch.randn(2, 5, width), [torch.tensor([1, 4]), torch.tensor([2])]
    whole = read()
    with skip_unread_rows(decoder, torch.tensor([1, 4, 7])):
        part = read()
    for b, own in enumerate(rows):
        torch.testing.assert_close(part[b, own], whole[b, own])
        assert not part[b].index_select(0, torch.tensor([0, 3])).any()
