"""Tables and plots for the docs."""

import pytest

from flmm_plugin.tiny.ablation_report import plot_ablation, write_table
from flmm_plugin.tiny.conversation_report import plot_tradeoff, write_tables

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


def test_comparison_has_a_row_for_each_model_and_length_and_leaves_gaps(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('before\n<!-- conversation: begin -->\nold\n<!-- conversation: end -->\nafter\n')
    said = {'words/all': [0.9], 'questions': [0.8], 'pope': [0.7], 'answers/exists: yes': [0.6]}
    tuned = {name: [values[0] - 0.2, values[0] - 0.3] for name, values in said.items()}
    results = {
        ('bare LMM', 0): said,
        ('ours', 300): {'expressions': [0.5, 0.7], 'things': [0.8, 0.8], **said},
        ('[SEG]', 300): {'expressions': [0.4, 0.4], 'things': [0.6, 0.6], **tuned},
        ('[SEG]', 1000): {'expressions': [0.6, 0.6], 'things': [0.7, 0.7], **tuned},
    }
    write_tables(results, page)
    rows = [line for line in page.read_text().splitlines() if line.startswith('|')]
    assert rows[2].startswith('| bare LMM |  |  |  | 0.900 ± 0.000 |')
    assert rows[3].startswith('| ours | 300 | 0.600 ± 0.100 | 0.800 ± 0.000 | 0.900 ± 0.000 |')
    assert rows[5].startswith('| [SEG] | 1,000 |')
    assert '| [SEG] | 300 | 0.350 ± 0.050 |' in page.read_text()  # by kind of question
    plot_tradeoff(results, tmp_path / 'images/plot.png')
    assert (tmp_path / 'images/plot.png').stat().st_size > 1000
