"""Next month: whatever later rows hold, no id moves and no old score changes.

The oracle of a vocabulary that grows is a dictionary that is only added to;
that of a schema and of a model is what they said before."""
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kinds import fitted, said, same, table

from recofm.data.cells import keys
from recofm.data.schema import Schema
from recofm.data.stored import open_vocabulary, store_vocabulary
from recofm.data.vocabulary import (
    count_values, extended, fit_vocabulary, from_arrays, lookup, to_arrays,
    value_of)

cell = st.none() | st.sampled_from('abcdefgh') | st.just('long text')


def ids_by_hand(parts, min_count, max_size):
    "From each value to its id, added to part by part; missing where it is."
    ids, row = {}, 1
    for i, part in enumerate(parts):
        counts = Counter(c for c in part if c is not None)
        often = sorted((-n, c) for c, n in counts.items()
                       if n >= min_count and c not in ids)
        known = sum(c is not None for c in ids)
        for _, c in often[:None if max_size is None else max_size - known]:
            ids[c], row = row, row + 1
        if not i and part.count(None) >= min_count:
            ids[None], row = row, row + 1
    return ids


@settings(max_examples=150, deadline=None, derandomize=True)
@given(parts=st.lists(st.lists(cell, max_size=20), min_size=1, max_size=4),
       asked=st.lists(cell, min_size=1, max_size=30),
       min_count=st.integers(1, 3), max_size=st.none() | st.integers(1, 6))
def test_ids_are_those_of_a_dictionary_that_is_added_to(
        parts, asked, min_count, max_size):
    held = fit_vocabulary(parts[0], 'x', min_count, max_size)
    for part in parts[1:]:
        held = extended(held, count_values(part), 'x', min_count, max_size)
    ids = ids_by_hand(parts, min_count, max_size)
    expected = [ids.get(c, 0) for c in asked]
    assert lookup(held, asked).tolist() == expected
    coded = keys(asked).dictionary_encode()
    assert lookup(held, coded).tolist() == expected
    assert held.size == len(ids) + 1
    for value, i in ids.items():
        assert value_of(held, i) == ('[missing]' if value is None else value)
    again = from_arrays(to_arrays(held))
    assert lookup(again, asked).tolist() == expected


def test_a_stored_vocabulary_keeps_the_row_of_missing_cells(tmp_path):
    held = fit_vocabulary([f'u{n}' for n in range(5000)] + [None])
    longer = extended(held, count_values([f'v{n}' for n in range(5000)]))
    store_vocabulary(longer, tmp_path/'v.arrow')
    again = open_vocabulary(tmp_path/'v.arrow')
    asked = ['v17', None, 'u17', '?']
    assert lookup(again, asked).tolist() == lookup(longer, asked).tolist()
    assert lookup(again, asked[1:]).tolist() == lookup(held, asked[1:]).tolist()


@pytest.mark.parametrize('name', said)
@pytest.mark.filterwarnings('ignore:Field .*rows hold more than')
def test_later_rows_move_nothing_of_any_kind(name, tmp_path):
    words = said[name][0]
    first = table[:60]
    schema = Schema.fit(first, 'liked', user='user', item='film', dim=4,
                        **words)
    later = schema.extend(table)
    for what in ('ids', 'values'):
        old, new = (s.inputs(first) for s in (schema, later))
        if not isinstance(old, dict): old, new = dict(ids=old), dict(ids=new)
        if what in old: np.testing.assert_array_equal(old[what], new[what])
    assert [f.slots for f in later.fields] == [f.slots for f in schema.fields]
    assert str(later.extend(table)) == str(later)
    later.save(tmp_path)
    same(Schema.load(tmp_path), later)


@pytest.mark.parametrize('name', ['Weighted', 'Recent', 'Ngrams'])
@pytest.mark.filterwarnings('ignore:Field .*rows hold more than')
def test_the_twin_of_a_column_that_grew_encodes_alike(name):
    from recofm.data.twins import rows_that_differ
    column = fitted(name).columns[2]
    later = column.extend(column.count(['new', 'a|b|new', None]))
    assert later.known.size > column.known.size
    cells = table[later.name][:20].tolist() + ['new', 'a|new|x', None]
    assert rows_that_differ(later, {later.name: cells}) == []


def test_every_value_is_known_afterwards():
    schema, asked = fitted('Ngrams'), table.assign(user=table.user + 1000)
    grown = schema.extend(asked)
    assert grown.fields[0].size > schema.fields[0].size
    assert (schema.inputs(asked)['ids'][:, 0] == 0).all()
    assert (grown.inputs(asked)['ids'][:, 0] > 0).all()


@pytest.mark.parametrize('name', said)
@pytest.mark.filterwarnings('ignore:Field .*rows hold more than')
def test_a_run_goes_on_from_the_columns_that_it_asked_for(name):
    "What fitting finds is no difference; what is asked otherwise is one."
    from recofm.data.schema import asked_columns
    from recofm.runs.warm_start import check_column
    words = dict(user='user', item='film', dim=4, **said[name][0])
    own = Schema.fit(table, 'liked', **words)
    asked = asked_columns(words)
    for one, there in zip(asked, own.columns): check_column(one, there)
    other = asked_columns(words | dict(min_count=2))[0]
    with pytest.raises(ValueError, match="min_count 1 of 'user', as in the"):
        check_column(other, own.columns[0])
