"What Arrow counts and encodes is what a plain loop over the cells gives."
import os
import time
from collections import Counter
from dataclasses import replace
from functools import reduce
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings, strategies as st
from recofm.data.cache import digest_of
from recofm.data.columns import Bucketized, Categorical
from recofm.data.several import MultiValued, Text, combiners
from recofm.data.schema import Schema
from recofm.data.stored import open_vocabulary, store_vocabulary
from recofm.data.vocabulary import (
    Vocabulary, as_cells, find, fit_vocabulary, hashes, index_of, lookup)
from recofm.serving.catalogue import fingerprint

alphabet = 'aAbß|; \u00a0\u2003\x1céİ七1'
texts = st.text(st.sampled_from(alphabet), max_size=7)
words = st.sampled_from(
    ['a', 'b', ' a', 'a|b', 'a | b|', '', '|', 'é|七', 'a||a'])
cells = st.lists(st.none() | texts | words, max_size=25)
whole = st.lists(
    st.none() | st.integers(-2, 3) | st.just(2**50 + 1), max_size=25)
lists = st.lists(
    st.none() | st.lists(st.none() | words, max_size=4), max_size=15)

forms = dict(
    plain=lambda x: x, series=pd.Series,
    object=lambda x: pd.Series(x, dtype=object),
    category=lambda x: pd.Series(x, dtype='category'),
    arrow=lambda x: pa.array(x, from_pandas=True),
    chunked=lambda x: pa.chunked_array([pa.array(x), pa.array(x)[:0]]),
    dictionary=lambda x: pa.array(x, from_pandas=True).dictionary_encode(),
    slice=lambda x: pa.concat_arrays([pa.array(x)] * 2)[len(x):])

def ids_in(values, missing, column):
    "The definition of a lookup."
    ids = {v: i for i, v in enumerate(values, 1)}
    absent = len(values) + 1 if missing else 0
    return [absent if c is None else ids.get(c, 0) for c in column]

def vocabulary_by_loop(flat, min_count=1):
    "The definition of a vocabulary."
    counts = Counter(flat)
    missing = counts.pop(None, 0)
    often = [v for v in counts if counts[v] >= min_count]
    order = sorted(often, key=lambda v: (-counts[v], str(v).encode()
                                         if isinstance(v, str) else v))
    return order, missing >= min_count

@settings(max_examples=150, deadline=None)
@given(cells | whole, cells | whole, st.sampled_from(sorted(forms)),
       st.sampled_from([1, 2]))
def test_a_category_is_what_a_loop_gives(train, test, form, min_count):
    kind = {type(c) for c in (*train, *test) if c is not None}
    if len(kind) != 1 or not any(c is not None for c in train): return
    made = forms[form](train)
    column = Categorical('x', min_count=min_count).fit(made)
    values, missing = vocabulary_by_loop(train, min_count)
    assert column.vocabulary.values.tolist() == values
    assert column.vocabulary.missing == missing
    for some in (train, test):
        ids, _ = column.encode(forms[form](some))
        assert ids[:, 0].tolist() == ids_in(values, missing, some)

def apart(cell):
    "The definition of what a cell holds."
    if cell is None or isinstance(cell, list): return cell or []
    return [v for v in map(str.strip, cell.split('|')) if v]

@pytest.mark.filterwarnings('ignore')
@settings(max_examples=150, deadline=None)
@given(cells | lists, st.sampled_from(sorted(forms)),
       st.sampled_from(sorted(combiners)), st.none() | st.integers(1, 2))
def test_several_values_are_what_a_loop_gives(column, form, combiner, most):
    if form in ('category', 'dictionary'):
        if any(isinstance(c, list) for c in column): return
    options = dict(combiner=combiner, max_values=most)
    try: fitted = MultiValued('x', **options).fit(forms[form](column))
    except ValueError as e:
        assert 'between the values of a cell' in str(e)
        return
    inside = [apart(c) for c in column]
    values, missing = vocabulary_by_loop([v for c in inside for v in c])
    assert fitted.vocabulary.values.tolist() == values
    fullest = max([1, *(len(set(c)) for c in inside)])
    assert fitted.slots == (most or fullest)
    ids, weights = fitted.encode(forms[form](column))
    for cell, row, weight in zip(inside, ids, weights):
        count = Counter(ids_in(values, missing, cell))
        kept = list(count)[:fitted.slots]
        n = np.float64(sum(count[i] for i in kept))
        expected = [count[i] * combiners[combiner](n) for i in kept]
        blank = [0] * (fitted.slots - len(kept))
        assert row.tolist() == kept + blank
        assert weight.tolist() == np.float32(expected + blank).tolist()

@settings(max_examples=60, deadline=None)
@example([['', '|'], ['', '1|']], MultiValued)    # one cell in both parts
@given(st.lists(cells, min_size=1, max_size=6),
       st.sampled_from([Categorical, MultiValued, Text]))
def test_any_cut_into_batches_gives_the_same_column(parts, kind):
    wish = kind('x')
    if kind is MultiValued: wish = kind('x', separator='é')
    counted = reduce(wish.merge, [wish.count(p) for p in parts])
    whole = wish.count([c for p in parts for c in p])
    try: other = wish.finish(whole)
    except ValueError as e:
        with pytest.raises(ValueError, match='between the values'):
            wish.finish(counted)
        assert 'between the values' in str(e)
        return
    one = wish.finish(counted)
    assert one.field == other.field
    assert one.vocabulary.values.tolist() == other.vocabulary.values.tolist()
    assert one.vocabulary.missing == other.vocabulary.missing

@settings(max_examples=60, deadline=None)
@given(st.sets(st.text(max_size=300), min_size=1, max_size=60),
       st.lists(st.text(max_size=300), max_size=60))
def test_an_index_finds_what_a_dictionary_finds(held, others):
    held = [h for h in held if h.isprintable()]
    wanted = [*held, *(t for t in others if t.isprintable())]
    stands = {v: i for i, v in enumerate(held)}
    cells = as_cells(held)
    found = find(index_of(cells), cells, as_cells(wanted))
    assert found.tolist() == [stands.get(w, -1) for w in wanted]

@pytest.mark.parametrize('size', [3, 1000, 3000, 100_000])
def test_a_lookup_does_not_depend_on_sizes(size):
    rng = np.random.default_rng(size)
    for values in (np.arange(size) * 7 - 5, np.arange(size).astype(str)):
        held = Vocabulary(rng.permutation(values), missing=True)
        if not held.whole: held = Vocabulary(held.values.astype(object), True)
        some = rng.choice(held.values, 2000).tolist() + [None]
        some += [10**9] if held.whole else ['no such']
        expected = ids_in(held.values.tolist(), True, some)
        for part in (some, some[:1], some[-3:]):
            start = expected[-3:] if part is not some else expected
            start = expected[:1] if len(part) == 1 else start
            assert lookup(held, part).tolist() == start

def test_hashes_spread_and_are_those_of_before():
    "An index that lies on a disk must find what a later version asks."
    text = hashes(as_cells(['', 'a', 'ab' * 5, 'x' * 300]))
    number = hashes(as_cells(np.array([0, 1, -1])))
    assert text.tolist() == [
        0, 1300704766599759075,
        9162952856671859347, 766576094007319177]
    assert number.tolist() == [
        0, 7443148273139514098, 5289819483093661174]

def test_a_large_vocabulary_makes_no_python_objects():
    held = fit_vocabulary(pa.array(map(str, range(5000))))
    lookup(held, ['17'])
    assert 'values' not in vars(held)

@pytest.fixture(scope='module')
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp('stored')
    store_vocabulary(fit_vocabulary([*map(str, range(40)), None]),
                     folder/'v.arrow')
    return folder, (folder/'v.arrow').read_bytes()

@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_file_is_refused_or_answers_in_bounds(stored, data):
    folder, content = stored
    changed, most = bytearray(content), len(content) - 1
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, most))
        changed[at] = data.draw(st.integers(0, 255))
    changed = changed[:data.draw(st.just(most + 1) | st.integers(0, most))]
    (folder/'changed.arrow').write_bytes(changed)
    try: held = open_vocabulary(folder/'changed.arrow')
    except ValueError as e:
        assert '\n' not in str(e) and 'eceived' in str(e)
        return
    ids = lookup(held, [*map(str, range(50)), None] if not held.whole else [7])
    assert 0 <= ids.min() and ids.max() < held.size

numbers_of = st.lists(st.none() | st.integers(-3, 9).map(float)
                      | st.floats(allow_nan=False, allow_infinity=False),
                      max_size=40)

@settings(max_examples=150, deadline=None)
@given(st.lists(numbers_of, min_size=1, max_size=4), st.integers(1, 12))
def test_edges_are_quantiles_of_all_numbers(parts, buckets):
    wish = Bucketized('x', buckets)
    counted = reduce(wish.merge, [wish.count(p) for p in parts])
    x = np.array([n for p in parts for n in p if n is not None])
    if not len(x):
        with pytest.raises(ValueError, match='at least one number'):
            wish.finish(counted)
        return
    shares = np.arange(1, min(buckets, len(x) + 1)) / min(buckets, len(x) + 1)
    edges = np.unique(np.quantile(x / 4, shares) * 4)
    assert wish.finish(counted).edges.tolist() == edges.tolist()

def test_what_only_fitting_asks_for_is_not_kept():
    times = pa.array(range(100_000))
    fitted = Categorical('time', approximate=True).fit(times)
    assert 'approximate' not in fitted.arguments()
    again = Categorical.restore(fitted.arguments(), fitted.arrays())
    assert again.field == fitted.field
    with pytest.raises(ValueError, match="'time': expected values that come"):
        Categorical('time').fit(times)


rows = pd.DataFrame(dict(
    user=['u%d' % (i % 9) for i in range(40)], film=[i % 11 for i in range(40)],
    clicked=[3 * i % 13 for i in range(40)],
    tags=['a|b', 'c', None, 'd|a', 'e'] * 8, age=range(40)))
about = dict(user=['user', 'age'], item=['film', 'clicked', 'tags'],
             multi='tags', numeric='age', share=[('film', 'clicked')], dim=4)


@pytest.fixture
def few(monkeypatch):
    "Three values are many."
    monkeypatch.setattr('recofm.data.schema.stored_from', 3)
    return Schema.fit(rows, **about)


def in_npz(schema, folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr('recofm.data.schema.stored_from', 10**9)
        schema.save(folder)
    return Schema.load(folder)


def test_a_mapped_schema_is_the_one_in_arrays(few, tmp_path, monkeypatch):
    few.save(tmp_path/'files')
    mapped = Schema.load(tmp_path/'files')
    plain = in_npz(few, tmp_path/'plain', monkeypatch)
    assert len([*(tmp_path/'files').glob('schema.*.arrow')]) == 3  # one shared
    assert not [*(tmp_path/'plain').glob('*.arrow')]
    assert digest_of(mapped) == digest_of(plain) == digest_of(few)
    assert fingerprint(mapped) == fingerprint(plain) == fingerprint(few)
    assert str(mapped) == str(plain) == str(few)
    strange = rows.assign(user='u7', film=[5, 99] * 20, tags='zz|a')
    for some in (rows, strange, pa.Table.from_pandas(rows)):
        for name, a in plain.inputs(some).items():
            np.testing.assert_array_equal(mapped.inputs(some)[name], a)
    one, other = (c.vocabulary for c in mapped.columns[2:4])
    assert one == other                        # one object, one copy
    for a, b in zip(mapped.columns, plain.columns):
        assert a == replace(b, **{n: getattr(a, n) for n in a.learned})
    before = snapshot(tmp_path/'files')
    mapped.save(tmp_path/'files')              # over the files that it maps
    assert snapshot(tmp_path/'files') == before
    mapped.save(tmp_path/'again')
    assert snapshot(tmp_path/'again') == before
    plain.save(tmp_path/'files')
    assert digest_of(Schema.load(tmp_path/'files')) == digest_of(few)


def snapshot(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_harmed_swapped_or_lacking_vocabulary_is_named(few, tmp_path):
    few.save(tmp_path)
    files = sorted(tmp_path.glob('schema.*.arrow'))
    whole = [file.read_bytes() for file in files]
    for at in (0, 100, len(whole[0]) // 2, -9):
        changed = bytearray(whole[0])
        changed[at] ^= 1
        for content in (bytes(changed), whole[0][:at], whole[1], b''):
            (tmp_path/'new').write_bytes(content)     # replaced: it is mapped
            os.replace(tmp_path/'new', files[0])
            with pytest.raises(ValueError, match=files[0].name) as said:
                Schema.load(tmp_path)
            assert len(str(said.value).splitlines()) == 1
    files[0].unlink()
    with pytest.raises(FileNotFoundError, match=files[0].name):
        Schema.load(tmp_path)


def test_a_save_that_fails_leaves_the_old_schema(few, tmp_path, monkeypatch):
    few.save(tmp_path)
    before = snapshot(tmp_path)
    other = Schema.fit(rows.assign(user='v' + rows.user), **about)
    def full(*_): raise OSError(28, 'No space left on device')
    for broken in ('recofm.data.schema.save_pair', 'recofm.data.files.os.fsync',
                   'recofm.data.stored.write_file'):
        with monkeypatch.context() as patch:
            patch.setattr(broken, full)
            with pytest.raises(OSError, match='No space'): other.save(tmp_path)
        assert snapshot(tmp_path) == before
    other.save(tmp_path)
    assert digest_of(Schema.load(tmp_path)) == digest_of(other)
    assert len(snapshot(tmp_path)) == len(before)
    (tmp_path/'schema.notes.arrow').write_bytes(b'')     # somebody else's
    few.save(tmp_path)
    assert {**before, 'schema.notes.arrow': b''} == snapshot(tmp_path)


def test_a_million_values_are_saved_and_mapped_quickly(tmp_path):
    cells = pa.array([f'user {i:07}' for i in range(10**6)], pa.large_string())
    schema = Schema([Categorical('user', side='user', dim=4,
                                 vocabulary=Vocabulary(cells))])
    schema.save(tmp_path)
    begin = time.process_time()
    again = Schema.load(tmp_path)
    ids = again.inputs([dict(user='user 0000017'), dict(user='?')])
    assert time.process_time() - begin < .8    # .1 where nothing else runs
    assert ids.tolist() == [[18], [0]]
    assert 'values' not in vars(again.columns[0].vocabulary)
