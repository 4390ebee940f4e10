"""Training by epochs that can be resumed anywhere."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner

from flmm_plugin.engine.schedules import stretch_schedules
from flmm_plugin.registry import LOOPS


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """mmengine's epochs, resumed at the very batch where the checkpoint was written.

    mmengine's own loop begins the epoch again, so that the schedule runs past its end. This one passes over the
    batches that were trained on, as ``IterBasedTrainLoop`` does: the sampler's order depends on seed and epoch, and
    what is drawn at random while a sample is loaded comes out the same. For that, workers start anew with every epoch
    (``persistent_workers`` is ignored): an old worker's random state would depend on the epochs before.

    With another number of batches an epoch (other GPUs) the epoch begins anew, see :func:`stretch_schedules`.
    """

    def __init__(self, runner: Runner, dataloader: Any, **kwargs: Any) -> None:
        if isinstance(dataloader, dict):
            dataloader = {**dataloader, 'persistent_workers': False}
        super().__init__(runner, dataloader, **kwargs)

    def run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self._batches_done()
        for index, data_batch in enumerate(self.dataloader):
            if index >= done:
                self.run_iter(index, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _batches_done(self) -> int:
        """How many batches of this epoch were trained on before the run was resumed; the log says so."""
        hub, batches = self.runner.message_hub, len(self.dataloader)
        before = hub.get_info('batches_per_epoch', batches)
        hub.update_info('batches_per_epoch', batches)
        if before != batches:
            message = f'The checkpoint comes from a run with {before} batches an epoch, this one has {batches}'
            remark = f'epoch {self._epoch + 1} begins anew, and the schedules go on at the same share of the whole'
            print_log(f'{message}: {remark}.', logger='current', level=logging.WARNING)
            self._iter = self._epoch * batches
            stretch_schedules(self.runner, before, batches, self._epoch)
        done = self._iter - self._epoch * batches
        if done:
            print_log(f'Pass over {done} of {batches} batches, which have been trained on.', logger='current')
        return done
