"""The way from tables to batches: fitting a schema, encoding, training from
files and from a cache, text in libffm's format, a stored vocabulary.

    python benchmarks/tables.py [PART ...] [--rows N] [--former FOLDER]

makes its own data, lets all sides of a part take turns in one process, and
writes tables.json beside this file; parts that are not named keep the figures
they have there. --former is a working tree of an older recofm to compare
with, such as `git worktree add FOLDER d32a08f` makes; without it, what it is
compared in is left out. --rows makes everything smaller, to try the script."""
import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from datetime import date
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from streams import categories, numbers, vocabulary
from streams import table as criteo
from summary import middle, rounded

a_group = 125_000    # rows of a row group
tags = pa.array([f'tag{i}' for i in range(500)])


def skewed(draw, size, n):
    "n numbers below size, of which the small ones are common, as Zipf's."
    x = np.exp(draw.random(n) * np.log(size + 1)).astype('int64') - 1
    return np.minimum(x, size - 1).astype('int32')


def several(rows, seed):
    "One to four tags in each cell, between bars."
    draw = np.random.default_rng([3, seed])
    ends = np.append(0, draw.integers(1, 5, rows).cumsum()).astype('int32')
    flat = tags.take(pa.array(skewed(draw, len(tags), int(ends[-1]))))
    return pc.binary_join(pa.ListArray.from_arrays(ends, flat), '|')


def texts(rows, seed=0):
    "Ten columns of text, of 10 to 1,000,000 values, some cells missing."
    draw, columns = np.random.default_rng([5, seed]), {}
    for i, size in enumerate(np.geomspace(10, 1e6, 10).round().astype(int)):
        gaps = draw.random(rows) < .02 * (i % 4)
        ids = pa.array(skewed(draw, size, rows), mask=gaps)
        columns[f'C{i}'] = vocabulary(size, i).take(ids)
    return pa.table(columns)


def clicks(folder, rows, more=()):
    "Files of 26 columns of text, 13 of numbers and a label; their pattern."
    size = min(rows, 1_000_000)
    for i, first in enumerate(range(0, rows, size)):
        part = criteo(min(size, rows - first), i)
        for name in more:
            part = part.append_column(name, several(part.num_rows, i))
        pq.write_table(part, folder/f'{i:03d}.parquet', row_group_size=a_group)
    return f'{folder}/*.parquet'


def former(folder, module):
    "A module of the recofm in another working tree; None: there is none."
    if folder is None: return None
    if 'recofm_former' not in sys.modules:
        path = Path(folder)/'recofm'
        spec = spec_from_file_location(
            'recofm_former', path/'__init__.py',
            submodule_search_locations=[str(path)])
        sys.modules['recofm_former'] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules['recofm_former'])
    return import_module(f'recofm_former.{module}')


def turns(sides, rounds):
    "CPU and wall seconds of each side, round after round, and its answer."
    cpu, wall, answers = ({name: [] for name in sides} for _ in range(3))
    for _ in range(rounds):
        for name, side in sides.items():
            begin = time.perf_counter(), time.process_time()
            answers[name] = side()
            wall[name].append(time.perf_counter() - begin[0])
            cpu[name].append(time.process_time() - begin[1])
    return cpu, wall, answers


def figure(title, values, must=None, aim=None, smaller=False):
    "What the page shows: a median with its spread, and what was promised."
    found = middle(values)
    reached = None
    if must is not None:
        median = found['median']
        reached = median <= must if smaller else median >= must
    return dict(title=title, must=must, aim=aim, smaller=smaller,
                reached=reached, **found)


def times(seconds, of, than):
    "How many times as quick one side is as another, in each round."
    return [b / a for a, b in zip(seconds[of], seconds[than])]


def rates(rows, seconds): return [rows / s for s in seconds]


def memory(what):
    "A line of this process's state, MiB: VmHWM, RssAnon."
    lines = Path('/proc/self/status').read_text().splitlines()
    found = dict(line.split(':', 1) for line in lines)
    return int(found[what].split()[0]) / 1024


def apart(name, *words):
    "What a function of this file answers in a process of its own."
    command = [sys.executable, __file__, '--apart', name, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode: sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def fit_files(files):
    "CPU seconds and memory of fitting a schema in one pass."
    from recofm.data.schema import Schema
    context = dict(context=[*numbers, *categories, 'tags'], multi='tags')
    first = next(pq.ParquetFile(sorted(Path(files).parent.iterdir())[0])
                 .iter_batches(100))
    options = dict(target='label', numeric=numbers, **context)
    Schema.fit(pa.table(first), **options)    # imports what is needed
    start, begin = memory('VmHWM'), time.process_time()
    schema = Schema.fit(files, **options)
    return dict(cpu=time.process_time() - begin, start=start,
                peak=memory('VmHWM'), columns=len(schema.columns))


def fit(a):
    "A schema of 40 columns, fitted in one pass over Parquet."
    with TemporaryDirectory(dir=a.folder) as folder:
        files = clicks(Path(folder), a.rows, ['tags'])
        found = [apart('fit_files', files) for _ in range(a.rounds)]
    above = [f['peak'] - f['start'] for f in found]
    columns = found[0]['columns']
    rates = [a.rows / f['cpu'] for f in found]
    return f'A schema of {columns} columns, fitted on {a.rows:,} rows', [
        figure('rows a CPU second', rates, 250e3, 400e3),
        figure('peak memory over the start, MiB', above, 600, 400,
               smaller=True)]


def by_loop(known, columns):
    "The ids of lists of cells by a dictionary for each, as one would write."
    ids = [[d.get(cell, 0) for cell in cells]
           for d, cells in zip(known, columns)]
    return np.array(ids, 'int32').T


def by_map(known, frame):
    "The same by pandas' `map`; missing cells are set afterwards."
    ids = [frame[name].map(d).fillna(0).mask(frame[name].isna(), d[None])
           for name, d in zip(frame, known)]
    return np.stack(ids, axis=1).astype('int32')


def dictionaries_of(schema):
    "From each value of a column to its id, column by column."
    known = []
    for c in schema.columns:
        values = enumerate(c.vocabulary.values.tolist(), 1)
        known.append({v: i for i, v in values} | {None: c.vocabulary.absent})
    return known


def agree(answers):
    "An error where two sides did not answer the same."
    first, *others = answers.values()
    for other in others:
        if isinstance(first, dict):
            for name in first: np.testing.assert_array_equal(first[name],
                                                             other[name])
        else: np.testing.assert_array_equal(first, other)


def encode(a):
    "Ten columns of text become ids."
    from recofm.data.schema import Schema
    n = min(a.rows, 1_000_000)
    table = texts(n)
    frame, names = table.to_pandas(), table.column_names
    schema, old = Schema.fit(table, context=names), a.module('data.schema')
    known = dictionaries_of(schema)
    lists = [column.to_pylist() for column in table.columns]
    sides = dict(now=lambda: schema.inputs(frame),
                 arrow=lambda: schema.inputs(table),
                 loop=lambda: by_loop(known, lists),
                 map=lambda: by_map(known, frame))
    if old:
        before = old.Schema.fit(frame, context=names)
        sides |= {'former': lambda: before.inputs(frame),
                  'former arrow': lambda: before.inputs(table)}
    for side in sides.values(): side()    # makes its index
    cpu, wall, answers = turns(sides, a.rounds)
    agree(answers)
    found = [figure('rows a CPU second', rates(n, cpu['now'])),
             figure('times a loop over dictionaries',
                    times(cpu, 'now', 'loop')),
             figure("times pandas' map", times(cpu, 'now', 'map'))]
    if old: found += [
        figure('a frame, times the former', times(cpu, 'now', 'former'),
               2.5, 4),
        figure('the same by the clock', times(wall, 'now', 'former'), 2.5, 4),
        figure('an Arrow table, times the former',
               times(cpu, 'arrow', 'former arrow'), 2.5, 4)]
    return f'{n:,} rows of ten columns of text, encoded', found


def cell_by_cell(known, cells):
    "Ids and values of cells with several values, as one would write it."
    width = max(len(set(cell.split('|'))) for cell in cells)
    ids = np.zeros((len(cells), width), 'int32')
    values = np.zeros((len(cells), width), 'float32')
    for row, cell in enumerate(cells):
        count = {}
        for word in cell.split('|'):
            i = known.get(word, 0)
            count[i] = count.get(i, 0) + 1
        total = sum(count.values())
        for slot, (i, n) in enumerate(count.items()):
            ids[row, slot], values[row, slot] = i, n / total
    return dict(ids=ids, values=values)


def encode_several(a):
    "A column whose cells hold several values becomes ids and values."
    from recofm.data.schema import Schema
    n = min(a.rows, 1_000_000)
    table = pa.table(dict(tags=several(n, 0)))
    frame, named = table.to_pandas(), dict(context='tags', multi='tags')
    schema, old = Schema.fit(table, **named), a.module('data.schema')
    known, = dictionaries_of(schema)
    cells = table['tags'].to_pylist()
    sides = dict(now=lambda: schema.inputs(frame),
                 loop=lambda: cell_by_cell(known, cells))
    if old:
        before = old.Schema.fit(frame, **named)
        sides['former'] = lambda: before.inputs(frame)
    cpu, _, answers = turns(sides, a.rounds)
    agree(answers)
    found = [figure('cells a CPU second', rates(n, cpu['now'])),
             figure('times a loop over cells', times(cpu, 'now', 'loop'))]
    if old: found.append(
        figure('times the former', times(cpu, 'now', 'former'), 5))
    return f'{n:,} cells of several values, encoded', found


def compiled(name, schema):
    "A model as the page on training from files has it."
    import keras
    from recofm.models.deepfm import DeepFM
    from recofm.models.fm import FM
    keras.utils.set_random_seed(1)
    tower = dict(hidden_units=[64, 32])
    model = FM(schema.fields, k=16) if name == 'FM' else DeepFM(
        schema.fields, **tower)
    model.compile()
    return model


def train(a):
    "An epoch from Parquet and from a cache, beside one in memory."
    from recofm.data.batches import Batches
    from recofm.data.schema import Schema
    from recofm.data.streams import joined
    n, found = min(a.rows, 1_000_000), []
    with TemporaryDirectory(dir=a.folder) as folder:
        files = clicks(Path(folder), n)
        schema = Schema.fit(files, target='label', numeric=numbers, dim=16,
                            context=[*numbers, *categories])
        stream = schema.stream(files, batch_size=4096)
        kept = stream.cached(Path(folder)/'cache')
        x, y = joined(list(stream.parts()))
        data = dict(memory=Batches(x, y, 4096), files=stream, cache=kept)
        for name in 'FM', 'DeepFM':
            model = compiled(name, schema)
            sides = {of: lambda of=of: model.fit(data[of], verbose=0)
                     for of in data}
            turns(sides, 1)    # traces, and warms the system's cache
            cpu, wall, _ = turns(sides, a.rounds)
            must = .65 if name == 'FM' else .75
            aim = .9 if name == 'FM' else .95
            found += [
                figure(f'{name}, examples a second in memory',
                       rates(n, wall['memory'])),
                figure(f'{name}, from Parquet over memory',
                       times(wall, 'files', 'memory'), must, aim),
                figure(f'{name}, from the cache over memory',
                       times(wall, 'cache', 'memory'), .95),
                figure(f'{name}, CPU, from Parquet over memory',
                       times(cpu, 'files', 'memory')),
                figure(f'{name}, CPU, from the cache over memory',
                       times(cpu, 'cache', 'memory'))]
    return f'An epoch of {n:,} rows of 39 columns', found


def lines_of_39(n):
    "Lines of libffm's format with 39 entries each, as bytes."
    from scipy import sparse
    from recofm.data.libffm import libffm_text
    draw, k, size = np.random.default_rng(4), 39, 5_000
    index = draw.integers(0, size, (n, k)) + size * np.arange(k)
    ones = np.ones(n * k, 'float32'), index.ravel(), k * np.arange(n + 1)
    of_column = np.arange(size * k)
    pairs = np.stack([of_column // size, of_column], axis=1)
    X = sparse.csr_array(ones, shape=(n, size * k))
    return libffm_text(X, draw.integers(0, 2, n).astype('float32'), pairs)


def line_by_line(text):
    "What the lines say, as the loop that was there before said it."
    lines = [line.split() for line in text.splitlines()]
    labels = np.array([float(label) for label, *_ in lines])
    entries = [entry.split(':') for _, *found in lines for entry in found]
    return labels, np.array([(int(f), int(i), float(x))
                             for f, i, x in entries])


def libffm(a):
    "Lines of 39 entries become sparse rows, and rows of a table."
    from recofm.data.libffm import libffm_batches, lines_of, read_libffm
    n = min(a.rows, 20_000)
    text, old = lines_of_39(n), a.module('data.matrices')
    with TemporaryDirectory(dir=a.folder) as folder:
        file = Path(folder)/'some.ffm'
        file.write_bytes(text)
        fields = range(39)
        sides = {'lines': lambda: lines_of(text),
                 'loop': lambda: line_by_line(text.decode()),
                 'now': lambda: read_libffm(file),
                 'batches': lambda: sum(batch.num_rows for batch in
                                        libffm_batches(file, fields))}
        if old: sides['former'] = lambda: old.read_libffm(file)
        cpu, _, answers = turns(sides, a.rounds)
    numbers = np.stack(answers['lines'][2:], axis=1)
    np.testing.assert_array_equal(answers['loop'][0], answers['lines'][0])
    np.testing.assert_array_equal(answers['loop'][1], numbers)
    found = [figure('lines a CPU second', rates(n, cpu['now'])),
             figure('as numbers, times a loop over lines',
                    times(cpu, 'lines', 'loop'), 8, 15)]
    if old:
        assert (answers['now'][0] != answers['former'][0]).nnz == 0
        found += [figure('as a matrix, times the former',
                         times(cpu, 'now', 'former'), 8, 15),
                  figure('as a table, times the former as a matrix',
                         times(cpu, 'batches', 'former'), 8, 15)]
    return f"{n:,} lines of libffm's, of 39 entries", found


def open_stored(file, key):
    "Seconds and memory of its own until a stored vocabulary has answered."
    from recofm.data.stored import open_vocabulary
    from recofm.data.vocabulary import lookup
    start, begin = memory('RssAnon'), time.perf_counter()
    held = open_vocabulary(file)
    opened = time.perf_counter()
    answer = lookup(held, [key, 'nobody']).tolist()
    assert answer[0] > 0 == answer[1], answer
    return dict(open=opened - begin, first=time.perf_counter() - opened,
                own=memory('RssAnon') - start)


def stored(a):
    "A vocabulary of many texts, opened in a process that has just begun."
    from recofm.data.stored import store_vocabulary
    from recofm.data.vocabulary import Vocabulary
    n = 2 * a.rows
    names = pa.array(np.char.mod('user-%08d', np.arange(n)), pa.large_string())
    with TemporaryDirectory(dir=a.folder) as folder:
        file = Path(folder)/'names.arrow'
        store_vocabulary(Vocabulary(names), file)
        found = [apart('open_stored', file, f'user-{n - 1:08d}')
                 for _ in range(a.rounds)]
    return f'A stored vocabulary of {n:,} texts, in a new process', [
        figure('seconds until the first answer',
               [f['open'] + f['first'] for f in found], smaller=True),
        figure('memory of its own, MiB', [f['own'] for f in found],
               smaller=True)]


parts = dict(fit=fit, encode=encode, several=encode_several, train=train,
             libffm=libffm, stored=stored)


def asked(words=None):
    command = ArgumentParser(description=__doc__.split('\n\n')[0])
    add = command.add_argument
    add('parts', nargs='*', metavar='PART', help=' '.join(parts))
    add('--rows', type=int, default=5_000_000, help='of the largest table')
    add('--rounds', type=int, default=5)
    add('--former', type=Path, help='working tree of an older recofm')
    add('--folder', type=Path, help='where the data is written meanwhile')
    add('--out', type=Path, default=Path(__file__).with_name('tables.json'))
    a = command.parse_args(words)
    if wrong := sorted(set(a.parts) - set(parts)):
        command.error(f'expected parts among {[*parts]}. Received: {wrong}')
    if a.former and not (a.former/'recofm').is_dir():
        command.error(f'expected recofm in the folder. Received {a.former}')
    a.module = lambda name: former(a.former, name)
    return a


def machine():
    "What the figures of a part were measured on."
    from run import cpu
    return dict(cpu=cpu(), cores=os.cpu_count(), load=os.getloadavg()[0],
                date=str(date.today()))


def line(f):
    bars = [f'{k} {f[k]:g}' for k in ('must', 'aim') if f[k] is not None]
    shown = f"    {f['title']:42} {f['median']:12,.3f}"
    shown += f"  ({f['low']:,.3f} to {f['high']:,.3f})  {' '.join(bars)}"
    return shown + '   NOT REACHED' * (f['reached'] is False)


def main(words=None):
    a = asked(words)
    found = json.loads(a.out.read_text()) if a.out.exists() else {}
    for name in a.parts or parts:
        title, figures = parts[name](a)
        print(title)
        for f in figures: print(line(f), flush=True)
        found[name] = dict(title=title, machine=machine(), figures=figures)
        ordered = {n: found[n] for n in parts if n in found}
        a.out.write_text(json.dumps(rounded(ordered), indent=1) + '\n')


if __name__ == '__main__':
    if sys.argv[1:2] == ['--apart']:
        print(json.dumps(globals()[sys.argv[2]](*sys.argv[3:])))
    else: main()
