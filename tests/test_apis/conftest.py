"""A random LMM that talks in words, each of which is grounded."""

from __future__ import annotations

import pytest
import torch

from flmm_plugin.apis.grounding import Grounder
from flmm_plugin.registry import MODELS
from tests.test_apis.test_conversation import EveryWord
from tests.tiny_flmm import tiny_flmm
from tests.tiny_llava import save_tiny_llava

SILENT = [0, 1, 2, 3, 4, *range(26, 38)]  # special tokens, points and numbers: words are left


@pytest.fixture(scope='module')
def talker(tmp_path_factory: pytest.TempPathFactory) -> Grounder:
    torch.manual_seed(0)
    model = MODELS.build(tiny_flmm(save_tiny_llava(tmp_path_factory.mktemp('llava'), image_size=64))).eval()
    model.lmm.model.generation_config.suppress_tokens = SILENT
    return Grounder(model, EveryWord(), min_score=-10.0)
