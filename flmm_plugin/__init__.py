"""Grounding for any frozen large multimodal model (F-LMM, arXiv 2406.05821)."""

from contextlib import suppress

__version__ = '0.1.0'

# Lets `flmm_plugin::FOLDER/CONFIG.py` name a config of this package. mmengine looks for packages where their
# distribution lies, which is not where the files are in an editable install; what is no distribution it takes for a
# module, and finds it wherever it is.
with suppress(ImportError):  # the doctor runs without mmengine
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE.setdefault(__name__, f'{__name__}.registry')
