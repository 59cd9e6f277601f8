"Files that are broken or lie: each ends in one line, or in what can be used."
import json

import faults
import pytest

cases = dict(quick=12, slow=150)
pairs = faults.pairs()
ids = [f'{reader.name}: {fault}'.replace('`', '') for reader, fault in pairs]


@pytest.mark.parametrize('reader, fault', pairs, ids=ids)
def test_a_reader_ends_well(reader, fault, request, tmp_path):
    slow = request.config.getoption('slow')
    row, wrong = faults.tried(reader, fault, cases['slow' if slow else 'quick'],
                              tmp_path)
    said = [f'{said}: {content!r:.400}' for said, content in wrong[:5]]
    if said: pytest.fail('\n'.join(said), pytrace=False)
    assert row.refused + row.accepted == row.cases >= 2


def test_what_the_page_shows_was_tried():
    "`python tests/faults.py` writes it."
    rows = json.loads(faults.table.read_text('utf-8'))
    assert [(r['reader'], r['fault']) for r in rows] == [
        (reader.name, fault) for reader, fault in pairs]
    assert sum(r['cases'] for r in rows) >= 5000
    assert not any(r['wrong'] for r in rows)
    for r in rows: assert r['refused'] + r['accepted'] == r['cases']


def no_end(folder): raise RecursionError
def no_line(folder): raise ValueError(f'{folder}/a.csv:\nno line')
def no_name(folder): raise ValueError('Expected something. Received nothing')
def no_use(folder): return lambda: {}['a']
def good(folder): raise ValueError(f'{folder}/a.csv: expected b. Received c')


@pytest.mark.parametrize('read, how', [
    (no_end, 'wrong'), (no_line, 'wrong'), (no_name, 'wrong'),
    (no_use, 'wrong'), (good, 'refused')])
def test_a_wrong_ending_would_be_seen(read, how, tmp_path):
    assert faults.watched(read, tmp_path, ['a.csv'])[0] == how
