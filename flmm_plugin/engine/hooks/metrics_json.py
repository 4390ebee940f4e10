"""The metrics of a test run as a file."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from flmm_plugin.plain_json import to_json
from flmm_plugin.registry import HOOKS


@HOOKS.register_module()
class MetricsJsonHook(Hook):
    """Write the metrics of a test to ``metrics.json`` in the work dir: one flat object, names to numbers."""

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        path = Path(runner.work_dir) / 'metrics.json'
        path.write_text(to_json(metrics or {}, indent=2, sort_keys=True) + '\n')
        runner.logger.info(f'metrics written to {path}')
