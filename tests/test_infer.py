"Kinds proposed from a sample, of tables of every sort; coverage of all kinds."
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from recofm.data import (
    Categorical, Cross, LogSquare, MultiValued, Ngrams, Numeric, Recent,
    Schema, Text, Weighted, as_source)
from recofm.data import infer as page

rng = np.random.default_rng(7)
rows = 600
users, films = rng.integers(0, 40, rows), rng.integers(0, 30, rows)


def picked(values, n=30):
    "A value for each film, as every row shows it."
    return np.array(values, object)[rng.integers(0, len(values), n)][films]


table = pd.DataFrame(dict(
    user=users, film=films, liked=(users + films) % 2,
    age=rng.integers(15, 80, 40)[users],
    price=np.exp(rng.normal(2, 4, rows)).round(2),
    stars=rng.integers(1, 6, rows), member=users % 3 == 0,
    when=1.7e9 + rng.integers(0, 10**7, rows),
    released=picked(['1979-05-25', '2020-01-01 12:00:00', '2021-01-02']),
    genres=picked(['a|b', 'c', 'b|c', 'a']),
    weights=picked(['a:2|b:0.5', 'c:1|a:-2', 'b:1']),
    image=[f'[{x:.3f}, {y:.3f}]' for x, y in rng.normal(size=(30, 2))[films]],
    plot=[f'a red house {film} by night' for film in films],
    code=picked(['01067', '10115', '20095']),
    session=[f's{i}' for i in range(rows)], shop='main'))
table['when'] = table.when.astype('int64')
asked = dict(target='liked', user='user', item='film')
words = dict(age='Numeric', price='Transformed', stars='Categorical',
             member='Truth', when_hour='Time', when_weekday='Time',
             released_hour='Time', released_weekday='Time',
             genres='MultiValued', weights='Weighted', image='Vector',
             plot='Text', code='Categorical', user='Categorical',
             film='Categorical')


def written(folder, name):
    "The table as a file."
    file = folder/name
    if name.endswith('.parquet'): table.to_parquet(file, row_group_size=90)
    elif name.endswith('.tsv'): table.to_csv(file, index=False, sep='\t')
    elif name.endswith('.csv'): table.to_csv(file, index=False)
    else: table.to_feather(file)
    return file


def kinds_of(proposal):
    return {n: type(c.column).__name__ for n, c in proposal.columns.items()}


def trained(schema, source):
    "The losses of a small model on what the schema encodes."
    from recofm.models import FM
    model = FM(schema.fields)
    model.compile(loss='binary_crossentropy')
    batches = schema.stream(source, batch_size=100, shuffle=False)
    return model.fit(batches, epochs=4, verbose=0).history['loss']


@pytest.mark.parametrize('form', [
    'frame', 'dict', 'records', 'arrow', 'x.parquet', 'x.csv', 'x.tsv',
    'x.arrow'])
def test_every_form_of_a_table_has_the_same_proposal(form, tmp_path):
    source = dict(frame=table, dict=table.to_dict('list'),
                  records=table.to_dict('records'),
                  arrow=pa.Table.from_pandas(table)).get(form)
    source = written(tmp_path, form) if source is None else source
    proposal = Schema.infer(source, **asked)
    assert kinds_of(proposal) == words
    assert {*proposal.left_out} == {'session', 'shop'}
    schema = proposal.fit(source)
    assert [c.name for c in schema.columns] == [
        row[0] for row in proposal.table()[1:]]
    met = schema.coverage(source)
    assert all(met[n].rows == rows and met[n].share in (1, None)
               for n in words)


@pytest.mark.parametrize('form', ['frame', 'x.parquet', 'x.csv'])
def test_all_proposed_kinds_train(form, tmp_path):
    source = table if form == 'frame' else written(tmp_path, form)
    losses = trained(Schema.infer(source, **asked).fit(source), source)
    assert losses[-1] < losses[0]


def test_typed_cells_train():
    "Lists, vectors, maps, times and categories of Arrow and pandas."
    lists = [['a', 'b'][:1 + u % 2] for u in users]
    vectors = rng.normal(size=(rows, 20))
    maps = pa.array([[('a', 1.), ('b', float(u))] for u in users],
                    pa.map_(pa.string(), pa.float64()))
    times = pd.to_datetime(table.when, unit='s', utc=True)
    arrow = pa.table(dict(
        user=users, liked=table.liked, lists=lists,
        vectors=pa.array(vectors.tolist()), maps=maps,
        at=pa.array(times), day=pa.array(times.dt.date),
        code=pa.array(table.genres).dictionary_encode()))
    proposal = Schema.infer(arrow, 'liked', 'user')
    assert kinds_of(proposal) == dict(
        user='Categorical', lists='MultiValued', vectors='Projected',
        maps='Weighted', at_hour='Time', at_weekday='Time',
        day_weekday='Time', code='MultiValued')
    losses = trained(proposal.fit(arrow), arrow)
    assert losses[-1] < losses[0]
    frame = table.assign(maps=[dict(a=1., b=float(u)) for u in users],
                         genres=table.genres.astype('category'), at=times)
    found = kinds_of(Schema.infer(frame, **asked))
    assert (found['maps'], found['at_hour']) == ('Weighted', 'Time')
    Schema.infer(frame, **asked).fit(frame).inputs(frame)


def test_odd_columns_are_left_out_and_the_rest_fits():
    odd = table.assign(
        both=[1, 'x'] * (rows // 2), bag=[{1}] * rows, raw=[b'a'] * rows,
        far=[np.inf] + [1.5] * (rows - 1), gone=[None] * rows,
        texts=["['a', 'b']", "['c']"] * (rows // 2), code='7',
        span=pd.to_timedelta(users, 'h'), again=1 - table.liked)
    proposal = Schema.infer(odd, **asked)
    lost = {'both', 'bag', 'raw', 'far', 'gone', 'texts', 'code', 'span',
            'again', 'session', 'shop'}
    assert {*proposal.left_out} == lost
    assert all('\n' not in why for why in proposal.left_out.values())
    proposal.fit(odd)


cells = dict(
    text=st.sampled_from(['a', 'b', 'a|b', 'c;d', '', '7', '007', 'true',
                          'x y z', '2024-01-31', '[0.5, 1]', 'a:1|b:2']),
    whole=st.integers(-3, 9), large=st.integers(10**9, 2 * 10**9 - 1),
    real=st.floats(-1e6, 1e6), truth=st.booleans(),
    lists=st.lists(st.sampled_from('abc'), max_size=3),
    vector=st.lists(st.floats(-9, 9), min_size=2, max_size=2),
    weights=st.dictionaries(st.sampled_from('abc'), st.floats(-9, 9)))
columns = st.sampled_from(sorted(cells)).flatmap(
    lambda kind: st.lists(st.none() | cells[kind], min_size=12, max_size=12))


@settings(deadline=None, max_examples=60)
@given(st.lists(columns, min_size=1, max_size=4))
def test_whatever_is_proposed_fits(drawn):
    names = [f'column {i}' for i in range(len(drawn))]
    frame = pd.DataFrame(dict(y=[0, 1, 1] * 4))
    for name, column in zip(names, drawn):
        frame[name] = pd.Series(column, dtype=object)
    proposal = Schema.infer(frame, 'y')
    assert str(proposal)
    told = {c.column.reads[0] for c in proposal.columns.values()}
    assert told | {*proposal.left_out} == {*names}
    if not proposal.columns: return
    schema = proposal.fit(frame)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')    # cells with another separator
        ids = schema.inputs(frame)
    ids = ids['ids'] if isinstance(ids, dict) else ids
    assert len(ids) == 12
    met = schema.coverage(frame)
    assert all(met[c.name].rows == 12 for c in schema.columns)


def test_a_column_named_as_a_part_of_a_time_is_not_doubled():
    frame = table.assign(when_hour=table.stars, when_weekday=table.stars)
    proposal = Schema.infer(frame, **asked)
    assert proposal.left_out['when'] == 'its parts are columns already'
    assert kinds_of(proposal)['when_hour'] == 'Categorical'
    proposal.fit(frame)


def test_a_weight_is_no_column():
    frame = table.assign(w=rng.random(rows))
    proposal = Schema.infer(frame, **asked, weight='w')
    assert 'w' not in proposal.columns
    assert proposal.fit(frame).weight == 'w'


def test_a_real_target_has_a_twin_on_a_line():
    frame = table.assign(liked=rng.random(rows))
    frame['scaled'] = 5 - frame.liked * 3
    frame['other'] = rng.random(rows)
    proposal = Schema.infer(frame, **asked)
    assert proposal.left_out['scaled'].startswith('the twin of liked')
    assert kinds_of(proposal)['other'] == 'Numeric'


def test_a_sample_is_spread_over_files(tmp_path):
    for i in range(30):
        table[20 * i:20 * i + 20].to_parquet(tmp_path/f'{i:02}.parquet')
    source = as_source(tmp_path)
    cells, _ = page.sampled(source, 60)
    numbers = [int(s[1:]) for s in cells['session'].to_pylist()]
    assert numbers == sorted(numbers) and len(numbers) == 60
    assert min(numbers) == 0 and max(numbers) == 29 * 20 + 2
    assert len(page.sampled(source, 10**6)[0]['session']) == 20 * 20


def test_a_sample_reads_no_more_than_it_takes(tmp_path):
    file, read = tmp_path/'x.parquet', []
    table.to_parquet(file, row_group_size=10)
    source = as_source(file)
    def noted(piece):
        def batches(columns, size):
            for batch in piece.read(columns, size):
                read.append(batch.num_rows)
                yield batch
        return page_piece(piece.place, piece.rows, batches)
    page_piece = type(source.pieces[0])
    noted_source = source.of_pieces([noted(p) for p in source.pieces])
    page.sampled(noted_source, 40)
    assert sum(read) <= 40


def plain(column, cells, known, values_of):
    "What a column knows of cells, by loops over sets."
    values = [values_of(c) for c in cells]
    flat = [v for vs in values for v in vs]
    slots = getattr(column, 'slots', None)
    rows_of = [{v if v in known else None for v in vs} for vs in values]
    cut = sum(len(r) > slots for r in rows_of) if slots else 0
    return page.Met(len(cells), sum(not vs for vs in values), len(flat),
                    sum(v in known for v in flat), cut)


def one(cell): return [] if cell is None else [cell]
def by_bar(cell): return [v for v in (cell or '').split('|') if v]
def by_blank(cell): return (cell or '').replace('|', ' ').split()
def phrases(cell):
    words = by_blank(cell)
    return words + [' '.join(pair) for pair in zip(words, words[1:])]


texts = st.lists(st.none() | st.lists(
    st.sampled_from('abcdef'), max_size=4).map('|'.join), min_size=1,
    max_size=12)
several = [(MultiValued, {}, by_bar), (MultiValued, dict(max_values=1), by_bar),
           (MultiValued, dict(min_count=2), by_bar), (Text, {}, by_blank),
           (Ngrams, dict(n=2), phrases), (Weighted, {}, by_bar),
           (Recent, {}, by_bar), (Categorical, {}, one),
           (Categorical, dict(min_count=2), one)]


@settings(deadline=None, max_examples=30)
@given(texts, texts, st.integers(0, 12))
@pytest.mark.parametrize('kind, options, values_of', several)
def test_coverage_is_its_definition_in_any_parts(
        kind, options, values_of, train, valid, cut):
    column = kind('x', **options).fit(pa.array(train, pa.large_string()))
    known = set(column.known.values.tolist())
    expected = plain(column, valid, known, values_of)
    cells = pa.array(valid, pa.large_string())
    assert column.meet(cells) == expected
    assert column.meet(valid) == expected
    parts = [column.meet(p) for p in (cells[:cut], cells[cut:])]
    assert parts[0] + parts[1] == expected
    if any(valid): assert column.meet(cells.dictionary_encode()) == expected


@pytest.mark.filterwarnings('error')
def test_cut_rows_are_those_that_encoding_warns_of():
    column = MultiValued('x').fit(['a|b', 'c', 'a', 'b'])
    cells = ['a|b|c', 'x|y|a', 'x|y|z', 'a|a|b', 'c|x|a']
    with pytest.warns(UserWarning, match='^Field .x.: 2 rows hold more'):
        column.encode(cells)
    assert column.meet(cells).cut == 2


def test_coverage_of_kinds_made_otherwise():
    schema = Schema.fit(table, 'liked', context=['both', 'price'],
                        user='age', cross=dict(both='code,member'),
                        log_square=['age'], numeric='price')
    other = table.assign(age=table.age + 10**6, price=None)
    met = schema.coverage(other)
    assert isinstance(schema.columns[0], LogSquare)
    assert isinstance(schema.columns[1], Cross)
    assert isinstance(schema.columns[2], Numeric)
    assert (met['age'].share, met['both'].share) == (0, 1)
    assert met['price'] == page.Met(rows, rows, 0, None)


def test_coverage_where_a_column_lacks():
    schema = Schema.fit(table, 'liked', user='user', context='stars',
                        at_scoring=dict(stars=1))
    for source in (table, pa.Table.from_pandas(table)):
        lacking = source.drop(columns='stars') if source is table \
            else source.drop_columns(['stars'])
        assert schema.coverage(lacking)['stars'].share == 1


def test_coverage_takes_the_memory_of_a_part(monkeypatch, tmp_path):
    "Tables go in slices, files in batches; neither changes a count."
    schema = Schema.infer(table, **asked).fit(table)
    whole = schema.coverage(table).columns
    monkeypatch.setattr(page, 'part_rows', 37)
    assert schema.coverage(table).columns == whole
    file = written(tmp_path, 'x.parquet')
    seen = []
    met = page.add_met
    def noted(found, part, columns):
        seen.append(part.num_rows)
        return met(found, part, columns)
    monkeypatch.setattr(page, 'add_met', noted)
    assert schema.coverage(file).columns == whole
    assert max(seen) <= 90 and sum(seen) == rows


def test_an_error_names_the_rows_of_a_source(tmp_path):
    schema = Schema.fit(table, 'liked', user='user')
    file = tmp_path/'x.parquet'
    table.assign(user='x').to_parquet(file, row_group_size=90)
    with pytest.raises(ValueError, match='x.parquet, row group 0, rows 0 to'):
        schema.coverage(file)


def test_no_warning_is_given():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        Schema.infer(table, **asked).fit(table).coverage(table)


def test_coverage_needs_no_import_of_its_page():
    code = """
import sys
import pandas as pd
from recofm.data.schema import Schema
table = pd.DataFrame(dict(user=['a', 'b', 'a', 'b']))
schema = Schema.fit(table, user='user')
assert 'recofm.data.infer' not in sys.modules
print(schema.coverage(table))
try: schema.cover
except AttributeError as error: print(error)"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True,
                          text=True, check=True, timeout=60)
    assert 'user' in done.stdout and "Schema has no 'cover'" in done.stdout
