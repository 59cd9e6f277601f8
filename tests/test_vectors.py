"""Scores that are a product of two vectors, and the lists made of them.

The oracle is the model itself, asked about each row: `Artifact.predict` of raw
rows, sorted. Scores nearer to one another than float32 can tell have no order,
so lists are compared by the scores that stand in them, and keys where these
lie apart."""
import os
import threading
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recofm import models
from recofm.cli import main
from recofm.data.fields import Field
from recofm.data.inputs import slot_fields
from recofm.data.schema import Schema
from recofm.models.oracle import randomized
from recofm.serving import Artifact, Catalogue
from recofm.serving.catalogue import position
from recofm.serving.recommend import (
    lists_by_products, lists_by_scores, lists_by_towers, way_of)
from recofm.serving.retrieval import ItemIndex

splitting = [
    ('LR', {}), ('FM', {}), ('GMF', {}), ('FFM', {}),
    ('FFM', dict(linear=False)), ('FwFM', {}), ('FmFM', {}),
    ('FmFM', dict(kind='vector')), ('HOFM', dict(order=2)), ('HOFM', {}),
    ('HOFM', dict(order=4, k=[4, 3, 2]))]
fields = [
    Field('genres', 9, 4, 'multi', 'item', slots=3),
    Field('user', 40, 4, side='user'), Field('age', 2, 4, 'numeric', 'user'),
    Field('item', 50, 4, side='item'), Field('hour', 24, 4, side='context'),
    Field('tags', 7, 4, 'multi', 'user', slots=2),
    Field('price', 2, 4, 'numeric', 'item')]
sizes = np.array([f.size for f in fields])[slot_fields(fields)]
without_end = dict(deadline=None, derandomize=True,
                   suppress_health_check=list(HealthCheck))


def named(case):
    name, arguments = case
    return name + ''.join(f', {k}={v}' for k, v in arguments.items())


@pytest.fixture(scope='module', params=splitting, ids=named)
def model(request):
    name, arguments = request.param
    made = getattr(models, name)(fields, output_activation=None, **arguments)
    return randomized(made, scale=.5)


@st.composite
def inputs(draw):
    "Any ids, and values that are numbers, ones, or padding."
    rows = draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    some = draw(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=3))
    shape = rows, len(sizes)
    values = rng.choice(np.float32([0, 1, *some]), shape)
    return dict(ids=rng.integers(0, sizes, shape).astype('int32'),
                values=values)


def by_sides(model, x):
    n_user, s_user = model.side_vectors(x, 'user')
    n_item, s_item = model.side_vectors(x, 'item')
    return float(model.bias) + n_user + n_item + (s_user * s_item).sum(1)


@settings(max_examples=15, **without_end)
@given(x=inputs())
def test_two_sides_add_up_to_the_score(model, x):
    assert model.splits()
    score = model.score(x)[:, 0]
    largest = max(1, abs(score).max())
    np.testing.assert_allclose(by_sides(model, x) / largest, score / largest,
                               atol=2e-5)


def test_a_side_knows_nothing_of_the_other(model):
    rng = np.random.default_rng(0)
    shape = 20, len(sizes)
    x, y = ({'ids': rng.integers(0, sizes, shape).astype('int32'),
             'values': rng.normal(size=shape).astype('float32')}
            for _ in range(2))
    item = np.array([f.side == 'item' for f in fields])[slot_fields(fields)]
    mixed = {name: np.where(item, x[name], y[name]) for name in x}
    for a, b in zip(model.side_vectors(x, 'item'),
                    model.side_vectors(mixed, 'item')):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(model.side_vectors(y, 'user'),
                    model.side_vectors(mixed, 'user')):
        np.testing.assert_array_equal(a, b)


others = sorted(set(models.family) - {name for name, _ in splitting})


@pytest.mark.parametrize('name', others)
def test_the_others_do_not_split(name):
    made = getattr(models, name)([
        Field('user', 5, 4, side='user'), Field('item', 5, 4, side='item')])
    assert not made.splits()
    with pytest.raises(ValueError, match=f'two sides. Received {name}'):
        made.side_vectors([[0, 0]], 'item')


def test_another_formula_does_not_inherit_the_sides():
    class Twice(models.FM):
        def logit(self, inputs, training=False):
            return 2 * super().logit(inputs, training)

    class Renamed(models.FM): pass
    assert not Twice(fields).splits() and Renamed(fields).splits()
    assert not models.FFM(fields, normalize=True).splits()


@pytest.mark.parametrize('name', ['DeepFM', 'MLP', 'NeuMF'])
@settings(max_examples=15, **without_end)
@given(x=inputs())
def test_what_comes_before_a_tower_splits(towers, name, x):
    made = towers[name]
    score = made.score(x)[:, 0]
    parts = [made.tower_sides(x, side) for side in ('user', 'item')]
    largest = max(1, abs(score).max())
    np.testing.assert_allclose(made.meet(*parts) / largest, score / largest,
                               atol=2e-5)


@pytest.fixture(scope='module')
def towers():
    "Each with a normalisation, or with dropout, that inference must not see."
    options = dict(hidden_units=[6, 3], output_activation=None,
                   activation='tanh', dnn_dropout=.5)
    return {name: randomized(getattr(models, name)(
        fields, bn_use=name != 'MLP', **options), scale=.5)
        for name in ('DeepFM', 'MLP', 'NeuMF')}


def test_a_tower_of_another_formula_does_not_inherit_the_sides():
    class Other(models.DeepFM):
        def logit(self, inputs, training=False):
            return -super().logit(inputs, training)
    assert models.DeepFM(fields, [4]).splits_at_tower()
    assert not Other(fields, [4]).splits_at_tower()
    assert not models.DeepFM(fields, []).splits_at_tower()


@pytest.mark.parametrize('policy', ['float64', 'mixed_float16'])
@pytest.mark.parametrize('name', ['FmFM', 'FFM', 'HOFM', 'NeuMF'])
def test_sides_of_other_precisions(name, policy):
    options = dict(linear=False) if name == 'FFM' else {}
    made = getattr(models, name)(fields, output_activation=None, dtype=policy,
                                 **options)
    randomized(made, scale=.3)
    rng = np.random.default_rng(0)
    x = dict(ids=rng.integers(0, sizes, (20, len(sizes))).astype('int32'),
             values=np.ones((20, len(sizes)), 'float32'))
    found = by_sides(made, x) if made.splits() else made.meet(
        *(made.tower_sides(x, side) for side in ('user', 'item')))
    tolerance = dict(float64=1e-9, mixed_float16=.02)[policy]
    np.testing.assert_allclose(found, made.score(x)[:, 0], atol=tolerance,
                               rtol=tolerance)


# Retrieval

numbers = st.sampled_from([-2., -1, 0, 0, 1, 1, 3])


@settings(max_examples=60, **without_end)
@given(data=st.data(), items=st.integers(1, 40), users=st.integers(1, 6),
       k=st.integers(1, 45), scores=st.sampled_from([1, 50, 2**22]))
def test_ties_and_what_was_seen_are_as_in_a_sorted_list(
        data, items, users, k, scores):
    "On numbers for which every sum is exact, so that many are equal."
    def drawn(*shape):
        size = int(np.prod(shape))
        some = data.draw(st.lists(numbers, min_size=size, max_size=size))
        return np.reshape(np.float32(some), shape)
    n, V, U = drawn(items), drawn(items, 2), drawn(users, 2)
    some = st.lists(st.integers(0, items - 1), unique=True)
    seen = [data.draw(some) for _ in range(users)]
    blocks = ItemIndex(n, V).search(U, k, seen.__getitem__, scores)
    user, item, score = map(np.concatenate, zip(*blocks))
    every = n + U @ V.T
    for u in range(users):
        left = [i for i in range(items) if i not in seen[u]]
        best = sorted(left, key=lambda i: (-every[u, i], i))[:k]
        assert item[user == u].tolist() == best
        assert score[user == u].tolist() == every[u, best].tolist()


@pytest.mark.parametrize('spread', [0, 5, 20])
def test_the_search_is_exact_where_single_precision_is_not(spread):
    "Vectors of very different lengths, against sums of whole fractions."
    rng = np.random.default_rng(spread)
    V = rng.normal(size=(3000, 5)) * 10**rng.uniform(-spread/2, spread/2,
                                                     (3000, 1))
    V = np.concatenate([V, V[:1000] * (1 + 2e-7)]).astype('float32')
    U = rng.normal(size=(4, 5)).astype('float32')
    index = ItemIndex(np.zeros(len(V)), V)
    (user, item, _), = index.search(U, 20)
    exact = [[sum(Fraction(float(a)) * Fraction(float(b)) for a, b in
                  zip(u, v)) for v in V] for u in U[:2]]
    for u, scores in enumerate(exact):
        order = sorted(range(len(V)), key=lambda i: (-scores[i], i))[:20]
        found = [float(scores[i]) for i in item[user == u]]
        np.testing.assert_allclose(found, [float(scores[i]) for i in order],
                                   rtol=1e-13)


# Lists

rng = np.random.default_rng(0)
rated = pd.DataFrame(dict(
    user=[f'{i:03d}' for i in rng.integers(0, 25, 400)],
    film=rng.integers(2**60, 2**60 + 40, 400), hour=rng.integers(0, 5, 400),
    age=rng.integers(15, 70, 400)))
rated['genres'] = np.array(['a|b', 'b', 'a|c', None])[rated.film % 4]
rated['price'] = (rated.film % 7).astype('float64')
rated['liked'] = rng.integers(0, 2, 400)
described = dict(user=['user', 'age'], item=['film', 'genres', 'price'],
                 context='hour', multi='genres', numeric=['age', 'price'])
schema = Schema.fit(rated, target='liked', dim=3, **described)
# A film that only two users have not met, and two that nobody knew
later = rated.drop_duplicates('user').assign(film=2**60 + 90, price=2.)
new = [2**60 + 77, 2**60 + 78]
strangers = rated[:2].assign(film=new, genres='b', price=1.)
films = pd.concat([rated, later[:-2], strangers], ignore_index=True)
catalogue = Catalogue.fit(films, schema, label=None)


def artifact_of(name, scale=.3, **arguments):
    made = getattr(models, name)(schema.fields, **arguments)
    return Artifact(randomized(made, scale=scale), schema, catalogue)


@pytest.fixture(scope='module', params=models.family)
def artifact(request): return artifact_of(request.param)


def slowly(artifact, user, k, hour=None):
    "Every film that the user has not seen, by its score as a raw row."
    own = films[films.user == user]
    rows = films.drop_duplicates('film', keep='last')
    rows = rows[~rows.film.isin(own.film)]
    rows = rows.assign(user=user, age=own.age.iloc[-1], hour=hour)
    rows['score'] = artifact.predict(rows)
    return rows.sort_values('score', ascending=False, kind='stable')


def assert_same(best, rows, k):
    "The k best, in order; keys where scores can be told apart."
    score = rows.score.to_numpy()
    np.testing.assert_allclose(best.score, score[:k], rtol=2e-5, atol=1e-6)
    near = np.abs(np.diff(score[:k + 1])) < 1e-5
    alone = ~(np.append(near, False)[:k] | np.append(False, near)[:k])
    alone = alone[:len(best)]
    keys = rows.film.to_numpy()[:len(best)]
    assert (best.item.to_numpy()[alone] == keys[alone]).all()


def test_lists_are_those_of_the_model_asked_about_each(artifact):
    for user, hour in ('003', None), ('011', 2):
        context = hour and dict(hour=hour)
        best = artifact.recommend(user, k=6, context=context)
        assert_same(best, slowly(artifact, user, 6, hour), 6)
        assert best.score.is_monotonic_decreasing


def test_lists_of_all_are_those_of_each(artifact):
    "And k may be beyond all items; keys are those of the table."
    together = artifact.recommend_many(k=50, context=dict(hour=1))
    assert together.user.is_unique is False and together.item.dtype == 'int64'
    for user, own in together.groupby('user', sort=False):
        alone = artifact.recommend(user, k=50, context=dict(hour=1))
        assert own.item.tolist() == alone.item.tolist()
        assert own['rank'].tolist() == alone['rank'].tolist()
        np.testing.assert_allclose(own.score, alone.score, rtol=1e-5)


def test_each_model_has_its_way(artifact):
    name = type(artifact.model).__name__
    ways = dict(DeepFM=lists_by_towers, MLP=lists_by_towers,
                NeuMF=lists_by_towers)
    ways |= {name: lists_by_products for name, _ in splitting}
    assert way_of(artifact) is ways.get(name, lists_by_scores)


def test_two_strangers_stand_in_the_order_of_the_catalogue(artifact):
    "Films of which a model is told the same have the same score."
    best = artifact.recommend('005', k=99)
    both = best[best.item.isin(new)]
    np.testing.assert_allclose(*both.score, rtol=1e-6)
    if way_of(artifact) is lists_by_products:
        assert both.item.tolist() == new
        assert both['rank'].diff().iloc[-1] == 1


def test_what_is_similar_has_the_largest_cosine(artifact):
    if type(artifact.model).__name__ in ('LR', 'Poly2'):
        with pytest.raises(ValueError, match='a model that has vectors'):
            artifact.similar(2**60 + 1)
        return
    for by in 'cosine', 'dot':
        found = artifact.similar(str(2**60 + 1), k=99, by=by)
        assert len(found) == len(catalogue.labels) - 1
        assert found[by].is_monotonic_decreasing
        assert 2**60 + 1 not in set(found.item)
    assert found.columns.tolist() == ['rank', 'item', 'label', 'dot']


def test_a_weight_of_0_is_the_list_by_score(artifact):
    if type(artifact.model).__name__ in ('LR', 'Poly2'): return
    best = artifact.recommend('003', diversity=0.)
    pd.testing.assert_frame_equal(best, artifact.recommend('003'))
    other = artifact.recommend('003', diversity=1.)
    assert other.item[0] == best.item[0] and other.item.is_unique
    assert set(other.item) != set(best.item)


def test_who_has_seen_everything_gets_nothing():
    whole = pd.concat([films.drop_duplicates('film').assign(user='all', age=9),
                       rated], ignore_index=True)
    of_all = Catalogue.fit(whole, schema, label=None)
    for name in 'FM', 'DeepFM':
        asked = Artifact(artifact_of(name).model, schema, of_all)
        assert len(asked.recommend('all')) == 0
        assert len(asked.recommend('all', diversity=.5)) == 0
        some = asked.recommend_many(['003', 'all', '004'], 2, diversity=.5)
        assert some.user.tolist() == ['003'] * 2 + ['004'] * 2
        assert len(asked.recommend_many(['all'])) == 0


def test_a_catalogue_of_one_item():
    one = Catalogue.fit(rated[rated.film == rated.film[0]], schema, label=None)
    for name in 'FM', 'DeepFM':
        asked = Artifact(artifact_of(name).model, schema, one)
        user = one.users.values[0]
        assert len(asked.recommend(user, seen=True)) == 1
        assert len(asked.recommend_many(seen=True)) == len(one.users.values)
        assert len(asked.similar(rated.film[0])) == 0


def test_an_unknown_user_ends_it(artifact):
    with pytest.raises(ValueError, match="known user.*Received 'nobody'"):
        artifact.recommend_many(['003', 'nobody'])
    with pytest.raises(ValueError, match='known user.*Received 3'):
        artifact.recommend_many(['003', 3])


def test_sure_probabilities_are_still_in_order():
    "At 1.0 the output has no order left, and the logit has."
    sure = artifact_of('FM', scale=0.)
    table = sure.model.table
    names = [f.name for f in schema.fields]
    start = table.starts[slot_fields(schema.fields) == names.index('film')][0]
    weights = table.table.numpy()
    weights[start:start + 41, 0] = 30 + np.arange(41) / 10
    table.table.assign(weights)
    best = sure.recommend('003', k=5, seen=True)
    assert (best.score == 1).all()
    rows = [position(catalogue.items, item) for item in best.item]
    ids = catalogue.item_inputs['ids'][rows, 0]
    assert (np.diff(weights[start + ids, 0]) < 0).all()


def test_numbers_that_are_none_are_refused():
    for name in 'FM', 'DeepFM':
        broken = artifact_of(name)
        broken.model.table.table.assign(broken.model.table.table * np.nan)
        with pytest.raises(ValueError, match='Expected finite scores'):
            broken.recommend('003')
        with pytest.raises(ValueError, match='Expected finite scores'):
            broken.recommend_many()


def test_an_output_that_does_not_rise_is_asked_about_each():
    bent = artifact_of('FM', output_activation='gelu')
    assert way_of(bent) is lists_by_scores
    assert_same(bent.recommend('003', k=6), slowly(bent, '003', 6), 6)


def test_vectors_do_not_outlive_the_weights():
    "By whatever hand these are changed."
    asked = artifact_of('FM')
    model = asked.model
    model.compile()

    def train(): model.fit(schema.batches(rated), epochs=1, verbose=0)

    def train_on_batch():
        x = schema.inputs(rated[:8])
        model.train_on_batch(x, np.ones((8, 1), 'float32'))

    def load(): model.set_weights([w * 1.1 for w in model.get_weights()])

    def one_row():
        rows = model.table.table.value
        rows.scatter_nd_update([[7]], [[3.] * rows.shape[1]])
    for change in train, train_on_batch, load, one_row:
        asked.recommend('003'), asked.similar(2**60 + 1)
        change()
        anew = Artifact(model, schema, catalogue)
        pd.testing.assert_frame_equal(asked.recommend('003'),
                                      anew.recommend('003'))
        pd.testing.assert_frame_equal(asked.similar(2**60 + 1),
                                      anew.similar(2**60 + 1))


def test_threads_that_ask_at_once_get_the_same():
    asked, found = artifact_of('FM'), []
    def ask(): found.append(asked.recommend('003').item.tolist())
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads: t.start()
    for t in threads: t.join(60)
    assert len(found) == 8 and all(one == found[0] for one in found)


# The command line

def test_lists_for_all_are_written_whole_with_their_keys(
        tmp_path, capsys, monkeypatch):
    asked = artifact_of('FM')
    asked.save(tmp_path/'run')
    want = asked.recommend_many(k=3)
    for name in 'lists.csv', 'lists.parquet':
        words = ['recommend', str(tmp_path/'run'), '--all', '-k', '3',
                 '--out', str(tmp_path/name)]
        main(words)
        assert '75 items for 25 users' in capsys.readouterr().out
    written = pd.read_csv(tmp_path/'lists.csv', dtype=dict(user=str, label=str))
    pd.testing.assert_frame_equal(written, want, check_dtype=False)
    typed = pd.read_parquet(tmp_path/'lists.parquet')
    pd.testing.assert_frame_equal(typed, want, check_dtype=False)
    assert typed.item.dtype == 'int64' and typed.user[0] == want.user[0]

    def full(*_): raise OSError(28, 'No space left on device', 'lists.parquet')
    before = (tmp_path/'lists.parquet').read_bytes()
    monkeypatch.setattr('recofm.data.written.begun_table', full)
    with pytest.raises(SystemExit, match='No space left'): main(words)
    assert (tmp_path/'lists.parquet').read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ['lists.csv', 'lists.parquet', 'run']


def test_some_users_and_similar_items_are_printed(tmp_path, capsys):
    artifact_of('DeepFM').save(tmp_path/'run')
    words = str(tmp_path/'run'), '-k', '2'
    main(['recommend', *words, '--user', '003', '--user', '011'])
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ['user', 'rank', 'item', 'label', 'score']
    assert [line.split()[0] for line in lines] == ['003'] * 2 + ['011'] * 2
    main(['similar', *words, '--item', str(2**60 + 5), '--by', 'dot'])
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split()[-1] == 'dot' and len(lines) == 2
    for wrong in ['--user', '3'], ['--all'], ['--user', '003', '--all']:
        with pytest.raises(SystemExit): main(['recommend', *words, *wrong])
