# The tiny LMM on scenes: trains in minutes on two CPU cores.
_base_ = [
    '../_base_/models/flmm_tiny.py',
    '../_base_/datasets/scenes.py',
    '../_base_/schedules/schedule_tiny.py',
    '../_base_/default_runtime.py',
]
