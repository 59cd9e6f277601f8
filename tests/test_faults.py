"Files that are broken or lie: each ends in one line, or in what can be used."
import json
import os
import random
import signal
import subprocess
import sys
import time

import faults
import pytest
from recofm.data.files import load_pair, save_pair

cases = dict(quick=12, slow=130)
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


saves = """
import sys
import numpy as np
from recofm.data.files import save_pair
n = 0
while True:
    n += 1
    save_pair(sys.argv[1], 'pair', dict(format=2, n=n), dict(a=np.full(99, n)))
    print(n, flush=True)
"""


def pair_in(folder) -> int:
    "The number of the save that both files are of."
    content, arrays = load_pair(folder, 'pair')
    assert set(arrays['a'].tolist()) == {content['n']}
    return content['n']


@pytest.mark.skipif(os.name == 'nt', reason='there is no kill -9')
def test_a_killed_save_leaves_one_of_two_pairs(tmp_path, request):
    "While it is written, the pair can be read, too."
    rng = random.Random(16)
    for _ in range(50 if request.config.getoption('slow') else 5):
        command = [sys.executable, '-c', saves, tmp_path]
        saving = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            saving.stdout.readline()
            end = time.monotonic() + rng.uniform(0, .1)
            while time.monotonic() < end: assert pair_in(tmp_path) >= 1
        finally: saving.send_signal(signal.SIGKILL)
        done = [int(n) for n in saving.communicate()[0].split() or [1]]
        assert done[-1] <= pair_in(tmp_path) <= done[-1] + 1


def test_a_full_disk_leaves_the_pair(tmp_path, monkeypatch):
    save_pair(tmp_path, 'pair', dict(format=2, n=1), dict(a=[1]))
    names = sorted(os.listdir(tmp_path))

    def full(_): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space'):
        save_pair(tmp_path, 'pair', dict(format=2, n=2), dict(a=[2]))
    assert pair_in(tmp_path) == 1 and sorted(os.listdir(tmp_path)) == names
