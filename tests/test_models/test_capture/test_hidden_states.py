"""What is recorded of the layers is what transformers returns."""

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from flmm_plugin.models.capture import hidden_states, room
from flmm_plugin.models.capture.hidden_states import record_hidden_states

LAYERS, TOKENS = 5, 7
PLACES = torch.tensor([1, 6, 7 + 2, 7 + 3, 7 + 5])  # two of the first sample, three of the second


def build() -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = dict(vocab_size=20, hidden_size=16, intermediate_size=16, num_hidden_layers=LAYERS, num_attention_heads=2)
    return AutoModelForCausalLM.from_config(LlamaConfig(**sizes)).eval()


@pytest.mark.parametrize('at_once', [1, 4, LAYERS])
@torch.no_grad()
def test_equals_what_transformers_returns(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    model = build()
    ids = torch.randint(20, (2, TOKENS), generator=torch.Generator().manual_seed(1))
    expected = torch.stack(model(ids, output_hidden_states=True).hidden_states[1:]).flatten(1, 2)[:, PLACES]
    monkeypatch.setitem(room.ROOM, 'cpu', 3 * at_once * 2 * TOKENS * 16 * 4)
    looks, take = [], hidden_states.HiddenStates.take
    monkeypatch.setattr(hidden_states.HiddenStates, 'take', lambda self: (looks.append(len(self.waiting)), take(self)))
    with record_hidden_states(model, model.model, PLACES) as recorded:
        model(ids)
    assert torch.equal(recorded.kept, expected)
    assert [look for look in looks if look] == {1: [1] * LAYERS, 4: [4, 1], LAYERS: [LAYERS]}[at_once]


@torch.no_grad()
def test_layers_whose_results_are_changed_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Qwen3-VL adds what the image shows to them: they do not wait where that is asked for."""
    model = build()
    ids = torch.randint(20, (2, TOKENS), generator=torch.Generator().manual_seed(1))
    seen = []

    def change(module: torch.nn.Module, args: tuple, output: torch.Tensor) -> None:
        states = output if isinstance(output, torch.Tensor) else output[0]
        seen.append(states.flatten(0, 1)[PLACES].clone())
        states[:, 2] += 1

    monkeypatch.setitem(room.ROOM, 'cpu', 2**30)
    # After the layer itself, whose own forward is what is watched.
    handle = model.model.layers[1].register_forward_hook(change)
    with record_hidden_states(model, model.model, PLACES, waits=False) as recorded:
        model(ids)
    handle.remove()
    assert torch.equal(recorded.kept[1], seen[0])


@torch.no_grad()
def test_half_precision_between_layers() -> None:
    """Under autocast layers may have another dtype than the model."""
    model = build().bfloat16()
    with record_hidden_states(model, model.model, PLACES) as recorded, torch.autocast('cpu', torch.float16):
        model(torch.zeros(2, TOKENS, dtype=torch.long))
    assert recorded.kept.dtype == torch.bfloat16 and recorded.kept.isfinite().all()


def test_layers_that_did_not_pass() -> None:
    model = build()
    with pytest.raises(RuntimeError, match='0 of 5 layers passed'), record_hidden_states(model, model.model, PLACES):
        pass
