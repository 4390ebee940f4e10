"""What MMEngine does to a batch before the model gets it: nothing."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseDataPreprocessor


class OnCPU(BaseDataPreprocessor):
    """Leaves images and samples where they are: the parts of the model preprocess them and move the results."""

    def cast_data(self, data: Any) -> Any:
        return data
