"Whatever holds rows gives the same rows, or says in one line what is wrong."
import csv
import gzip
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from recofm.cli import main
from recofm.data import as_source, read_table
from recofm.serving import Artifact

quick = settings(max_examples=60, deadline=None)
cell = st.none() | st.text(st.characters(codec='utf-8', exclude_characters='\0'
                                         '\r'), min_size=1, max_size=8)
tables = st.lists(st.tuples(st.integers(0, 2**60), cell, cell), max_size=40)
names = ['user', 'film', 'tag']


def rows_of(source, columns=None, size=7):
    "All rows of a source, as dictionaries."
    batches = source.batches(columns, size)
    return [row for batch in batches for row in batch.to_pylist()]


def as_csv(rows, **options):
    "Rows as a person's program writes them; None is an empty cell."
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n', **options)
    writer.writerow(names)
    writer.writerows([['' if c is None else c for c in row] for row in rows])
    return text.getvalue()


def packed(text, ending):
    "A text as the bytes of a file with this ending."
    content = text.encode()
    if ending == '.gz': return gzip.compress(content)
    if ending == '.zst': return bytes(pa.compress(content, 'zstd', True))
    return content


def typed(rows):
    "Rows as an Arrow table."
    kinds = dict(user=pa.int64(), film=pa.string(), tag=pa.string())
    found = [dict(zip(names, row)) for row in rows]
    return pa.Table.from_pylist(found, pa.schema(kinds))


def cut_up(rows, cuts):
    "The rows in consecutive parts, none of them empty unless all are."
    at = sorted({c % (len(rows) + 1) for c in cuts} | {0, len(rows)})
    return [rows[i:j] for i, j in zip(at, at[1:])] or [rows]


@quick
@given(tables, st.lists(st.integers(0, 99), max_size=4), st.integers(1, 50),
       st.sampled_from(['.csv', '.csv.gz', '.csv.zst', '.tsv']))
def test_any_cut_into_text_files_gives_the_same_rows(tmp_path_factory, rows,
                                                     cuts, size, ending):
    folder = tmp_path_factory.mktemp('cut')
    delimiter = '\t' if ending == '.tsv' else ','
    for i, part in enumerate(cut_up(rows, cuts)):
        text = as_csv(part, delimiter=delimiter)
        file = folder/f'{i}{ending}'
        file.write_bytes(packed(text, file.suffix))
    source = as_source(folder, numbers=['user'])
    expected = [dict(zip(names, (float(row[0]), *row[1:]))) for row in rows]
    assert rows_of(source, size=size) == expected
    assert rows_of(source, size=size) == expected        # again
    batches = [b.num_rows for b in source.batches(['tag'], size)]
    assert sum(batches) == len(rows) and max(batches, default=0) <= size
    frame = read_table(folder, numbers=['user'])
    assert frame.tag.isna().tolist() == [row[2] is None for row in rows]


@quick
@given(tables, st.lists(st.integers(0, 99), max_size=4), st.integers(1, 50),
       st.integers(1, 20), st.sampled_from(['parquet', 'arrow']))
def test_any_cut_into_typed_files_gives_the_same_rows(tmp_path_factory, rows,
                                                      cuts, size, group, kind):
    folder = tmp_path_factory.mktemp('cut')
    for i, part in enumerate(cut_up(rows, cuts)):
        table, file = typed(part), folder/f'{i}.{kind}'
        if kind == 'parquet': pq.write_table(table, file, row_group_size=group)
        else:
            with pa.ipc.new_file(file, table.schema) as f:
                f.write_table(table, max_chunksize=group)
    source = as_source(f'{folder}/*.{kind}')
    expected = [dict(zip(names, row)) for row in rows]
    assert (source.rows, rows_of(source, size=size)) == (len(rows), expected)
    pieces = [p.rows for p in source.pieces]
    assert max(pieces, default=0) <= group and sum(pieces) == len(rows)
    one = [b.to_pylist() for p in source.pieces
           for b in p.batches(['tag', 'user'], size)]
    assert sum(one, []) == [dict(tag=t, user=u) for u, _, t in rows]


@quick
@given(st.binary(max_size=300), st.sampled_from(
    ['csv', 'tsv', 'csv.gz', 'csv.zst', 'parquet', 'arrow', 'feather']))
def test_random_bytes_are_rows_or_one_line_with_the_name(tmp_path_factory,
                                                         content, ending):
    file = tmp_path_factory.mktemp('bytes')/f'rows.{ending}'
    file.write_bytes(content)
    for options in ({}, dict(on_bad_line='skip') if 'sv' in ending else {}):
        try: rows_of(as_source(file, **options))
        except ValueError as e:
            assert str(e).startswith(str(file)) and '\n' not in str(e)
            assert 'Received' in str(e)


@quick
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from(
    ['csv.gz', 'csv.zst', 'parquet', 'arrow']))
def test_a_file_with_other_bytes_in_it_is_rows_or_one_line(tmp_path_factory,
                                                           seed, n, ending):
    file = tmp_path_factory.mktemp('bytes')/f'rows.{ending}'
    random = np.random.default_rng(seed)
    rows = [(i, 'film', f'{i}') for i in range(50)]
    if ending == 'parquet': pq.write_table(typed(rows), file, row_group_size=9)
    elif ending == 'arrow':
        with pa.ipc.new_file(file, typed([]).schema) as f: f.write(typed(rows))
    else: file.write_bytes(packed(as_csv(rows), file.suffix))
    content = bytearray(file.read_bytes())
    for at in random.integers(len(content), size=n):
        content[at] = random.integers(256)
    file.write_bytes(content)
    try: rows_of(as_source(file))
    except ValueError as e: assert str(e).startswith(str(file)), str(e)


@quick
@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1,
                max_size=30))
def test_broken_lines_are_those_that_python_finds_too(tmp_path_factory, lines):
    "A line has one to three cells of two, and its first may be no number."
    file = tmp_path_factory.mktemp('bad')/'rows.csv'
    made = [['x' if odd else f'{i}', f'"a\nb{i}"', 'c'][:n]
            for i, (n, odd) in enumerate(lines)]
    file.write_text('n,s\n' + '\n'.join(map(','.join, made)) + '\n')
    good = [f'a\nb{i}' for i, (n, odd) in enumerate(lines)
            if n == 2 and not odd]
    bad = len(lines) - len(good)
    options = dict(numbers='n', on_bad_line='skip')
    source = as_source(file, **options, bad_lines=bad)
    for _ in range(2):                        # it counts anew
        assert [row['s'] for row in rows_of(source)] == good
        assert source.skipped == bad
    if not bad: return
    with pytest.raises(ValueError, match=f'at most {bad - 1:,} lines'):
        rows_of(as_source(file, **options, bad_lines=bad - 1))
    with pytest.raises(ValueError, match=r'rows.csv, line \d+: expected'):
        rows_of(as_source(file, numbers='n'))


def test_lines_are_the_editors_far_down_a_file(tmp_path):
    "Blocks are of a megabyte; the line is counted through all of them."
    lines = ['n,s'] + [f'{i},"some\ntext {i}"' for i in range(100_000)]
    for bad, said in (('x,y', "number in 'n'. Received 'x'"),
                      ('1,2,3', 'Expected 2 columns, got 3')):
        file = tmp_path/'far.csv'
        file.write_text('\n'.join([*lines, bad, '1,2']) + '\n')
        with pytest.raises(ValueError) as e: rows_of(as_source(file,
                                                               numbers='n'))
        assert str(e.value).startswith(f'{file}, line 200002: expected a')
        assert said in str(e.value)
        skipping = as_source(file, numbers='n', on_bad_line='skip')
        assert sum(b.num_rows for b in skipping.batches(['n'])) == 100_001


def test_every_option_of_a_dialect_is_read(tmp_path):
    text = '% of 2003\n1;Café;"x\n%;2;L’Été;-\n2;;y"\n'
    file = tmp_path/'odd.dat.gz'
    file.write_bytes(gzip.compress(text.encode('cp1252')))
    options = dict(delimiter=';', names=['n', 'name', 'sign'],
                   encoding='cp1252', quoting='', comment='%', missing='-',
                   numbers='n')
    source = as_source(file, **options)
    found = [dict(n=1., name='Café', sign='"x'), dict(n=2., name=None,
                                                      sign='y"')]
    assert rows_of(source) == found
    assert rows_of(source, ['sign', 'n'])[1] == dict(sign='y"', n=2.)
    frame = read_table(file, **options)
    assert frame.n.tolist() == [1., 2.] and frame.name[0] == 'Café'


@quick
@given(tables, st.integers(1, 50), st.sampled_from(['::', '||', '<>', '¦']))
def test_a_delimiter_of_several_signs_reads_the_same_cells(
        tmp_path_factory, rows, size, delimiter):
    def cell(c): return '' if c is None else f'"{c}"'.replace('"', '""')[1:-1]
    text = ''.join(delimiter.join(map(cell, row)) + '\n'
                   for row in [names, *rows])
    file = tmp_path_factory.mktemp('several')/'rows.dat.gz'
    file.write_bytes(packed(text, '.gz'))
    expected = [dict(zip(names, (float(row[0]), *row[1:]))) for row in rows]
    doubtful = '\x1f' in text or any(
        3 * d in text.replace(4 * d, '') for d in ':|' if 2 * d == delimiter)
    try: found = rows_of(as_source(file, delimiter=delimiter,
                                   numbers='user'), size=size)
    except ValueError as error:
        assert doubtful and f'expected {delimiter!r} between' in str(error)
        assert str(error).startswith(f'{file}, line ')
    else: assert found == expected


@pytest.mark.parametrize('words', [
    dict(delimiter='::'), dict(delimiter=';', comment='#'),
    dict(delimiter=';', encoding='cp1252')])
def test_a_process_that_gives_a_text_up_ends(words, tmp_path):
    "A thread of pyarrow's reads ahead, and asks Python for bytes."
    file = tmp_path/'rows.txt'
    row = words['delimiter'].join('123')
    file.write_text(f'{row}\n' * 500_000)
    code = """
import json, sys
from recofm.data import as_source
words = json.loads(sys.argv[2])
held = as_source(sys.argv[1], names=['a', 'b', 'c'], **words).batches(size=9)
next(held)
next(as_source(sys.argv[1], names=['a', 'b', 'c'], **words).batches(size=9))
list(as_source(sys.argv[1], names=['a'], **words).batches())"""
    done = subprocess.run([sys.executable, '-c', code, str(file),
                           json.dumps(words)], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f'ValueError: {file}, line 1: expected a table in CSV')


def test_an_unclear_delimiter_is_found_far_down_a_file(tmp_path):
    "Blocks end anywhere, also between two colons."
    file = tmp_path/'far.dat'
    lines = [f'{i}::a: b::"c::\n{i}"' for i in range(100_000)]
    file.write_text('\n'.join(lines) + '\n')
    words = dict(delimiter='::', names=['n', 'a', 'b'], numbers='n')
    last = [*as_source(file, **words).batches()][-1]
    assert last.slice(len(last) - 1).to_pylist() == [
        dict(n=99_999, a='a: b', b='c::\n99999')]
    for bad, said in (('1::2:::3', 'at either of two places'),
                      ('1::2\x1f::3', 'number 31'),
                      ('1::2', 'Expected 3 columns, got 2: 1::2'),
                      ('x::2::3', "a number in 'n'. Received 'x'")):
        file.write_text('\n'.join([*lines, bad, '1::2::3']) + '\n')
        with pytest.raises(ValueError) as e: rows_of(as_source(file, **words))
        assert str(e.value).startswith(f'{file}, line 200001: expected')
        assert said in str(e.value)


def test_columns_that_are_not_there_are_said_before_any_row(tmp_path):
    "pyarrow's iter_batches leaves them out in silence."
    typed([(1, 'a', 'b')]).to_pandas().to_parquet(tmp_path/'a.parquet')
    source = as_source(tmp_path/'a.parquet')
    with pytest.raises(ValueError, match="lacks 'films' .did you mean 'film'"):
        source.batches(['user', 'films'])


def written(folder, kind, rows):
    "Files of a kind, the second of several pieces."
    folder.mkdir(exist_ok=True)
    for name, part in dict(a=rows[:10], b=rows[10:]).items():
        file = folder/f'{name}.{kind}'
        if kind == 'csv': file.write_text(as_csv(part))
        elif kind == 'parquet': pq.write_table(typed(part), file,
                                               row_group_size=5)
        else:
            with pa.ipc.new_file(file, typed(part).schema) as f:
                f.write_table(typed(part), max_chunksize=5)
    return folder


@pytest.mark.parametrize('kind', ['csv', 'parquet', 'arrow'])
def test_a_set_that_changes_is_an_error_before_or_at_the_row(kind, tmp_path):
    rows = [(i, f'film {i}', 'x') for i in range(40)]
    source = as_source(written(tmp_path/'set', kind, rows))
    file = tmp_path/'set'/f'b.{kind}'
    whole = file.read_bytes()
    found = source.batches(size=3)
    next(found)
    file.write_bytes(whole[:len(whole) // 2])             # it shrank
    with pytest.raises(ValueError, match=f'b.{kind}: expected the file of'):
        list(found)
    file.write_bytes(whole)                               # another time
    with pytest.raises(ValueError, match='written at another time'):
        list(source.batches())
    source = as_source(tmp_path/'set')
    file.unlink()
    with pytest.raises(FileNotFoundError, match=f'b.{kind}'):
        list(source.batches())


def test_a_text_file_that_is_cut_off_between_lines_is_noticed(tmp_path):
    file = tmp_path/'rows.csv'
    file.write_text('a,b\n' + '1,2\n' * 2**20)
    source = as_source(file)
    found = source.batches(size=1000)
    next(found)
    os.truncate(file, 4 * 2**19)
    with pytest.raises(ValueError, match='expected the file of 4,194,308 byt'):
        list(found)


def test_unlike_files_are_refused_before_any_row(tmp_path):
    rows = [(i, f'film {i}', 'x') for i in range(40)]
    folder = written(tmp_path/'set', 'parquet', rows)
    typed(rows).rename_columns(['user', 'film', 'tags']).to_pandas().to_parquet(
        folder/'c.parquet')
    with pytest.raises(ValueError, match='c.parquet: expected the columns of'):
        as_source(folder)
    texts = pd.DataFrame(dict(user=['u1'], film='a', tag='b'))
    texts.to_parquet(folder/'c.parquet')
    with pytest.raises(ValueError, match="c.parquet: expected 'user' as in .*"
                       'a.parquet, int64. Received'):
        as_source(folder)
    coded = dict(user=pd.array([7], 'int8'), film=pd.Categorical(['a']),
                 tag=[None])                 # other types that hold the same
    pd.DataFrame(coded).to_parquet(folder/'c.parquet')
    found = as_source(folder)
    assert rows_of(found)[-1] == dict(user=7, film='a', tag=None)
    assert {str(b.schema) for b in found.batches()} == {
        'user: int64\nfilm: large_string\ntag: large_string'}


def lake_of(folder, ending, rows, days):
    "The rows dealt to folders as Hive calls them."
    for i, day in enumerate(days):
        (folder/day).mkdir(parents=True)
        written(folder/day, ending, rows[i::len(days)])
    return folder


@pytest.mark.parametrize('ending', ['parquet', 'arrow', 'csv'])
def test_what_folders_tell_is_a_column(ending, tmp_path):
    rows = [(i, f'film {i}', None if i % 3 else 'x') for i in range(30)]
    none = '__HIVE_DEFAULT_PARTITION__'
    lake = lake_of(tmp_path/'lake', ending, rows, [
        'day=2026-01-01/at=07', f'day={none}/at=08', 'day=%C3%A9 %2F%3D/at=09'])
    cells = ['2026-01-01', None, 'é /=']
    as_text = str if ending == 'csv' else int
    expected = {as_text(row[0]): (*row[1:], cells[i % 3], f'0{7 + i % 3}')
                for i, row in enumerate(rows)}
    for given in (lake, f'{lake}/**/*.{ending}', f'file://{lake}',
                  sorted(lake.glob('*')),
                  [f'{lake}/day={day}*/*/*' for day in ('2', '_', '%')]):
        source = as_source(given)
        assert source.names == [*names, 'day', 'at']
        assert {user: tuple(row.values()) for row in rows_of(source)
                for user in [row.pop('user')]} == expected
        assert rows_of(source, ['at', 'film']) == [
            dict(at=row['at'], film=row['film']) for row in rows_of(source)]
    frame = read_table(lake)
    assert dict(zip(frame.user, frame.day.fillna('none'))) == {
        user: row[2] or 'none' for user, row in expected.items()}
    hours = as_source(lake).with_numbers(['at'])
    assert {row['at'] for row in rows_of(hours)} == {7., 8., 9.}
    with pytest.raises(ValueError, match="expected a number in 'day', which a"):
        rows_of(as_source(lake).with_numbers(['day']))
    named = as_source([*lake.rglob('*.*')])          # a file at its word
    assert named.names == names and named.rows in (30, None)


def test_folders_that_tell_other_columns_are_refused(tmp_path):
    rows = [(i, f'film {i}', 'x') for i in range(6)]
    wrong = {('day=1', 'hour=1'): r"other in \['day', 'hour'\]",
             ('day=1', 'all'): r"other in \['day'\]",
             ('tag=1', 'tag=2'): "'tag' in both",
             ('day=1/day=2',): r"Received \['day', 'day'\]",
             ('day=%ff',): 'folders in UTF-8'}
    for i, (days, said) in enumerate(wrong.items()):
        lake = lake_of(tmp_path/str(i), 'parquet', rows, days)
        for reader in (as_source, read_table):
            with pytest.raises(ValueError, match=said): reader(lake)


class Cursor:
    "A database's answer: it speaks Arrow, and it has no length."
    def __init__(self, table): self.table = table
    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


@quick
@given(tables, st.integers(1, 50))
def test_what_is_in_memory_gives_the_rows_of_a_file(rows, size):
    table, expected = typed(rows), [dict(zip(names, row)) for row in rows]
    frame = table.to_pandas()
    for held in (table, table.to_reader(), Cursor(table)):
        assert rows_of(as_source(held), size=size) == expected
    assert rows_of(as_source(frame), size=size) == expected
    assert as_source(frame).rows == as_source(table).rows == len(rows)
    once = as_source(Cursor(table))
    assert not once.again
    list(once.batches())
    with pytest.raises(ValueError, match='a stream that has been read'):
        list(once.batches())


@pytest.mark.parametrize('library', ['polars', 'duckdb'])
def test_other_libraries_need_no_adapter(library):
    table = typed([(1, 'a', None), (2, None, 'b')])
    other = pytest.importorskip(library)
    held = (other.from_arrow(table) if library == 'polars'
            else other.sql('select * from "table"'))
    source = as_source(held)
    assert source.again and source.rows == 2
    assert rows_of(source) == rows_of(source) == table.to_pylist()
    assert rows_by_stream(held) == rows_of(source, ['film', 'user'])


def rows_by_stream(held):
    "The rows of what speaks Arrow, two columns of them, by one stream."
    reader = pa.RecordBatchReader.from_stream(held)
    return rows_of(as_source(reader), ['film', 'user'])


def in_memory(rows):
    "A file system of this process, with Parquet and CSV files in it."
    fsspec = pytest.importorskip('fsspec')
    system = fsspec.filesystem('memory')
    if system.exists('/lake'): system.rm('/lake', recursive=True)
    for i in (0, 1):
        with system.open(f'/lake/day={i}/a.parquet', 'wb') as f:
            pq.write_table(typed(rows[i::2]), f)
        with system.open(f'/lake/day={i}/a.csv.gz', 'wb') as f:
            f.write(packed(as_csv(rows[i::2]), '.gz'))
    return system


def test_an_address_is_as_good_as_a_path():
    rows = [(i, f'film {i}', 'x') for i in range(40)]
    system = in_memory(rows)
    expected = [dict(zip(names, row)) for i in (0, 1) for row in rows[i::2]]
    found = as_source([f'memory://lake/day={i}/a.parquet' for i in (0, 1)])
    assert (found.rows, rows_of(found)) == (40, expected)    # as named
    told = [dict(row, day=f"{row['user'] % 2}") for row in expected]
    for source in (as_source('memory://lake/*/*.parquet'),
                   as_source('/lake/*/*.parquet', filesystem=system)):
        assert (source.rows, rows_of(source)) == (40, told)
        assert source.pieces[0].place.endswith('day=0/a.parquet, row group 0')
    texts = as_source('memory://lake/**.csv.gz', numbers='user')
    assert [row['user'] for row in rows_of(texts)] == [
        row['user'] for row in expected]
    assert len(read_table('memory://lake/*/*.csv.gz')) == 40
    with system.open('/lake/day=1/a.parquet', 'wb') as f: f.write(b'PAR1')
    changed = as_source('memory://lake/day=0/a.parquet')
    system.rm('/lake', recursive=True)
    with pytest.raises(FileNotFoundError): list(changed.batches())
    with pytest.raises(ValueError, match='expected a file of rows. Received n'):
        as_source('memory://lake/*.parquet')


def test_a_local_address_needs_nothing_more(tmp_path):
    rows = [(i, f'film {i}', 'x') for i in range(40)]
    folder = written(tmp_path/'set', 'parquet', rows)
    for address in (f'file://{folder}', f'file://{folder}/?.parquet'):
        source = as_source(address)
        assert rows_of(source) == [dict(zip(names, row)) for row in rows]
    (folder/'b.parquet').unlink()
    with pytest.raises(FileNotFoundError, match='b.parquet'):
        list(source.batches())


def test_reading_takes_little_more_than_a_block(tmp_path):
    "A process reads 60 MB of text and of Parquet, a batch at a time."
    random = np.random.default_rng(0)
    table = pa.table({f'c{i}': random.integers(0, 10**9, 10**6)
                      for i in range(6)})
    from pyarrow.csv import write_csv
    write_csv(table, tmp_path/'rows.csv')
    pq.write_table(table, tmp_path/'rows.parquet', row_group_size=2**17)
    code = '''
import resource, sys
from recofm.data import as_source
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
small = as_source(sys.argv[1], **({} if 'parquet' in sys.argv[1] else
                                  dict(numbers='c0')))
next(small.batches(size=2**14))
start = peak()
assert sum(b.num_rows for b in small.batches(size=2**14)) == 10**6
print(peak() - start)
'''
    for kind in ('csv', 'parquet'):
        done = subprocess.run([sys.executable, '-c', code,
                               f'{tmp_path}/rows.{kind}'],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) < 60, kind


def test_clicks_without_users_train_as_they_lie(tmp_path):
    "Packed text without a header, hour by hour, as a log is written."
    random, lines = np.random.default_rng(0), []
    hour, banner = random.integers(24, size=600), random.integers(9, size=600)
    for h, b in zip(hour, banner):
        lines.append(f'{int((h + b) % 2)}\t{h}\tb{b}\n')
    for i in range(3):
        text = ''.join(lines[200 * i:200 * (i + 1)])
        file = tmp_path/'clicks'/f'{i}.txt.gz'
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(gzip.compress(text.encode()))
    words = ['train', '--data', f'{tmp_path}/clicks/*.gz', '--delimiter',
             'tab', '--names', 'click,hour,banner', '--target', 'click',
             '--context', 'hour,banner', '--numeric', 'hour', '--model', 'FM',
             '--dim', '4', '--epochs', '2', '--out', f'{tmp_path}/run']
    with redirect_stdout(io.StringIO()) as printed: main(words)
    assert 'item mean' not in printed.getvalue()
    artifact = Artifact.load(tmp_path/'run')
    assert artifact.catalogue is None
    rows = [dict(hour=3., banner='b1'), dict(hour=4., banner='b8')]
    assert artifact.score(rows).shape == (2,)
    metrics = json.loads(Path(tmp_path/'run'/'metrics.json').read_text())
    assert sorted(metrics['baselines']) == ['global mean',
                                            'logistic regression']
    recipe = str(tmp_path/'run'/'recipe.toml')
    again = ['train', '--config', recipe, '--out', f'{tmp_path}/again']
    with redirect_stdout(io.StringIO()): main(again)
    second = json.loads(Path(tmp_path/'again'/'metrics.json').read_text())
    assert second['valid'] == metrics['valid']


@pytest.mark.parametrize('words, said', [
    ('--delimiter "', 'Expected --delimiter without quotes and line breaks'),
    ('--encoding klingon', 'Expected --encoding to be one that Python knows'),
    ('--on-bad-line warn', "Expected --on-bad-line to be 'raise' or 'skip'"),
    ('--names a,a', 'Expected each of --names once'),
    ('--label a', 'Expected no --label without --item'),
])
def test_a_mistake_about_files_is_one_line(words, said, tmp_path):
    file = tmp_path/'rows.csv'
    file.write_text('a,b\n1,2\n')
    line = ['train', '--data', str(file), '--context', 'a', '--target', 'b',
            '--out', str(tmp_path/'out'), *words.split()]
    with pytest.raises(SystemExit) as e: main(line)
    assert said in e.value.code and len(e.value.code.splitlines()) == 1
    assert not (tmp_path/'out').exists()


def test_links_to_folders_and_a_mark_before_a_remark_are_read(tmp_path):
    (tmp_path/'lake').mkdir()
    (tmp_path/'away').mkdir()
    (tmp_path/'away/x.csv').write_text('\ufeff# a,b\nuser,n\nu,1\n', 'utf-8')
    (tmp_path/'lake/day=1').symlink_to(tmp_path/'away')
    (tmp_path/'away/up').symlink_to(tmp_path/'lake')
    for rows in (as_source(tmp_path/'lake', comment='#')[['user', 'n', 'day']],
                 read_table(tmp_path/'lake', comment='#')):
        assert rows.values.tolist() == [['u', '1', '1']]
