"""Tables and plots for the docs."""

import pytest

from flmm_plugin.tiny.ablation_report import plot_ablation, write_table

BEGIN, END = '<!-- ablation: begin -->', '<!-- ablation: end -->'

RESULTS = {
    'trained': {
        'attention': {'mIoU_thing': [0.2, 0.3, 0.4], 'mIoU_stuff': [0.5, 0.5, 0.5]},
        'U-Net': {'mIoU_thing': [0.7, 0.7, 0.7], 'mIoU_stuff': [0.9, 0.9, 0.9], 'AR_all': [0.8, 0.8, 0.8]},
    },
    'untrained': {
        'attention': {'mIoU_thing': [0.1, 0.1, 0.1], 'mIoU_stuff': [0.4, 0.4, 0.4]},
        'U-Net': {'mIoU_thing': [0.1, 0.1, 0.1], 'mIoU_stuff': [0.7, 0.7, 0.7], 'AR_all': [0.4, 0.4, 0.4]},
    },
}


def test_table_gives_mean_and_spread_and_leaves_the_rest_of_the_page(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(f'before\n{BEGIN}\nold\n{END}\nafter\n')
    for _ in range(2):  # a second time replaces the first
        write_table(RESULTS, page)
    text = page.read_text()
    assert text.startswith('before\n') and text.endswith('after\n') and 'old' not in text
    assert text.count('| trained | attention | 0.300 ± 0.082 | 0.500 ± 0.000 |  |') == 1


def test_page_without_marks_is_named(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('nothing')
    with pytest.raises(ValueError, match=r'page\.md'):
        write_table(RESULTS, page)


def test_plot_is_written(tmp_path):
    plot_ablation(RESULTS, tmp_path / 'images/plot.png')
    assert (tmp_path / 'images/plot.png').stat().st_size > 1000
