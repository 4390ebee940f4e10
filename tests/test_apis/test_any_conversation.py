"""Conversations with LMMs by AutoLMM: positions of several axes, and keys that cannot be gone on from."""

from __future__ import annotations

import pytest

from flmm_plugin.apis.grounding import Grounder
from tests.auto_families import FAMILIES

# Collected again here, with the grounder below.
from tests.test_apis.test_conversation import (  # noqa: F401
    make_grounder,
    test_cached_grounding_equals_a_full_forward_pass,
    test_tokens_are_those_of_the_bare_lmm_in_every_turn,
)


@pytest.fixture(scope='module', params=sorted({'qwen2_5_vl', 'lfm2_vl'} & FAMILIES.keys()))
def grounder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Grounder:
    folder = FAMILIES[request.param](tmp_path_factory.mktemp(request.param))
    return make_grounder(folder, 'AutoLMM', certify=False)
