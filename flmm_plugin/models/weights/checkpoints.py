"""Reading weight files in the forms they are published in, and writing small ones.

Pickled files are read with ``weights_only``: tensors and plain containers, no code.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.runner.checkpoint import CheckpointLoader, load_from_local
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from flmm_plugin.errors import UserError

# What a checkpoint may hold besides the trained part: the LMM under the authors' names and ours, and what makes an
# image's features in segment-anything's models and in those of transformers.
FROZEN_PREFIXES = (
    'lmm.',
    'llava.',
    'deepseek_vl.',
    'sam.model.image_encoder.',
    'sam.model.vision_encoder.',
    'sam.model.shared_image_embedding.',
    'sam.model.no_memory_embedding',
    'sam.model.mask_decoder.conv_s',
)
# Where the weights lie in files of MMEngine, and of DeepSpeed before and after consolidation.
NESTED = ('state_dict', 'module')
DEEPSPEED_FILE = 'mp_rank_00_model_states.pt'


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, from a .safetensors, .pth or .pt file or a DeepSpeed folder (ZeRO stage 1 or 2).

    A pickled file may be a plain state dict or have it under ``state_dict`` or ``module``, with or without DDP's
    ``module.`` in front of the names.

    Raises:
        UserError: when there is no such file, or it holds more than tensors and plain containers.
    """
    path = Path(path)
    if path.is_dir():
        path = path / DEEPSPEED_FILE
    if not path.is_file():
        raise UserError(f'no such checkpoint: {path}')
    if path.suffix == '.safetensors':
        try:
            return load_file(path)
        except Exception as error:  # safetensors has an error of its own, and others where a header is damaged
            raise UserError(f'{path} is damaged: {error}. Download or write it again.') from error
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r'GLOBAL (\S+)', str(error))
        raise UserError(
            f'{path} holds more than tensors ({named[1] if named else "or it is damaged"}), and that could run code on '
            'loading: save its state dict alone'
        ) from error
    except Exception as error:  # a damaged archive raises nearly anything
        raise UserError(f'{path} is damaged: {error}. Download or write it again.') from error
    return find_tensors(content, path)


def find_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict inside an unpickled checkpoint."""
    for _ in (*NESTED, 'the tensors'):
        if not isinstance(content, Mapping):
            break
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        if tensors:
            wrapped = all(name.startswith('module.') for name in tensors)
            return {name.removeprefix('module.') if wrapped else name: value for name, value in tensors.items()}
        content = next((content[name] for name in NESTED if name in content), None)
    raise UserError(f'{path} holds no state dict, neither at the top nor under {" or ".join(NESTED)}')


def trained_part(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without those of frozen parts."""
    return {name: tensor.contiguous() for name, tensor in tensors.items() if not is_frozen(name)}


def write_tensors(tensors: Mapping[str, Tensor], path: str | Path, meta: Mapping[str, str] | None = None) -> None:
    """Write a .safetensors file, or a .pth or .pt that MMEngine's loader and the authors' code read.

    ``meta``: what the file says besides the tensors, for example on which LMM they were trained.
    """
    path, meta = Path(path), dict(meta or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == '.safetensors':
        save_file(dict(tensors), path, metadata={'format': 'pt', **meta})
    elif path.suffix in ('.pth', '.pt'):
        torch.save(dict(state_dict=dict(tensors), meta=meta), path)
    else:
        raise UserError(f'{path}: a checkpoint ends in .safetensors, .pth or .pt')


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """MMEngine's loader of local files, which so reads all that :func:`read_tensors` does."""
    if filename.endswith('.safetensors'):
        with safe_open(filename, framework='pt') as file:
            meta = file.metadata()
        return dict(state_dict=read_tensors(filename), meta=meta or {})
    if Path(filename).is_dir():
        return read_tensors(filename)
    content = load_from_local(filename, map_location)
    return content if 'state_dict' in content else find_tensors(content, Path(filename))


def is_frozen(name: str) -> bool:
    """Whether a parameter of this name belongs to a part that is never trained."""
    return name.startswith(FROZEN_PREFIXES)
