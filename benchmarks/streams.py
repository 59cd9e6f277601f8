"""Rows that do not fit in memory: `recofm train --stream` on data of the shape
of Criteo's, with its memory over time.

    python benchmarks/streams.py FOLDER [ROWS]

makes the data (39 fields, 13 of numbers), trains an FM for one epoch in a
process of its own, and writes streams.json beside this file."""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

numbers = [f'I{i}' for i in range(1, 14)]
categories = [f'C{i}' for i in range(1, 27)]
sizes = np.geomspace(10, 1e5, 26).round().astype(int)  # values of C1 to C26
a_file, a_group = 1_000_000, 125_000                   # rows


def vocabulary(size, seed):
    "Distinct strings of eight hexadecimal digits."
    x = (np.arange(size, dtype='uint64') * 2654435761 + seed * 97) % 2**32
    return pa.array(np.char.mod('%08x', x))


words = [vocabulary(size, i) for i, size in enumerate(sizes)]


def table(rows, seed):
    "Rows with Zipf's categories, skewed numbers, gaps, and a click to learn."
    draw = np.random.default_rng([7, seed])
    score, columns = np.full(rows, -1.2), {}
    for i, name in enumerate(numbers):
        x = np.floor(draw.lognormal(1 + i / 4, 1.2, rows))
        columns[name] = pa.array(x, mask=draw.random(rows) < .03 * (i % 5))
        if i < 3: score += .2 * (np.log1p(x) - 1)
    for i, name in enumerate(categories):
        u = np.exp(draw.random(rows) * np.log(sizes[i] + 1)).astype('int64')
        ids = np.minimum(u - 1, sizes[i] - 1)
        gaps = draw.random(rows) < .02 * (i % 4)
        columns[name] = words[i].take(pa.array(ids.astype('int32'), mask=gaps))
        score += .3 * np.sin(1. + ids * (i + 1))
    click = draw.random(rows) < 1 / (1 + np.exp(-score))
    return pa.table({'label': pa.array(click.astype('int8')), **columns})


def make(folder, rows):
    "The files that are lacking."
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(-(-rows // a_file)):
        file, part = folder/f'{i:03d}.parquet', folder/'.part'
        if file.exists(): continue
        n = min(a_file, rows - i * a_file)
        pq.write_table(table(n, i), part, row_group_size=a_group)
        part.rename(file)


def memory(pid):
    "Resident and anonymous memory of a process, MiB; None: it has ended."
    try: lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    except OSError: return None
    found = dict(line.split(':', 1) for line in lines)
    if 'VmRSS' not in found: return None
    return [int(found[n].split()[0]) / 1024 for n in ('VmRSS', 'RssAnon')]


def watched(command):
    "Run a command; its output with times, and its memory over time."
    begin, curve, lines = time.time(), [], []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.set_blocking(process.stdout.fileno(), False)
    while process.poll() is None:
        time.sleep(.5)
        now = round(time.time() - begin, 1)
        if found := memory(process.pid): curve.append([now, *found])
        for line in process.stdout.readlines(): lines.append([now, line])
    lines += [[now, line] for line in process.stdout.readlines()]
    if process.returncode: sys.exit(f'ended with {process.returncode}')
    return lines, curve


one_batch = """
import resource, sys
import numpy as np
from recofm.serving.artifact import Artifact
artifact = Artifact.load(sys.argv[1])
fields = artifact.schema.fields
artifact.model.compile()
slots = sum(f.slots for f in fields)
x = dict(ids=np.ones((4096, slots), 'int32'),
         values=np.ones((4096, slots), 'float32'))
artifact.model.fit(x, np.zeros(4096), batch_size=4096, verbose=0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"""


def main(folder, rows):
    make(folder/'clicks', rows)
    out = folder/f'fm-{rows}'
    code = 'from recofm.cli import main; main()'
    words = ['train', '--stream', '--data', f'{folder}/clicks/*.parquet',
             '--target', 'label', '--context', *numbers, *categories,
             '--log-square', ','.join(numbers), '--model', 'FM',
             '--batch-size', '4096', '--epochs', '1', '--out', str(out)]
    lines, curve = watched([sys.executable, '-u', '-c', code, *words])
    done = subprocess.run([sys.executable, '-c', one_batch, out],
                          capture_output=True, text=True, check=True)
    metrics = json.loads((out/'metrics.json').read_text())
    start = float(done.stdout.split()[-1])
    peak = max(m for _, m, _ in curve)
    plain = lambda text: text.replace(f'{folder}/', '')
    lines = [[when, plain(line)] for when, line in lines]
    found = dict(rows=rows, command='recofm ' + plain(' '.join(words)),
                 one_batch=start, peak=peak, above=peak - start,
                 seconds=curve[-1][0], auc=metrics['test']['auc'],
                 baselines={n: b['test']['auc'] for n, b
                            in metrics['baselines'].items()},
                 curve=curve, lines=lines)
    file = Path(__file__).with_name('streams.json')
    file.write_text(json.dumps(found, indent=1))
    print({n: v for n, v in found.items() if n not in ('curve', 'lines')})


if __name__ == '__main__':
    main(Path(sys.argv[1]), int((sys.argv + ['20_000_000'])[2]))
