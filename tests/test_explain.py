"A score says what it is the sum of, in words that lead back to the cells."
import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recofm import models
from recofm.data.columns import Bucketized, Categorical, Numeric
from recofm.data.numbers import Truth
from recofm.data.schema import Schema
from recofm.data.several import MultiValued
import recofm.serving.explain    # brings `said`
from recofm.models.oracle import randomized
from recofm.serving import Artifact, Catalogue

frame = pd.DataFrame(dict(
    user_id=['a', 'a', 'b', 'b', 'c', 'c'], age=[18., 18, 40, 40, 62, 62],
    movie_id=[10, 20, 20, 30, 30, 40], hour=[*'123123'],
    genres=['Comedy', 'Drama|War', 'Drama|War', 'Comedy|War', 'Comedy|War', ''],
    liked=[1, 0, 1, 1, 0, 1]))
schema = Schema.fit(frame, 'liked', user=['user_id', 'age'], numeric='age',
                    item=['movie_id', 'genres'], multi='genres', dim=4,
                    context='hour')
catalogue = Catalogue.fit(frame, schema, label=None)
own = dict(WideDeep=dict(crosses=[['user_id', 'genres'], ['age', 'hour']]),
           AutoInt=dict(hidden_units=(4,)))


def artifact_of(name, **more):
    model = getattr(models, name)(schema.fields, **own.get(name, {}), **more)
    return Artifact(randomized(model, scale=.1), schema, catalogue)


words = st.text(st.characters(exclude_categories=['Cs']), min_size=1)
keys = st.one_of(st.lists(words, min_size=1, max_size=20),
                 st.lists(st.integers(-2**60, 2**60), min_size=1, max_size=20))


@settings(deadline=None, max_examples=60)
@given(keys)
def test_what_is_encoded_is_read_back(cells):
    cells = pd.Series(cells * 2, dtype=object)
    column = Categorical('x').fit(cells)
    ids, _ = column.encode(cells)
    assert [column.said(i, 1.) for i in ids[:, 0]] == [*map(str, cells)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.sampled_from('abcdefgh'), unique=True, max_size=4),
                min_size=1, max_size=9).filter(any))
def test_several_values_are_read_back(cells):
    texts = pd.Series(['|'.join(cell) for cell in cells] * 2)
    column = MultiValued('x').fit(texts)
    ids, values = column.encode(texts)
    for cell, i, v in zip(cells, ids, values):
        assert {column.said(j, w) for j, w in zip(i, v) if w} == set(cell)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.just(np.nan), st.integers(-10**6, 10**6)),
                min_size=2, max_size=20).filter(lambda x: not all(map(
                    np.isnan, x))))
def test_numbers_are_read_back(cells):
    cells = pd.Series(cells, dtype=float)
    column = Numeric('x').fit(cells)
    for cell, (i,), (v,) in zip(cells, *column.encode(cells)):
        said = column.said(int(i), float(v))
        if np.isnan(cell): assert said == '[missing]'
        else: assert float(said) == pytest.approx(cell, rel=1e-3, abs=abs(
            cells).max() * 1e-3)
    cut = Bucketized('x', 3).fit(cells)
    for cell, (i,) in zip(cells, cut.encode(cells)[0]):
        said = cut.said(int(i), 1.)
        if np.isnan(cell):
            assert said == '[missing]'
            continue
        words = said.split()
        edges = dict(below=[-np.inf, words[-1]], any=[-np.inf, np.inf],
                     **{'from': [words[-1], np.inf]})
        low, high = map(float, edges.get(words[0], [words[0], words[-1]]))
        assert low <= cell + 1e-3 * abs(cell)
        assert cell <= high + 1e-3 * abs(cell)


def test_truths_are_read_back():
    cells = pd.Series([True, False, None], dtype=object)
    column = Truth('x')
    said = [column.said(int(i), 1.) for i, in column.encode(cells)[0]]
    assert said == ['True', 'False', '[missing]']


@pytest.mark.parametrize('name', models.family)
def test_an_explanation_adds_up(name):
    artifact = artifact_of(name)
    row = frame.iloc[3].to_dict()
    p = float(artifact.score([row])[0])
    found = artifact.explain(row)
    assert found.total == pytest.approx(np.log(p / (1 - p)), abs=2e-5)
    asked = artifact.explain(user='b', item=30, context=dict(hour='1'))
    assert asked.total == pytest.approx(found.total, abs=1e-5)
    assert [*asked.terms] == ['part', 'first', 'second', 'contribution']
    assert not asked.terms.contribution.isna().any()


def test_a_rating_is_explained_in_its_unit():
    artifact = artifact_of('FFM', output_activation=None)
    artifact.model.set_target(3.5, 1.2)
    found = artifact.explain(user='a', item=20)
    score = artifact.score([frame.iloc[1].to_dict() | dict(hour=None)])[0]
    assert found.total == pytest.approx(float(score), rel=1e-5)
    assert found.unit == 'liked'


def test_why_this_and_not_that():
    artifact = artifact_of('FM')
    one, other = (artifact.explain(user='c', item=i) for i in (20, 40))
    there, back = one - other, other - one
    assert there.total == pytest.approx(one.total - other.total, abs=1e-5)
    assert back.total == pytest.approx(-there.total, abs=1e-5)
    named = {*there.terms['first']} | {*there.terms.second.dropna()}
    assert any('20' in n for n in named) and any('40' in n for n in named)
    alone = there.terms[there.terms.second.isna()]['first']
    assert not any(n.startswith(('user_id', 'age')) for n in alone)
    assert (one - one).terms.empty


def test_a_pair_is_what_its_vectors_say():
    artifact = artifact_of('FM')
    terms = artifact.explain(user='b', item=30).terms
    x = schema.inputs(frame.iloc[3:4].assign(hour=None))
    _, v = artifact.model.table(x)
    user, film = v.numpy()[0, 0], v.numpy()[0, 2]
    pair = terms[(terms['first'] == 'user_id=b')
                 & (terms.second == 'movie_id=30')]
    assert pair.contribution.item() == pytest.approx(user @ film, rel=1e-5)


def test_strangers_and_hashed_cells_are_named():
    hashed = Schema.fit(frame, 'liked', user='user_id', item='movie_id',
                        dim=4, hashed=dict(user_id=10))
    artifact = Artifact(randomized(models.FM(hashed.fields)), hashed)
    terms = artifact.explain(dict(user_id='nobody', movie_id=10)).terms
    assert 'user_id=nobody' in {*terms['first']}


@pytest.mark.parametrize('cell', [None, np.nan, pd.NA, pd.NaT])
def test_a_missing_cell_is_called_so(cell):
    "In whatever form a table has it, in columns of every kind."
    gaps = frame.assign(city=['x', None, 'y', None, 'x', 'y'])
    for kind in dict(), dict(hashed=dict(city=5)):
        found = Schema.fit(gaps, 'liked', user='user_id', item='movie_id',
                           context=['city', 'age'], dim=4,
                           width=dict(age=10.), **kind)
        artifact = Artifact(randomized(models.FM(found.fields)), found)
        row = dict(user_id='a', movie_id=10, city=cell, age=np.nan)
        named = {*artifact.explain(row).terms['first']}
        assert {'city=[missing]', 'age=[missing]'} <= named


class Plain(models.Recommender):
    "A model of one's own that has neither a table nor a logit."
    def __init__(self, fields, output_activation='sigmoid', **kwargs):
        super().__init__(fields, output_activation, **kwargs)
        self.inner = keras.layers.Embedding(99, 1)

    def call(self, inputs, training=False):
        ids = inputs['ids'] if isinstance(inputs, dict) else inputs
        return keras.ops.sigmoid(keras.ops.mean(self.inner(ids), axis=1))


def test_what_a_model_lacks_is_said():
    artifact = Artifact(Plain(schema.fields), schema, catalogue)
    with pytest.raises(ValueError, match='its logit.*Received Plain'):
        artifact.explain(frame.iloc[0].to_dict())
    for other in artifact, artifact_of('LR'), artifact_of('Poly2'):
        with pytest.raises(ValueError, match='a table of vectors. Received'):
            other.neighbours('movie_id', 10)


def test_what_cannot_be_asked_of_terms():
    artifact = artifact_of('FM')
    with pytest.raises(ValueError, match='batch must be a whole number'):
        artifact.pair_strength(frame, batch=0)
    found = artifact.explain(user='a', item=10)
    with pytest.raises(TypeError, match='unsupported operand'): found - 5


def test_a_score_that_is_more_than_its_logit_is_not_explained_by_it():
    class Doubled(models.FM):
        def call(self, inputs, training=False):
            return 2 * super().call(inputs, training)

    class Told(Doubled):
        def terms(self, inputs): return dict(bias=self.bias)

    inputs = schema.inputs(frame)
    with pytest.raises(ValueError, match='its logit.* Received Doubled'):
        Doubled(schema.fields).explained(inputs)
    assert [*Told(schema.fields).explained(inputs)] == ['bias']
