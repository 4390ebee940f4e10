"""What mmengine offers and training cannot have here, said before anything is loaded."""

from __future__ import annotations

from typing import Any

import torch

from flmm_plugin.errors import UserError

COMPILED = (
    'compile: torch.compile cannot follow how attention is captured, which hangs hooks into the LMM. Leave it out: '
    'most of a step is the frozen LMM and the image encoder, which run on fused kernels.'
)
NO_BATCH_NORM = 'efficient_conv_bn_eval: no part of the model that is trained has batch normalisation. Leave it out.'
NEEDS_A_GPU = (
    "AmpOptimWrapper (--amp) needs a GPU: mmengine mixes precisions on GPUs only. model.lmm.dtype='bfloat16' halves "
    'the LMM on a CPU too.'
)


def check_possible(config: Any) -> None:
    """Refuse settings of a config under which training would fail, or mean nothing.

    Raises:
        UserError: names the setting, why, and what helps.
    """
    compiled = config.get('compile')
    if compiled and not (isinstance(compiled, dict) and compiled.get('disable')):
        raise UserError(COMPILED)
    if config.get('efficient_conv_bn_eval'):
        raise UserError(NO_BATCH_NORM)
    wrapper = str(config.get('optim_wrapper', {}).get('type'))
    if 'AmpOptimWrapper' in wrapper and not torch.cuda.is_available():
        raise UserError(NEEDS_A_GPU)
