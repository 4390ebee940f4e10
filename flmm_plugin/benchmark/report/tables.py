"""The tables of a report, and what of it was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flmm_plugin.benchmark.chatting import table as chat_table
from flmm_plugin.benchmark.extract import table as extract_table
from flmm_plugin.benchmark.report.running import notes_of, read
from flmm_plugin.benchmark.testing import table as testing_table
from flmm_plugin.benchmark.training import table as training_table
from flmm_plugin.errors import UserError

#: What is asked of a GPU: a name, whether at most or at least, the limit.
ASKED = (
    ('capture / bare, time', 'at most', 1.03),
    ('capture / bare, peak memory', 'at most', 1.05),
    ("training in mixed precision, original's time / ours", 'at least', 3.0),
    ("training in fp32, original's time / ours", 'at least', 3.0),
    ("SAM's decoder, one by one / at once", 'at least', 4.0),
    ('grounding / an answer of 64 tokens', 'at most', 0.05),
)


def tables(report: Mapping[str, Any]) -> str:
    """All of a report as Markdown, part by part; what failed or ran out of time says so."""
    lines = [f'{report["machine"]}, torch {report["torch"]}, transformers {report["transformers"]}, {report["date"]}']
    if report['dry']:
        lines += ['', 'A dry run on tiny models: its ratios mean nothing.']
    parts = report['parts']
    lines += ['', '| part | | seconds |', '|---|---|---:|']
    for name, part in parts.items():
        lines.append(f'| `{name}` | {part["status"]} | {"" if part["seconds"] is None else round(part["seconds"])} |')
    lines += ['', '| asked for | limit | found, worst |', '|---|---:|---:|', *asked_for(parts)]
    for name, part in parts.items():
        lines += ['', f'## `{name}`', *WRITERS[name](part['results'])]
    return '\n'.join(lines) + '\n'


def asked_for(parts: Mapping[str, Any]) -> Iterator[str]:
    for (name, side, limit), values in zip(ASKED, figures(parts), strict=True):
        worst = '' if not values else f'{(max if side == "at most" else min)(values):.3f}'
        met = not values or (max(values) <= limit if side == 'at most' else min(values) >= limit)
        yield f'| {name} | {side} {limit:g} | {worst}{"" if met else ": missed"} |'


def figures(parts: Mapping[str, Any]) -> tuple[list[float], ...]:
    """Of each of :data:`ASKED` whatever there is."""
    forward, train, chat = (rows(parts, name) for name in ('extract', 'train', 'chat'))
    decoder = measured(parts.get('test', {}).get('results', {})).get('decoder')
    return (
        [row['time_vs_bare'] for row in forward],
        [row['peak_memory_vs_bare'] for row in forward],
        [row['speedup'] for row in train if row['amp']],
        [row['speedup'] for row in train if not row['amp']],
        [decoder['decode']['speedup']] if decoder else [],
        [row['grounding_vs_answer'] for row in chat],
    )


def rows(parts: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    """Of all results of a part, with what was measured in mixed precision marked."""
    results = measured(parts.get(part, {}).get('results', {}))
    return [dict(row, amp=result.get('amp', False)) for result in results.values() for row in result.get(part, [])]


def measured(results: Mapping[str, Any]) -> dict[str, Any]:
    return {name: result for name, result in results.items() if 'error' not in result}


def errors(results: Mapping[str, Any]) -> list[str]:
    return [f'- {name}: {result["error"]}' for name, result in results.items() if 'error' in result]


def grouped(results: Mapping[str, Any], table: Callable[[dict[str, Any]], str], merge: str) -> Iterator[str]:
    """A table for each LMM and batch, the rows of its results under ``merge`` one below the other."""
    groups: dict[str, dict[str, Any]] = {}
    for result in measured(results).values():
        if merge in result:
            title = ', '.join([result['preset'], *([f'batch {result["batch"]}'] if 'batch' in result else [])])
            title += f', {result["dtype"]}' + (' in mixed precision' if result.get('amp') else '')
            known = groups.setdefault(title, {**result, merge: []})
            known[merge] = known[merge] + result[merge]
    for title, result in groups.items():
        yield from ('', f'{title}, {result["phrases"]} phrases:', '', table(result))
    if errors(results):
        yield from ('', *errors(results))


def write_tests(results: Mapping[str, Any]) -> Iterator[str]:
    for outcome in results.values():
        cut = '' if outcome['finished'] else ' (cut off)'
        failed = outcome['failed']
        counts = f'{outcome["passed"]} passed, {len(failed)} failed, {outcome["skipped"]} skipped'
        yield from ('', f'{counts} on {outcome["device"]}{cut}')
        yield from (f'- {name}' for name in failed)


def write_extract(results: Mapping[str, Any]) -> Iterator[str]:
    yield from grouped(results, extract_table, 'extract')


def write_test(results: Mapping[str, Any]) -> Iterator[str]:
    found = measured(results)
    decoder = found.pop('decoder', None)
    if decoder:
        yield from ('', f'{decoder["phrases"]} phrases:', '', testing_table(dict(decoder, independent=[])))
    for name, result in found.items():
        table = testing_table(dict(independent=[result]))
        yield from ('', f'{name}, {result["phrases"]} expressions:', '', table)
    if errors(results):
        yield from ('', *errors(results))


def write_train(results: Mapping[str, Any]) -> Iterator[str]:
    yield from grouped(results, training_table, 'train')
    for name, result in measured(results).items():
        if 'operations' in result:
            if result['ours'] is not None:
                count = f'{sum(result["waits"].values())} times, {result["ours"]} of them ours'
                yield from ('', f'{name}: the host waited {count}')
                yield from (
                    f'- {place.split("site-packages/")[-1]}: {count}' for place, count in result['waits'].items()
                )
            yield from ('', f'| {name} | ms | calls |', '|---|---:|---:|')
            yield from (f'| `{one["name"]}` | {one["ms"]:.1f} | {one["calls"]} |' for one in result['operations'])


def write_chat(results: Mapping[str, Any]) -> Iterator[str]:
    yield from grouped(results, chat_table, 'chat')


WRITERS: dict[str, Callable[[Mapping[str, Any]], Iterator[str]]] = dict(
    tests=write_tests, extract=write_extract, test=write_test, train=write_train, chat=write_chat
)


def read_report(path: Path) -> dict[str, Any]:
    """A report that ``tools/gpu_report.py`` wrote, whole or cut off: with what the part had that ran then.

    Raises:
        UserError: there is none.
    """
    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f'{path}: no report can be read ({error})') from error
    missing = {'machine', 'torch', 'transformers', 'date', 'dry', 'parts'} - set(report)
    if missing:
        raise UserError(f'{path} is no report of tools/gpu_report.py: it has no {", ".join(sorted(missing))}')
    for name in WRITERS:
        notes = notes_of(name, path)
        if name not in report['parts'] and notes.exists():
            results, reason = read(notes)
            report['parts'][name] = dict(status=reason or 'cut off', seconds=None, results=results)
    return report
