"Estimators in scikit-learn's hands: its checks, processes and threads."
import random

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from recofm import models
from recofm import sklearn as estimators
from recofm.data import Schema
from recofm.data.matrices import MatrixSchema
from recofm.sklearn import FMClassifier, FMRegressor
from recofm.sklearn import RecommenderClassifier, RecommenderRegressor

short = dict(batch_size=100, epochs=3, learning_rate=.05, random_state=0)
both = RecommenderClassifier, RecommenderRegressor
# as scikit-learn says of its own SGDClassifier and SGDRegressor
unequal = {f'check_sample_weight_equivalence_on_{kind}_data':
           'batches are drawn at random' for kind in ('dense', 'sparse')}


@pytest.fixture
def slow(request):
    if not request.config.getoption('slow'): pytest.skip('--slow runs it')


@pytest.fixture(scope='module')
def songs():
    "Six numbers a song, and whether it is liked: by a product of two."
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6)).astype('float32')
    return X, np.where(X[:, 0] * X[:, 3] > 0, 'yes', 'no')


@pytest.fixture(scope='module')
def views():
    "People, films and ages; people like the films that are even as they are."
    rng = np.random.default_rng(0)
    person, film = rng.integers(0, 30, 400), rng.integers(0, 20, 400)
    frame = pd.DataFrame(dict(
        person=[f'p{i}' for i in person], film=[f'f{i}' for i in film],
        age=20. + person))
    return frame, (person % 2 == film % 2).astype(int)


def failed(found):
    return [f['check_name'] for f in found if f['status'] == 'xfail']


def test_the_interface_is_scikit_learns():
    estimator = RecommenderRegressor(epochs=1)
    assert failed(check_estimator(estimator, legacy=False)) == []


@pytest.mark.parametrize('kind', both)
def test_all_checks_of_estimators_pass(kind, slow):
    found = check_estimator(
        kind(), expected_failed_checks=unequal, on_skip=None)
    assert failed(found) == list(unequal)


def test_a_search_runs_in_processes(songs):
    X, y = songs
    search = GridSearchCV(
        FMClassifier(**short), dict(learning_rate=[.001, .05]), cv=2)
    alone = clone(search).fit(X, y)
    search.set_params(n_jobs=2).fit(X, y)
    assert search.best_params_ == dict(learning_rate=.05)
    for name in ('mean_test_score', 'std_test_score'):
        np.testing.assert_array_equal(
            search.cv_results_[name], alone.cv_results_[name])


def test_threads_take_turns(songs):
    X, y = songs
    alone = cross_val_score(FMClassifier(**short), X, y, cv=2)
    with joblib.parallel_backend('threading', n_jobs=2):
        together = cross_val_score(FMClassifier(**short), X, y, cv=2)
    np.testing.assert_array_equal(together, alone)


def test_columns_are_encoded_in_a_pipeline(views, tmp_path):
    frame, y = views
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown='ignore'), ['person', 'film']),
        (StandardScaler(), ['age']))
    whole = make_pipeline(encoder, FMClassifier(**short | dict(epochs=12)))
    whole.fit(frame[:300], y[:300])
    assert whole.score(frame[300:], y[300:]) > .9
    joblib.dump(whole, tmp_path/'whole.joblib')
    again = joblib.load(tmp_path/'whole.joblib')
    np.testing.assert_array_equal(
        again.predict_proba(frame), whole.predict_proba(frame))


def test_fitting_moves_no_global_generator(songs):
    import tensorflow as tf
    X, y = songs
    tf.random.set_seed(1)
    first = tf.random.uniform([2]).numpy()
    tf.random.set_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    FMClassifier(**short).fit(X, y).predict(X)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    np.testing.assert_array_equal(tf.random.uniform([2]), first)


def test_one_random_state_gives_one_result(songs):
    "Whether a model was traced before, was pickled, or other seeds were used."
    X, y = songs
    estimators.traced_models.clear()
    first = FMClassifier(**short).fit(X, y).decision_function(X)
    other = FMClassifier(**short | dict(random_state=1)).fit(X, y)
    assert (other.decision_function(X) != first).any()
    again = FMClassifier(**short).fit(X, y).decision_function(X)
    np.testing.assert_array_equal(again, first)
    shared = np.random.RandomState(0)
    drawn = [FMClassifier(**short | dict(random_state=shared)).fit(X, y)
             .decision_function(X) for _ in range(2)]
    np.testing.assert_array_equal(drawn[0], first)
    assert (drawn[1] != first).any()


def test_going_on_after_a_pickle_is_going_on(songs, tmp_path):
    X, y = songs
    one = FMClassifier(**short).partial_fit(X[:200], y[:200], ['no', 'yes'])
    joblib.dump(one, tmp_path/'one.joblib')
    two = joblib.load(tmp_path/'one.joblib').partial_fit(X[200:], y[200:])
    one.partial_fit(X[200:], y[200:])
    np.testing.assert_array_equal(
        one.decision_function(X), two.decision_function(X))


def test_weights_are_routed(songs):
    X, y = songs
    weights = np.linspace(0, 1, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        whole = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False),
            FMClassifier(**short).set_fit_request(sample_weight=True))
        whole.fit(X, y, sample_weight=weights)
    scaled = StandardScaler().fit_transform(X)
    by_hand = FMClassifier(**short).fit(scaled, y, weights)
    np.testing.assert_array_equal(
        whole.predict_proba(X), by_hand.predict_proba(scaled))
    plain = FMClassifier(**short).fit(scaled, y).predict_proba(scaled)
    assert (plain != by_hand.predict_proba(scaled)).any()


@pytest.mark.parametrize('model', estimators.without_fields)
def test_the_formula_knows_no_fields(songs, model):
    X, _ = songs
    draw = np.random.default_rng(0)
    one, six = (MatrixSchema.fit(X, groups, 4)
                for groups in ([0] * 6, range(6)))
    nets = [getattr(models, model)(s.fields) for s in (one, six)]
    weights = [draw.normal(size=w.shape)**2 / 9 for w in nets[0].get_weights()]
    for net in nets: net.set_weights(weights)
    p, q = (net(s.inputs(X)).numpy() for net, s in zip(nets, (one, six)))
    assert p.std() > 0
    np.testing.assert_allclose(p, q, rtol=1e-4)


def test_a_class_of_ones_own_is_a_model(songs):
    X, y = songs
    words = short | dict(fields=[0] * 6)
    own = RecommenderClassifier(models.FM, **words).fit(X, y)
    known = FMClassifier(**words).fit(X, y)
    np.testing.assert_array_equal(own.predict_proba(X), known.predict_proba(X))


wrong = {
    'map': (dict(fields=dict(a=3)), 'Expected each of 6 columns in a group'),
    'twice': (dict(fields=dict(a=6, b=[0])), 'Column 0 is in two groups'),
    'model': (dict(model='FMM'), "Received 'FMM' .did you mean 'FM'"),
    'options': (dict(options=dict(K=1)), "FM takes the options k, .*'K'"),
    'optimizer': (dict(optimizer='Adam'), 'Expected an optimizer among Spars'),
    'epochs': (dict(epochs=0), 'epochs must be a whole number of at least 1'),
    'batch': (dict(batch_size=.5), 'batch_size must be a whole number of at'),
    'schema': (dict(schema=['a']), 'schema= expects arguments of Schema.fit'),
    'both': (dict(schema={}, fields=[0]), 'fields= or schema=. Received both')}


@pytest.mark.parametrize('given, said', wrong.values(), ids=wrong)
def test_what_cannot_be_is_said(songs, given, said):
    X, y = songs
    if 'schema' in given: X = pd.DataFrame(X)
    with pytest.raises(ValueError, match=said):
        RecommenderClassifier(**given).fit(X, y)


def test_a_fitted_schema_is_used_as_it_is(views):
    frame, y = views
    words = dict(user='person', item='film', dim=4)
    whole = Schema.fit(frame, **words)
    one = FMRegressor(schema=whole, **short).partial_fit(frame[:50], y[:50])
    assert one.schema_ is whole
    matrix = MatrixSchema.fit(np.eye(3), [0] * 3, 4)
    two = FMRegressor(schema=matrix, **short).fit(np.eye(3), [1., 2, 3])
    assert two.schema_ is matrix


def test_rows_of_a_frame_are_counted_with_their_targets(views):
    frame, y = views
    estimator = FMClassifier(schema=dict(user='person', item='film'))
    with pytest.raises(ValueError, match='inconsistent numbers of samples'):
        estimator.fit(frame, y[:-1])
    with pytest.raises(ValueError, match='requires y to be passed'):
        estimator.fit(frame, None)


@pytest.mark.parametrize('model', models.family)
def test_every_model_learns_from_a_frame(views, slow, model):
    frame, y = views
    words = dict(user=['person', 'age'], item='film', numeric=['age'])
    for kind in both:
        estimator = kind(model, schema=words, **short).fit(frame, y)
        assert np.isfinite(estimator.predict(frame)).all()


named = [e for e in vars(estimators).values() if isinstance(e, type)
         and issubclass(e, both) and e not in both]


@pytest.mark.parametrize('kind', named)
def test_every_named_estimator_learns_from_a_matrix(songs, slow, kind):
    X, y = songs
    target = y if kind.__name__.endswith('Classifier') else X[:, 0] * X[:, 3]
    estimator = kind(**short).fit(X, target)
    first, _, last = estimator.loss_curves_[0]
    assert last < first and np.isfinite(estimator.score(X, target))


def test_every_named_estimator_is_made_alike():
    assert len(named) == 28
    for kind in named:
        assert getattr(estimators, kind.__name__) is kind
        assert kind.__name__.startswith(kind().model)
        assert repr(clone(kind(dim=4))) == f'{kind.__name__}(dim=4)'
