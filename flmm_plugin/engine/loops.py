"""Training by epochs or iterations that can be resumed anywhere."""

from __future__ import annotations

import logging
from itertools import chain, islice, repeat
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator

from flmm_plugin.engine.schedules import stretch_schedules
from flmm_plugin.registry import LOOPS


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """mmengine's epochs, resumed at the very batch where the checkpoint was written.

    mmengine's own loop begins the epoch again, so that the schedule runs past its end. This one passes over the
    batches that were trained on: the sampler's order depends on seed and epoch, and what is drawn at random while a
    sample is loaded comes out the same. For that, workers start anew with every epoch (``persistent_workers`` is
    ignored): an old worker's random state would depend on the epochs before.

    With another number of batches an epoch (other GPUs) the epoch begins anew, see :func:`stretch_schedules`.
    """

    def __init__(self, runner: Runner, dataloader: Any, **kwargs: Any) -> None:
        if isinstance(dataloader, dict):
            dataloader = {**dataloader, 'persistent_workers': False}
        super().__init__(runner, dataloader, **kwargs)
        self._schedules = runner.param_schedulers  # their configs: schedulers are built after the loop

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
        first = hub.get_info('batches_at_first', before)
        hub.update_info_dict(dict(batches_per_epoch=batches, batches_at_first=first))
        if before != batches:
            message = f'The checkpoint comes from a run with {before} batches an epoch, this one has {batches}'
            remark = f'epoch {self._epoch + 1} begins anew, and the schedules go on at the same share of the whole'
            print_log(f'{message}: {remark}.', logger='current', level=logging.WARNING)
            self._iter = self._epoch * batches
            stretch_schedules(self.runner, self._schedules, before, batches, self._epoch, first)
            # Of accumulated gradients too: mmengine has told the number of iterations before.
            self.runner.optim_wrapper.initialize_count_status(self.runner.model, self._iter, self.max_iters)
        done = self._iter - self._epoch * batches
        if done:
            print_log(f'Pass over {done} of {batches} batches, which have been trained on.', logger='current')
        return done


@LOOPS.register_module()
class ResumableIterLoop(IterBasedTrainLoop):
    """mmengine's iterations, resumed behind the very sample where the checkpoint was written, whoever goes on.

    ``InfiniteSampler`` deals one stream of samples out among the processes, so that ``n`` iterations take the first
    ``n * processes * batch_size`` of it. mmengine passes over as many *batches* as there were iterations: with other
    processes or another batch size samples would come twice or never. This loop keeps how many samples an iteration
    takes in the checkpoint, and begins the stream behind those that were seen. With as many as before it passes over
    batches as mmengine does, so that what is drawn at random while a sample is loaded comes out the same.
    """

    def run(self) -> torch.nn.Module:
        hub, sampler = self.runner.message_hub, self.dataloader.sampler
        batch = self.dataloader.batch_size or getattr(self.dataloader.batch_sampler, 'batch_size', 1)
        fresh = dict(iter=0, seen=0, per_iter=batch * get_world_size(), seed=getattr(sampler, 'seed', None))
        start = hub.get_info('samples', fresh) if self._iter else fresh
        if start['per_iter'] != fresh['per_iter']:
            start = self._go_on(start, fresh['per_iter'])
        hub.update_info('samples', start)
        if isinstance(sampler, InfiniteSampler) and (start['seen'] or start['seed'] != sampler.seed):
            self._begin_behind(sampler, start)
        return super().run()

    def _go_on(self, kept: dict[str, int], per_iter: int) -> dict[str, int]:
        """Where the stream begins for this run, which takes ``per_iter`` samples an iteration; the log says so."""
        seen = kept['seen'] + (self._iter - kept['iter']) * kept['per_iter']
        message = (
            f'The checkpoint comes from a run with {kept["per_iter"]} samples an iteration, this one has {per_iter}'
        )
        if isinstance(self.dataloader.sampler, InfiniteSampler):
            print_log(f'{message}: it goes on behind the {seen} samples that were seen.', logger='current')
            return dict(iter=self._iter, seen=seen, per_iter=per_iter, seed=kept['seed'])
        remark = 'some samples of the epoch come twice or never. Only InfiniteSampler can go on behind those'
        print_log(f'{message}: {remark} that were seen.', logger='current', level=logging.WARNING)
        return {**kept, 'per_iter': per_iter}

    def _begin_behind(self, sampler: InfiniteSampler, start: dict[str, int]) -> None:
        sampler.seed = start['seed']
        mine = max(0, -(-(start['seen'] - sampler.rank) // sampler.world_size))  # of the seen samples, this rank's
        sampler.indices = islice(sampler._indices_of_rank(), mine, None)
        # mmengine passes over a batch for each iteration before this one; the stream has those since the start alone.
        before = repeat(None, start['iter'])
        self.dataloader_iterator = chain(before, _InfiniteDataloaderIterator(self.dataloader))
