# Nothing trained, the paper's data; a leaf config adds the LMM. `python tools/test.py LEAF none` tests it.
_base_ = [
    './models/attention_sam-l.py',
    './datasets/refcoco_png.py',
    './schedules/schedule_8e.py',
    './default_runtime.py',
]
