"Every kind of column: tables in parts, saved and loaded, in a run, a recipe."
import atexit
import json
import sys
from functools import reduce
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from recofm.cli import main
from recofm.data import (
    Cross, Days, Hashed, HashedCross, LogSquare, Projected, Recent, Schema,
    SoftBins, Time, Transformed, Truth, Vector, Weighted, Widths)
from recofm.data.columns import kinds, names_read
from recofm.data.schema import asked_columns, kind_words
from recofm.serving import Artifact
from recofm.serving.asked import encode_cells
from recofm.serving.catalogue import fingerprint

rng = np.random.default_rng(5)
rows = 240
table = pd.DataFrame(dict(
    user=rng.integers(0, 20, rows), film=rng.integers(0, 30, rows),
    device=rng.choice(['a', 'b', 'c'], rows), age=rng.integers(15, 80, rows),
    price=rng.lognormal(2, 1, rows).round(2), seen=rng.geometric(.1, rows),
    member=rng.integers(0, 2, rows) == 1,
    when=rng.integers(1.7e9, 1.73e9, rows),
    released=rng.choice(['1979-05-25', '2020-01-01'], rows)))
table['tags'] = rng.choice(['a:2|b:.5', 'c', 'b:3|c:-1|d'], rows)
table['clicked'] = rng.choice(['a|b|c|d', 'c', 'd|a'], rows)
table['image'] = [f'[{x:.3f}, {y:.3f}, {z:.3f}]'
                  for x, y, z in rng.normal(size=(rows, 3))]
table['title'] = rng.choice(['Star Wars', 'The Star', 'War and Peace'], rows)
table['liked'] = (table.user + table.film + rng.integers(0, 9, rows)) % 2

folder = TemporaryDirectory()
atexit.register(folder.cleanup)
plots = f'{folder.name}/plots.npz'
np.savez(plots, keys=range(25), vectors=rng.normal(size=(25, 3)))

# the words of each kind, as `Schema.fit` takes them, and as options
said = dict(
    Pretrained=(dict(context='plot', pretrained=dict(plot=plots),
                     keyed_by='seen', components=2),
                ['--context', 'plot', '--pretrained', f'plot={plots}',
                 '--keyed-by', 'seen', '--components', '2']),
    Hashed=(dict(context='device', hashed=dict(device=50)),
            ['--context', 'device', '--hashed', 'device=50']),
    Cross=(dict(context='both', cross=dict(both='device,member')),
           ['--context', 'both', '--cross', 'both=device,member']),
    HashedCross=(dict(context='both', hashed_cross=dict(both='device,member'),
                      hashed_rows=99),
                 ['--context', 'both', '--hashed-cross', 'both=device,member',
                  '--hashed-rows', '99']),
    Transformed=(dict(context='price', transform=dict(price='clip 0 9 log1p')),
                 ['--context', 'price', '--transform',
                  'price=clip 0 9 log1p']),
    Widths=(dict(context='age', width=dict(age=7.5)),
            ['--context', 'age', '--width', 'age=7.5']),
    LogSquare=(dict(context='seen', log_square=['seen']),
               ['--context', 'seen', '--log-square', 'seen']),
    SoftBins=(dict(context='age', soft=dict(age=5)),
              ['--context', 'age', '--soft', 'age=5']),
    Truth=(dict(context='member', truth=['member']),
           ['--context', 'member', '--truth', 'member']),
    Time=(dict(context='hour', time=dict(hour='when'), zone='Europe/Berlin'),
          ['--context', 'hour', '--time', 'hour=when', '--zone',
           'Europe/Berlin']),
    Days=(dict(context='since', days=dict(since='released,when')),
          ['--context', 'since', '--days', 'since=released,when']),
    Weighted=(dict(context='tags', weighted=['tags']),
              ['--context', 'tags', '--weighted', 'tags']),
    Recent=(dict(context='clicked', recent=dict(clicked=3), half_life=1.5),
            ['--context', 'clicked', '--recent', 'clicked=3',
             '--half-life', '1.5']),
    Vector=(dict(context='image', vector=['image']),
            ['--context', 'image', '--vector', 'image']),
    Projected=(dict(context='image', projected=dict(image=2)),
               ['--context', 'image', '--projected', 'image=2']),
    Ngrams=(dict(context='title', ngrams=dict(title=2), max_words=3),
            ['--context', 'title', '--ngrams', 'title=2', '--max-words', '3']),
    Bucketized=(dict(context='age', bucket=dict(age=[20, 40])),
                ['--context', 'age', '--bucket', 'age=[20,40]']))


def fitted(name):
    "A schema with a user, an item and a column of the kind."
    words = said[name][0]
    return Schema.fit(table, 'liked', user='user', item='film', dim=4, **words)


def same(one, other):
    "Fail where two schemas encode the table otherwise."
    one, other = one.inputs(table), other.inputs(table)
    if not isinstance(one, dict): one, other = dict(ids=one), dict(ids=other)
    for what in one: np.testing.assert_array_equal(one[what], other[what])


@pytest.mark.parametrize('name', said)
def test_a_schema_is_loaded_as_it_was_saved(name, tmp_path):
    schema = fitted(name)
    schema.save(tmp_path)
    again = Schema.load(tmp_path)
    assert type(again.columns[2]).__name__ == name
    assert again.fields == schema.fields and str(again) == str(schema)
    same(again, schema)


@pytest.mark.parametrize('name', said)
def test_parts_of_a_table_tell_what_the_whole_tells(name):
    words = dict(user='user', item='film', dim=4, **said[name][0])
    column = asked_columns(words)[2]
    whole = column.finish(column.count(column.taken(table)))
    parts = [table[:7], table[7:100], table[100:]]
    counted = [column.count(column.taken(part)) for part in parts]
    again = column.finish(reduce(column.merge, counted))
    ids, values = whole.encode(whole.taken(table))
    others, weights = again.encode(again.taken(table))
    np.testing.assert_array_equal(ids, others)
    if values is not None: np.testing.assert_allclose(values, weights, 1e-6)


@pytest.mark.parametrize('name', said)
def test_pairs_fit_their_field_and_missing_cells_are_taken(name):
    schema = fitted(name)
    read = names_read(schema.columns[2:])
    empty = table.assign(**dict.fromkeys(read))
    for frame in (table, empty):
        ids, values = schema.columns[2].encode(schema.columns[2].taken(frame))
        field = schema.fields[2]
        assert ids.shape == (rows, field.slots) and ids.dtype == 'int32'
        assert ids.min() >= 0 and ids.max() < field.size
        if values is None: continue
        assert values.shape == ids.shape and values.dtype == 'float32'
        assert np.isfinite(values).all() and field.values


def run(*options):
    sys.argv = ['recofm', *map(str, options)]
    main()


@pytest.mark.parametrize('name', [
    name if i % 6 == 0 else pytest.param(name, marks=pytest.mark.slow)
    for i, name in enumerate(said)])
def test_a_run_takes_it_as_options_and_from_its_recipe(name, tmp_path):
    "The CSV file holds text; a run of its own recipe is the same run."
    file, out = tmp_path/'views.csv', tmp_path/'out'
    table.to_csv(file, index=False)
    run('train', '--data', file, '--user', 'user', '--item', 'film',
        '--target', 'liked', '--model', 'FM', '--epochs', 1, '--dim', 4,
        '--out', out, *said[name][1])
    again = tmp_path/'again'
    run('train', '--config', out/'recipe.toml', '--out', again)
    one, other = (Artifact.load(folder) for folder in (out, again))
    assert type(one.schema.columns[2]).__name__ == name
    assert fingerprint(one.schema) == fingerprint(other.schema)
    report = json.loads((out/'metrics.json').read_text())
    assert 'logistic regression' in json.dumps(report)


def test_every_kind_with_a_word_is_tried():
    plain = {'Numeric', 'MultiValued', 'Text'}
    words = {cls.__name__ for cls in kind_words().values()
             if cls.__module__.startswith('recofm.')}
    assert words - plain == set(said)


def test_every_kind_says_whether_it_can_be_exported():
    own = {cls for cls in kinds.values()
           if cls.__module__.startswith('recofm.')}
    assert all(isinstance(cls.exports, bool) for cls in own)
    assert kinds['Text'].exports and not kinds['Time'].exports


def test_a_column_known_in_training_only_is_one_cell_when_asked(tmp_path):
    "A recommendation is that of the first place, whatever the table held."
    file, out = tmp_path/'views.csv', tmp_path/'out'
    table.assign(place=rng.integers(1, 9, rows)).to_csv(file, index=False)
    run('train', '--data', file, '--user', 'user', '--item', 'film',
        '--context', 'place', '--target', 'liked', '--model', 'FM', '--epochs',
        1, '--dim', 4, '--out', out, '--at-scoring', 'place=1')
    artifact = Artifact.load(out)
    assert artifact.schema.at_scoring == dict(place='1')
    asked = [encode_cells(artifact.schema, 'context', context)['ids'].tolist()
             for context in (None, dict(place='1'), dict(place='2'))]
    assert asked[0] == asked[1] != asked[2]
    run('train', '--config', out/'recipe.toml', '--out', tmp_path/'again')
    assert Artifact.load(tmp_path/'again').schema.at_scoring == dict(place='1')
    with pytest.raises(ValueError, match="at_scoring= expects plain cells"):
        Schema.fit(table, user='user', at_scoring=dict(place=1))


texts = st.none() | st.text('ab&:|,[]{}\'" 1.', max_size=6)
floats = st.none() | st.floats(-1e6, 1e6) | st.integers(-9, 9)
weights = st.floats(-5, 5).filter(lambda w: w == 0 or abs(w) > 1e-3)
times = st.none() | st.integers(0, 2**32)
cells = dict(
    Hashed=(Hashed('x', 7), texts), Widths=(Widths('x', 50_000.), floats),
    Cross=(Cross('x', of='y,z'), texts), LogSquare=(LogSquare('x'), floats),
    HashedCross=(HashedCross('x', 5, of='y,z'), texts),
    Transformed=(Transformed('x', steps='clip 0 9 sqrt minmax'), floats),
    SoftBins=(SoftBins('x', 3), floats), Truth=(Truth('x'), st.booleans()),
    Time=(Time('x', of='y', part='weekday', zone='Asia/Kolkata'), times),
    Days=(Days('x', of='y,z'), times),
    Weighted=(Weighted('x'), st.none() | st.dictionaries(
        st.text('abc', max_size=2), weights, max_size=4)),
    Recent=(Recent('x', max_values=2, half_life=1),
            st.none() | st.lists(st.text('abc', max_size=2), max_size=4)),
    Vector=(Vector('x'), st.none() | st.tuples(weights, weights)),
    Projected=(Projected('x', components=2),
               st.none() | st.tuples(weights, weights)))


@pytest.mark.parametrize('name', cells)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_cut_of_a_column_encodes_alike(name, data):
    "Fit on all of it or on its parts, encoded as a whole or row by row."
    column, kind = cells[name]
    drawn = data.draw(st.lists(st.tuples(kind, kind), min_size=1, max_size=9))
    columns = [list(c) for c in zip(*drawn)]
    cut = data.draw(st.integers(0, len(drawn)))

    def part(first, last):
        own = {n: c[first:last] for n, c in zip('yz', columns)}
        return column.taken(own | dict(x=own['y']))

    try: whole = column.finish(column.count(part(0, None)))
    except ValueError as error:
        assert 'xpected' in str(error)
        return
    counted = column.count(part(0, cut)), column.count(part(cut, None))
    again = column.finish(column.merge(*counted))
    ids, values = whole.encode(part(0, None))
    others, weights = again.encode(part(0, None))
    alone = [whole.encode(part(i, i + 1)) for i in range(len(drawn))]
    np.testing.assert_array_equal(np.concatenate([a for a, _ in alone]), ids)
    if name == 'Projected': return    # of equal spreads any basis is right
    np.testing.assert_array_equal(others, ids)
    if values is None: return
    np.testing.assert_allclose(weights, values, 1e-4, 1e-4)
    rows = np.concatenate([v for _, v in alone])
    np.testing.assert_allclose(rows, values, 1e-6)


def for_twin(name, cell):
    "The cell, where a twin can be told it: '' and tiny numbers cannot."
    if cell == '': return None
    if isinstance(cell, float) and abs(cell) < 1e-300: return 0.
    if name != 'Weighted' or cell is None: return cell
    return '|'.join(f'{k}:{w!r}' for k, w in cell.items())


twins = [name for name in cells if name not in ('Time', 'Days', 'Projected')]


@pytest.mark.parametrize('name', [
    name if i % 4 == 0 else pytest.param(name, marks=pytest.mark.slow)
    for i, name in enumerate(twins)])
@pytest.mark.filterwarnings('ignore:Field .*rows hold more than')
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_twin_encodes_any_cells_alike(name, data):
    from recofm.data.twins import rows_that_differ
    column, kind = cells[name]
    drawn = data.draw(st.lists(st.tuples(kind, kind), min_size=1, max_size=9))
    own = [[for_twin(name, c) for c in column] for column in zip(*drawn)]
    whole = dict(zip('yz', own), x=own[0])
    cut = data.draw(st.integers(1, len(drawn)))
    fit_on = {n: c[:cut] for n, c in whole.items()}
    try:
        fitted = column.finish(column.count(column.taken(fit_on)))
        fitted.encode(fitted.taken(whole))
    except ValueError as error:
        assert 'xpected' in str(error)
        return
    assert rows_that_differ(fitted, whole) == []
