"""What Keras promises of its models, held for those of recofm.

A row of the page "Keras' promises" is a test of this file, or of another that
notes it in the same way. The model of a case is traced once and put back to its
start before each test; only tests that compile another one pay for another."""
import copy
import csv
import json
import pickle
import random
import re
import subprocess
import sys
from functools import cache, cached_property, partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import callbacks as c

import promises
from promises import promise
from recofm import models
from recofm.data import Batches, Field
from recofm.data.batches import slice_inputs
from recofm.models.recommender import RunningAUC
from recofm.training import SparseAdam
from recofm.training.optimizers import SparseLossScale

users = Field('user', 50, 4, side='user')
items = Field('item', 40, 4, side='item')
tags = Field('tags', 8, 4, 'multi', 'item', slots=3)
tower = dict(hidden_units=[8], dnn_dropout=.2, bn_use=True)
two_towers = dict(hidden_units_1=[8], hidden_units_2=[8], gate_units=[8])
options = dict(
    Poly2=dict(buckets=300), NFM=tower, AFM=dict(att_vector=4, dropout=.2),
    WideDeep=tower | dict(crosses=[[0, 1]]), DeepFM=tower, DCN=tower,
    xDeepFM=tower | dict(cin_size=[4]), MLP=tower, NeuMF=tower,
    AutoInt=tower | dict(att_layers=1, att_units=4),
    FinalMLP=two_towers | dict(dnn_dropout=.2, bn_use=True))
size = 32                                          # examples of a batch
examples = 8 * size

# A bias under batch norm has no gradient but rounding: Adam's epsilon must
# be larger than that, or two ways to the same number part.
learner = partial(SparseAdam, .05, epsilon=1e-3)
same = np.testing.assert_array_equal
close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)


def data():
    "Ids, their values with some padding, and a target of both classes."
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, [50, 40], (examples, 2)).T
    ids = np.stack([user, item, *rng.integers(0, 8, (3, examples))], axis=1)
    values = np.ones(ids.shape, 'float32')
    values[:, 2:] = rng.choice([0, .5, 1], (examples, 3))
    y = ((user % 2) ^ (item % 3 > 0)).astype('float32')
    return ids.astype('int32'), values, y[:, None]


ids, values, y = data()


def seed():
    """Draw the same again: `keras.utils.set_random_seed` without TensorFlow's.

    That one throws away what is compiled, and nothing here draws from it."""
    random.seed(0)
    np.random.seed(0)


class Case:
    "A model by its name, and the data that it is tried on."
    def __init__(self, name):
        self.name, _, valued = name.partition(' with ')
        self.kind = getattr(models, self.name)
        self.fields = [users, items, tags] if valued else [users, items]
        self.x = dict(ids=ids, values=values) if valued else ids[:, :2]
        self.y = y

    def plain(self, kind=None, **arguments):
        "A fresh model, the same each time."
        seed()
        arguments = options.get(self.name, {}) | arguments
        return (kind or self.kind)(self.fields, **arguments)

    def fresh(self, kind=None, **compiled):
        "The same, compiled."
        model = self.plain(kind)
        model.compile(**dict(optimizer=learner()) | compiled)
        model.optimizer.build(model.trainable_variables)
        return model

    @cached_property
    def traced(self):
        "A compiled model, and all that training changes, at its start."
        model = self.fresh()
        state = model.variables + model.optimizer.variables
        return model, state, [v.numpy() for v in state]

    @property
    def model(self):
        "The one model that tests share, at its start again."
        model, state, start = self.traced
        seed()
        for variable, value in zip(state, start): variable.assign(value)
        model.stop_training = False
        model._initial_epoch = None      # which Keras keeps once it restored
        return model

    def rows(self, *cut):
        "Some rows of the inputs and of the target."
        return slice_inputs(self.x, slice(*cut)), self.y[slice(*cut)]

    def batches(self):
        "The batches of an epoch in order."
        return [self.rows(i, i + size) for i in range(0, examples, size)]

    def stream(self, *more):
        "The batches as a data set."
        parts = self.x, self.y, *more
        return tf.data.Dataset.from_tensor_slices(parts).batch(size)


@cache
def kept(name): return Case(name)


@pytest.fixture
def case(request): return kept(request.param)


@pytest.fixture(scope='module', autouse=True)
def forgotten():
    yield
    kept.cache_clear()


def fit(model, *data, **options):
    "The history of a fit whose order of examples is the same each time."
    seed()
    if hasattr(data[0], 'shape') or isinstance(data[0], dict):
        options = dict(batch_size=size) | options
    return model.fit(*data, **dict(verbose=0) | options).history


def output(model, x): return model(x).numpy()


def assert_same(first, second, compare=partial(close, atol=1e-5)):
    "Two lists of weights, or two models that have such."
    lists = [m if isinstance(m, list) else m.get_weights()
             for m in (first, second)]
    assert len(lists[0]) == len(lists[1])
    for a, b in zip(*lists): compare(a, b)


def log_loss(p, y):
    "Of each example."
    y = np.ravel(y)
    return -np.log(np.where(y == 1, p[:, 0], 1 - p[:, 0]))


def refused(said, *errors):
    return pytest.raises(errors or ValueError, match=said or None)


def trained(case, **options):
    "The weights of the case's model after a fit."
    model = case.model
    fit(model, case.x, case.y, **options)
    return model.get_weights()


# Loops

@promise('Loops', '`fit`, `evaluate`, `predict`',
         'the loss falls; `evaluate` is the mean log loss of the output, '
         '`predict` the output itself, in the order of the examples',
         'FM, DeepFM, FM with values', each=True)
def test_fit_evaluate_predict(case):
    model = case.model
    first, *_, last = fit(model, case.x, case.y, epochs=6)['loss']
    assert last < first
    p = output(model, case.x)
    loss, _ = model.evaluate(case.x, case.y, verbose=0)
    close(loss, log_loss(p, case.y).mean(), rtol=1e-3)
    close(model.predict(case.x, verbose=0), p)
    close(model.predict(case.x, batch_size=64, verbose=0), p)


@promise('Loops', '`train_on_batch`, `test_on_batch`, `predict_on_batch`',
         'the batches of an epoch by hand give the weights of `fit`; the loss '
         'and the output of a batch are those of `evaluate` and of the model',
         'FM', each=True)
def test_on_batch(case):
    expected, model = trained(case, shuffle=False), case.model
    for batch in case.batches(): model.train_on_batch(*batch)
    assert_same(model, expected)
    x, y = case.rows(size)
    loss, _ = model.test_on_batch(x, y)
    close(loss, model.evaluate(x, y, verbose=0)[0])
    close(model.predict_on_batch(x), output(model, x))


class OwnStep:
    "Mixed in: the training step that Keras' guide writes by hand."
    def train_step(self, data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            p = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=p)
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        for metric in self.metrics:
            shown = metric.name == 'loss'
            metric.update_state(*((loss,) if shown else (y, p)))
        logs = {metric.name: metric.result() for metric in self.metrics}
        return logs | dict(own=loss)


def subclass(kind, *mixed_in):
    "A model whose class has more before it."
    return type(f'Own{kind.__name__}', (*mixed_in, kind), {})


@promise('Loops', 'a `train_step` of one\'s own, in a subclass',
         'that of Keras\' guide: it is called, its logs are the history, its '
         'weights those of the step that it rewrites', 'FM', each=True)
def test_own_train_step(case):
    expected = trained(case, epochs=2)
    model = case.fresh(subclass(case.kind, OwnStep))
    found = fit(model, case.x, case.y, epochs=2)
    assert {'loss', 'own'} < set(found)
    assert_same(model, expected)


@promise('Loops', 'a loop of one\'s own, with `GradientTape`',
         'batch by batch, the penalty in `model.losses` added: the weights of '
         '`fit`', 'DeepFM, FM with values', each=True)
def test_own_loop(case):
    expected, model = trained(case, shuffle=False), case.model
    loss_of = keras.losses.BinaryCrossentropy()
    weights = model.trainable_variables
    for x, y in case.batches():
        with tf.GradientTape() as tape:
            p = model(x, training=True)
            loss = loss_of(y, p) + sum(model.losses)
        model.optimizer.apply(tape.gradient(loss, weights), weights)
    assert_same(model, expected)


@promise('Loops', '`run_eagerly=True`', 'the weights and losses of the '
         'compiled loop', 'DeepFM', each=True)
def test_run_eagerly(case):
    x, y = case.rows(4 * size)
    model, eager = case.model, case.fresh(run_eagerly=True)
    losses = [fit(m, x, y, shuffle=False)['loss'] for m in (model, eager)]
    close(*losses)
    assert_same(model, eager)


@promise('Loops', '`steps_per_execution`', 'the weights and losses of one '
         'step at a time', 'FM', each=True)
def test_steps_per_execution(case):
    several = case.fresh(steps_per_execution=3)
    model = case.model
    losses = [fit(m, case.x, case.y, shuffle=False, epochs=2)['loss']
              for m in (model, several)]
    close(*losses)
    assert_same(model, several)


@promise('Loops', '`jit_compile=True`', 'it trains to the same weights, or is '
         'refused by name before the first step', 'FM', each=True)
def test_jit_compile(case):
    model = case.plain()
    try:
        model.compile(learner(), jit_compile=True)
        fit(model, case.x, case.y, shuffle=False)
    except ValueError as error:
        assert 'jit_compile' in str(error)
    else:
        assert_same(model, trained(case, shuffle=False))


@promise('Loops', '`steps_per_epoch`', 'arrays and a data set without end: so '
         'many steps an epoch', 'FM')
def test_steps_per_epoch(case):
    for given in ((case.x, case.y), (case.stream().repeat(),)):
        model = case.model
        fit(model, *given, steps_per_epoch=3, epochs=2)
        assert int(model.optimizer.iterations) == 6


@promise('Loops', '`initial_epoch`', 'an epoch, and then the second, with one '
         'seed, see the examples in the order of two epochs: the same weights',
         'DeepFM', each=True)
def test_initial_epoch(case):
    expected, model = trained(case, epochs=2), case.model
    fit(model, case.x, case.y)
    fit(model, case.x, case.y, initial_epoch=1, epochs=2)
    assert model.history.epoch == [1]
    assert_same(model, expected)


@promise('Loops', '`validation_split`', 'the last examples are held out '
         'before any shuffling: the history of holding them out by hand',
         'FM', each=True)
def test_validation_split(case):
    first, last = case.rows(192), case.rows(192, None)
    by_hand = fit(case.model, *first, validation_data=last)
    assert fit(case.model, case.x, case.y, validation_split=.25) == by_hand


@promise('Loops', '`validation_data`', '`(x, y)`, `(x, y, weights)`, lists, '
         '`Batches` and a data set: one and the same `val_loss`',
         'FM')
def test_validation_data(case):
    x, y = case.rows(100)
    expected = None
    parts = tf.data.Dataset.from_tensor_slices((x, y)).batch(100)
    ones = np.ones(100)
    forms = ((x, y), [x, y], (x, list(y)), (x, y, ones), [x, y, list(ones)],
             Batches(x, y, 100), parts)
    for form in forms:
        found = fit(case.model, case.x, case.y, validation_data=form)
        expected = expected or found
        close(found['val_loss'], expected['val_loss'])
        close(found['val_auc'], expected['val_auc'])


@promise('Loops', '`validation_steps`, `validation_freq`', 'of arrays, '
         '`val_loss` is that of the first batches; it is there in the epochs '
         'that were asked for', 'FM')
def test_validation_steps(case):
    model, held = case.model, dict(validation_data=(case.x, case.y))
    held |= dict(validation_batch_size=size, validation_steps=2)
    found = fit(model, case.x, case.y, **held)
    few, _ = model.evaluate(*case.rows(2 * size), verbose=0)
    close(found['val_loss'], [few])
    found = fit(model, case.x, case.y, epochs=4, validation_freq=2, **held)
    assert [len(found[name]) for name in ('loss', 'val_loss')] == [4, 2]


@promise('Loops', '`class_weight`', 'the weights of the same weight for each '
         'example of a class', 'FM', each=True)
def test_class_weight(case):
    weights = np.where(case.y == 1, 3, 1)
    expected = trained(case, shuffle=False, sample_weight=weights)
    weighted = trained(case, shuffle=False, class_weight={0: 1, 1: 3})
    assert_same(weighted, expected)


@promise('Loops', '`sample_weight`', 'Keras\' mean of the weighted losses, in '
         'training and in `evaluate`; lists and columns of weights; weights '
         'that are negative, all zero or NaN are refused', 'FM')
def test_sample_weight(case):
    model, weights = case.model, np.arange(examples) / examples
    losses = weights * log_loss(output(model, case.x), case.y)
    for form in (list(weights), weights[:, None]):
        given = dict(sample_weight=form, verbose=0)
        loss, _ = model.evaluate(case.x, case.y, **given)
        close(loss, losses.mean(), rtol=1e-3)
    fitted = fit(model, case.x, case.y, batch_size=examples,
                 sample_weight=weights)
    close(fitted['loss'], losses.mean(), rtol=1e-3)
    for odd in (-weights - 1, 0 * weights, weights + np.nan):
        with refused('sample_weight'):
            fit(model, case.x, case.y, sample_weight=odd)
        with refused('sample_weight'):
            model.evaluate(case.x, case.y, sample_weight=odd, verbose=0)


@promise('Loops', '`fit` on one chunk of data after another',
         'chunks of eight lengths trace the step four times at most', 'FM')
def test_traces_are_bounded(case):
    traces = []

    class Counted:
        def train_step(self, data):
            traces.append(1)
            return super().train_step(data)
    model = case.fresh(subclass(case.kind, Counted))
    for more in range(8): fit(model, *case.rows(2 * size + more))
    assert len(traces) <= 4


# The model inside `fit`

def nothing(batch, logs): pass


def at_end_of_epoch(use, batchwise=False):
    "A callback; if it sees batches, steps do not run in groups."
    seeing = dict(on_train_batch_end=nothing) if batchwise else {}
    return c.LambdaCallback(on_epoch_end=lambda *_: use(), **seeing)


def ways(test): return pytest.mark.parametrize('batchwise', [False, True])(test)


@ways
@promise('The model inside `fit`', '`predict` at the end of an epoch',
         'arrays and a data set: all rows, equal to the model\'s output then; '
         'with steps in groups and one by one', 'FM', each=True)
def test_predict_inside(case, batchwise):
    model, few = case.model, dict(batch_size=64, verbose=0)

    def use():
        p = output(model, case.x)
        whole = model.predict(case.x, **few)
        streamed = model.predict(case.stream(), verbose=0)
        assert (whole.shape, streamed.shape) == (p.shape, p.shape)
        close(whole, p)
        close(streamed, p)
        done.append(1)
    done, seen = [], [at_end_of_epoch(use, batchwise)]
    fit(model, case.x, case.y, epochs=2, callbacks=seen)
    assert len(done) == 2
    close(model.predict(case.x, **few), output(model, case.x))


@ways
@promise('The model inside `fit`', '`evaluate` at the end of an epoch',
         'arrays and a data set: what it says after `fit`; the training goes '
         'on as if nothing had been asked', 'FM', each=True)
def test_evaluate_inside(case, batchwise):
    def ask():
        forms = (case.x, case.y), (case.stream(),)
        return [model.evaluate(*form, verbose=0)[0] for form in forms]
    expected, model = trained(case, epochs=2), case.model
    found, seen = [], []
    seen = [at_end_of_epoch(lambda: found.append(ask()), batchwise)]
    fit(model, case.x, case.y, epochs=2, callbacks=seen)
    assert_same(model, expected)
    close(found[-1], ask())
    close(*found[-1])


@ways
@promise('The model inside `fit`', '`train_on_batch` at the end of an epoch',
         'one step, on the examples that it is given: that of a model with '
         'the same weights outside', 'FM', each=True)
def test_train_on_batch_inside(case, batchwise):
    few, model = case.rows(8), case.model
    fit(model, case.x, case.y)
    model.train_on_batch(*few)
    expected, model = model.get_weights(), case.model
    seen = [at_end_of_epoch(lambda: model.train_on_batch(*few), batchwise)]
    fit(model, case.x, case.y, callbacks=seen)
    assert int(model.optimizer.iterations) == examples // size + 1
    assert_same(model, expected)


# Inputs

@promise('Inputs', 'arrays, lists, tensors', 'NumPy of several types of '
         'number, lists and TensorFlow\'s tensors: one output, and one '
         'training', 'FM with values', each=True)
def test_arrays_and_tensors(case):
    def cast(x, to):
        if not isinstance(x, dict): return to(x, 'int64')
        return dict(ids=to(x['ids'], 'int64'), values=to(x['values']))
    model, p, expected = case.model, None, trained(case)
    listed = lambda array, *_: array.tolist()
    for to in (np.asarray, tf.constant, listed):
        x, target = cast(case.x, to), to(case.y)
        model = case.model
        close(model.predict(x, verbose=0), output(model, case.x))
        seed()
        model.fit(x, target, size, verbose=0)
        assert_same(model, expected)


def generator(batches): yield from batches


def in_order(case): return trained(case, shuffle=False)


@promise('Inputs', '`tf.data.Dataset`', 'of `(x, y)` and of `(x, y, weights)`: '
         'trained as on arrays in the same order, evaluated and predicted '
         'alike', 'FM with values', each=True)
def test_data_set(case):
    expected = in_order(case)
    for stream in (case.stream(), case.stream(np.ones(examples, 'float32'))):
        model = case.model
        fit(model, stream)
        assert_same(model, expected)
    close(model.predict(case.stream(), verbose=0), output(model, case.x))
    by_stream = model.evaluate(case.stream(), verbose=0)
    close(by_stream, model.evaluate(case.x, case.y, verbose=0))


@promise('Inputs', 'a Python generator', 'trained as on arrays in the same '
         'order, evaluated and predicted alike', 'FM', each=True)
def test_generator(case):
    expected, model = in_order(case), case.model
    fit(model, generator(case.batches()))
    assert_same(model, expected)
    p = model.predict(generator((x,) for x, _ in case.batches()), verbose=0)
    close(p, output(model, case.x))
    loss, _ = model.evaluate(generator(case.batches()), verbose=0)
    close(loss, model.evaluate(case.x, case.y, verbose=0)[0])


@promise('Inputs', 'targets of shape (examples,)', 'arrays, a batch and a data '
         'set in turn', 'FM')
def test_flat_targets(case):
    model, flat = case.fresh(), case.y[:, 0]
    stream = tf.data.Dataset.from_tensor_slices((case.x, flat)).batch(size)
    fit(model, case.x, flat, class_weight={0: 1, 1: 1})
    model.train_on_batch(case.x[:size], flat[:size])
    fit(model, stream)
    assert int(model.optimizer.iterations) == 2 * examples // size + 1


class Own(keras.utils.PyDataset):
    "The batches of a list."
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self): return len(self.batches)

    def __getitem__(self, i): return self.batches[i]


@promise('Inputs', '`PyDataset`, and `Batches`', 'trained as on arrays in the '
         'same order, evaluated and predicted alike', 'FM',
         each=True)
def test_py_dataset(case):
    expected = in_order(case)
    for given in (Own(case.batches()), Batches(case.x, case.y, size)):
        model = case.model
        fit(model, given, shuffle=False)
        assert_same(model, expected)
        close(model.predict(given, verbose=0), output(model, case.x))
        loss, _ = model.evaluate(given, verbose=0)
        close(loss, model.evaluate(case.x, case.y, verbose=0)[0])


@promise('Inputs', 'named columns, one array each', 'a data set, a generator '
         'and a `PyDataset` of `dict(user=.., item=..)` hear that ids come in '
         'one matrix', 'FM')
def test_named_columns(case):
    named = [(dict(user=x[:, 0], item=x[:, 1]), y) for x, y in case.batches()]
    parts = dict(user=ids[:, 0], item=ids[:, 1]), y
    def streams():
        yield tf.data.Dataset.from_tensor_slices(parts).batch(size)
        yield generator(named)
        yield Own(named)
    model = case.model
    for verb in (model.fit, model.evaluate, model.predict):
        for stream in streams():
            with refused("'ids'"): verb(stream, verbose=0)


@promise('Inputs', 'ids that are no ids', 'float ids, and ids outside a '
         'field, are refused as a `ValueError` that says so, from arrays, a '
         'data set and a generator; no weight moves', 'FM')
def test_odd_ids(case):
    def streams(x):
        yield x, case.y
        yield (tf.data.Dataset.from_tensor_slices((x, case.y)).batch(size),)
        yield (generator([(x[:size], case.y[:size])]),)
    model, start = case.model, case.model.get_weights()
    for x, said in ((case.x / 1, 'whole numbers. Received float'),
                    (case.x + [0, 40], "Field 'item': expected ids from 0")):
        for stream in streams(x):
            with refused(said): fit(model, *stream)
    assert_same(model, start, same)


# Callbacks

def with_callback(model, case, *called, **options):
    "The history of a fit with callbacks."
    return fit(model, case.x, case.y, callbacks=list(called), **options)


@promise('Callbacks', '`EarlyStopping(restore_best_weights=True)`',
         'it stops after its patience, with the weights of the best epoch',
         'FM', each=True)
def test_early_stopping(case):
    expected, model = trained(case), case.model
    held = dict(validation_data=(case.x, case.y), epochs=9)
    stop = c.EarlyStopping(patience=2, min_delta=9, restore_best_weights=True)
    assert len(with_callback(model, case, stop, **held)['loss']) == 3
    assert_same(model, expected, same)


@promise('Callbacks', '`ModelCheckpoint(save_weights_only=True)`',
         'a file each epoch, or each so many batches, whose weights are those '
         'of that moment', 'DeepFM', each=True)
def test_checkpoint_of_weights(case, tmp_path):
    by_epoch = c.ModelCheckpoint(tmp_path/'{epoch}.weights.h5',
                                 save_weights_only=True)
    model = case.model
    with_callback(model, case, by_epoch, epochs=2)
    last, first = model.get_weights(), trained(case)
    for number, expected in ((2, last), (1, first)):
        model.load_weights(tmp_path/f'{number}.weights.h5')
        assert_same(model, expected, same)
    by_batch = c.ModelCheckpoint(tmp_path/'at-{batch}.weights.h5', save_freq=3,
                                 save_weights_only=True)
    with_callback(case.model, case, by_batch)
    assert len(list(tmp_path.glob('at-*'))) == examples // size // 3


@promise('Callbacks', '`ModelCheckpoint` of the whole model',
         '`save_best_only`: the file holds the best epoch\'s model, which '
         'gives its scores', 'DeepFM', each=True)
def test_checkpoint_of_the_model(case, tmp_path):
    best = c.ModelCheckpoint(tmp_path/'best.keras', 'loss', mode='max',
                             save_best_only=True)
    with_callback(case.model, case, best, epochs=3)
    model = case.model
    fit(model, case.x, case.y)
    again = keras.saving.load_model(tmp_path/'best.keras')
    close(output(again, case.x), output(model, case.x))


@promise('Callbacks', '`BackupAndRestore`', 'a training that broke off goes '
         'on where it was, to the weights of one that did not', 'DeepFM',
         each=True)
def test_backup_and_restore(case, tmp_path):
    expected = trained(case, epochs=3)

    def fail(epoch, _=None):
        if epoch == 2: raise OSError('a power cut')
    backup = partial(c.BackupAndRestore, tmp_path/'backup')
    with refused('power cut', OSError):
        cut = c.LambdaCallback(on_epoch_begin=fail)
        with_callback(case.model, case, backup(), cut, epochs=3)
    model = case.model
    with_callback(model, case, backup(), epochs=3)
    assert model.history.epoch == [2]
    assert_same(model, expected)


@promise('Callbacks', '`ReduceLROnPlateau`', 'it lowers the learning rate '
         'after its patience', 'FM')
def test_plateau(case):
    model = case.model
    plateau = c.ReduceLROnPlateau('loss', .1, patience=1, min_delta=9)
    found = with_callback(model, case, plateau, epochs=3)
    close(float(model.optimizer.learning_rate), 5e-4)
    close(found['learning_rate'], [.05, .05, .005])


@promise('Callbacks', '`LearningRateScheduler`', 'each epoch has its rate; '
         'with a rate of 0 no weight that is trained moves', 'FM')
def test_scheduler(case):
    model, start = case.model, case.model.get_weights()
    found = with_callback(model, case, c.LearningRateScheduler(lambda _: 0.))
    assert found['learning_rate'] == [0]
    assert_same(model, start, same)


@promise('Callbacks', '`CSVLogger`', 'a line an epoch, with the numbers of the '
         'history', 'FM')
def test_csv_logger(case, tmp_path):
    log = tmp_path/'log.csv'
    history = with_callback(case.model, case, c.CSVLogger(log), epochs=2)
    lines = list(csv.DictReader(log.open()))
    for name, numbers in history.items():
        close([float(line[name]) for line in lines], numbers)


@promise('Callbacks', '`TerminateOnNaN`', 'it stops at the batch whose loss is '
         'NaN', 'FM')
def test_terminate(case):
    model = case.model
    model.bias.assign(np.nan)
    with_callback(model, case, c.TerminateOnNaN(), epochs=3)
    assert int(model.optimizer.iterations) == 1


@promise('Callbacks', 'one\'s own, at each batch', '`LambdaCallback` and a '
         'subclass see every batch, in order, with its logs; the weights are '
         'those without it', 'FM', each=True)
def test_every_batch(case):
    expected, model, seen, begun = trained(case, epochs=2), case.model, [], []

    class Begun(c.Callback):
        def on_train_batch_begin(self, batch, logs=None): begun.append(batch)
    note = lambda batch, logs: seen.append((batch, set(logs)))
    each = c.LambdaCallback(on_train_batch_end=note)
    with_callback(model, case, each, Begun(), epochs=2)
    assert begun == [*range(examples // size)] * 2
    assert seen == [(batch, {'loss', 'auc'}) for batch in begun]
    assert_same(model, expected, same)


@promise('Callbacks', '`History`', '`fit` returns it: each name that Keras '
         'gives, one number an epoch, the last loss that of the model', 'FM')
def test_history(case):
    model = case.model
    found = fit(model, case.x, case.y, epochs=2,
                validation_data=(case.x, case.y))
    assert set(found) == {'loss', 'auc', 'val_loss', 'val_auc'}
    assert model.history.history == found and model.history.epoch == [0, 1]
    loss, auc = model.evaluate(case.x, case.y, verbose=0)
    close([found['val_loss'][-1], found['val_auc'][-1]], [loss, auc])


@promise('Callbacks', '`ProgbarLogger`', '`verbose=1` shows epochs, steps and '
         'numbers, `verbose=2` a line an epoch', 'FM')
def test_progress(case, capsys):
    steps = f'{examples // size}/{examples // size}'
    for verbose in (1, 2):
        fit(case.model, case.x, case.y, epochs=2, verbose=verbose)
        shown = capsys.readouterr().out
        for word in ('Epoch 1/2', 'Epoch 2/2', steps, 'loss: ', 'auc: '):
            assert word in shown
    assert len(shown.splitlines()) == 4


@promise('Callbacks', '`TensorBoard`', 'it writes the losses of training and '
         'validation', 'FM', needs='tensorboard')
def test_tensorboard(case, tmp_path):
    held = dict(validation_data=(case.x, case.y))
    with_callback(case.model, case, c.TensorBoard(tmp_path), **held)
    for part in ('train', 'validation'):
        assert list((tmp_path/part).glob('events*'))


@promise('Callbacks', '`SwapEMAWeights`', 'with Keras\' `Adam(use_ema=True)` '
         'it leaves the averaged weights; `SparseAdam` refuses `use_ema` by '
         'name', 'FM')
def test_swap_ema(case):
    with refused('use_ema'): SparseAdam(use_ema=True)
    model = case.fresh(optimizer=keras.optimizers.Adam(.05, use_ema=True))
    found = []
    averages = at_end_of_epoch(lambda: found.extend(
        v.numpy() for v in model.optimizer._model_variables_moving_average))
    with_callback(model, case, averages, c.SwapEMAWeights(swap_on_epoch=True))
    for v, average in zip(model.trainable_variables, found):
        close(v.numpy(), average)


# Losses and metrics

@promise('Losses and metrics', 'any loss of Keras', 'seven losses, by name and '
         'as objects, and a function of one\'s own: the loss of Keras on the '
         'output', 'FM')
def test_any_loss(case):
    model = case.plain()
    p = output(model, case.x)
    kinds = ('BinaryCrossentropy', 'BinaryFocalCrossentropy', 'Huber',
             'MeanSquaredError', 'MeanAbsoluteError', 'Poisson', 'LogCosh')
    own = lambda y, p: tf.reduce_mean(abs(y - p)**3, axis=-1)
    losses = [getattr(keras.losses, kind)() for kind in kinds]
    for loss in (*losses, 'hinge', own):
        model.compile(SparseAdam(), loss, metrics=[], run_eagerly=True)
        found = model.test_on_batch(case.x, case.y)
        close(found, np.mean(keras.losses.get(loss)(case.y, p)), rtol=1e-3)
        model.train_on_batch(*case.rows(size))
        p = output(model, case.x)


@promise('Losses and metrics', 'any metric of Keras', 'metrics by name and as '
         'objects, and weighted ones, are those of the output', 'FM')
def test_any_metric(case):
    model, own = case.plain(), keras.metrics.Precision(.4, name='own')
    model.compile(metrics=['accuracy', own], run_eagerly=True,
                  weighted_metrics=['mse'])
    p, y = output(model, case.x)[:, 0], case.y[:, 0]
    weights = np.arange(examples)
    found = model.evaluate(case.x, case.y, sample_weight=weights, verbose=0,
                           return_dict=True)
    close(found['accuracy'], ((p > .5) == y).mean())
    if (p > .4).any(): close(found['own'], y[p > .4].mean())
    errors = weights * (p - y)**2
    close(found['mse'], errors.sum() / weights.sum(), rtol=1e-3)


@promise('Losses and metrics', '`BinaryCrossentropy(from_logits=True)`',
         'on scores (`output_activation=None`): the log loss; AUC, by name, '
         'of Keras and as `RunningAUC`, within .01 of scikit-learn\'s', 'FM')
def test_from_logits(case):
    from sklearn.metrics import roc_auc_score
    model = case.plain(output_activation=None)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.table.table.assign(np.random.default_rng(0).normal(
        size=model.table.table.shape))
    scores = output(model, case.x)
    exact = roc_auc_score(case.y, scores)
    p = 1 / (1 + np.exp(-scores))
    by_keras = keras.metrics.AUC(from_logits=True)
    for metric in ('AUC', by_keras, RunningAUC()):
        model.compile(SparseAdam(), loss, [metric], run_eagerly=True)
        found, auc = model.test_on_batch(case.x, case.y)
        close(found, log_loss(p, case.y).mean(), rtol=1e-3)
        assert abs(auc - exact) < .01


@promise('Losses and metrics', 'a sigmoid of another name',
         '`output_activation=tf.nn.sigmoid` makes probabilities: log loss and '
         'AUC by default', 'FM')
def test_another_sigmoid(case):
    for sigmoid in (tf.nn.sigmoid, keras.activations.sigmoid, 'sigmoid'):
        model = case.plain(output_activation=sigmoid)
        model.compile(run_eagerly=True)
        p = output(model, case.x)
        assert ((p > 0) & (p < 1)).all()
        found = model.evaluate(case.x, case.y, verbose=0, return_dict=True)
        assert set(found) == {'loss', 'auc'}
        close(found['loss'], log_loss(p, case.y).mean(), rtol=1e-3)


@promise('Losses and metrics', 'targets outside [0, 1]', 'log loss and focal '
         'loss, by name and as objects, refuse them alike', 'FM')
def test_targets_outside(case):
    model, known = case.plain(), keras.losses
    for loss in ('binary_crossentropy', 'binary_focal_crossentropy',
                 known.BinaryCrossentropy(), known.BinaryFocalCrossentropy()):
        model.compile(SparseAdam(), loss, metrics=[])
        for verb in (model.fit, model.evaluate):
            with refused('0, 1. *Received 1 to 5|targets in'):
                verb(case.x, case.y * 4 + 1, verbose=0)


@promise('Losses and metrics', 'a chunk with one class', 'its AUC says '
         'nothing, and the training goes on: arrays, a data set and a batch',
         'FM')
def test_one_class(case):
    model, ones = case.model, np.ones((examples, 1), 'float32')
    few = tf.data.Dataset.from_tensor_slices((case.x, ones)).batch(size)
    model.train_on_batch(slice_inputs(case.x, slice(size)), ones[:size])
    fit(model, few)
    fit(model, case.x, ones)
    assert int(model.optimizer.iterations) == 2 * examples // size + 1


# Strategies

@promise('Strategies', '`OneDeviceStrategy`', 'made, compiled and trained in '
         'its scope: the weights of a training without', 'FM', each=True)
def test_one_device(case):
    expected = trained(case, epochs=2, shuffle=False)
    with tf.distribute.OneDeviceStrategy('/cpu:0').scope():
        model = case.fresh()
    fit(model, case.x, case.y, epochs=2, shuffle=False)
    assert_same(model, expected)


# Formats

@promise('Formats', '`save`, `load_model`: `.keras`', 'arguments, scores and '
         'the optimizer\'s state come back, and a training goes on to the '
         'same weights', 'FM with values', each=True)
def test_keras_file(case, tmp_path):
    model = case.model
    fit(model, case.x, case.y)
    model.save(tmp_path/'model.keras')
    again = keras.saving.load_model(tmp_path/'model.keras')
    assert again.get_config() == model.get_config()
    same(output(again, case.x), output(model, case.x))
    for a, b in zip(model.optimizer.variables, again.optimizer.variables):
        same(a.numpy(), b.numpy())


@promise('Formats', '`save_weights`, `load_weights`: `.weights.h5`',
         'another model made alike has its scores', 'DeepFM', each=True)
def test_weights_file(case, tmp_path):
    model, other = case.model, case.plain()
    fit(model, case.x, case.y)
    model.save_weights(tmp_path/'model.weights.h5')
    other.load_weights(tmp_path/'model.weights.h5')
    same(output(other, case.x), output(model, case.x))


@promise('Formats', 'weights of another model', 'DeepFM\'s into an FM, and '
         'those of other fields, are refused, from a file and from a list',
         'FM')
def test_foreign_weights(case, tmp_path):
    wider = models.FM([users, Field('item', 41, 4)])
    for other in (kept('DeepFM').plain(), wider):
        model, start = case.plain(), case.plain().get_weights()
        other.save_weights(tmp_path/'other.weights.h5')
        with refused(''): model.load_weights(tmp_path/'other.weights.h5')
        with refused(''): model.set_weights(other.get_weights())
        assert_same(model, start, same)


@promise('Formats', 'the old `.h5`', 'it comes back with its scores, or is '
         'refused by name', 'FM')
def test_old_file(case, tmp_path):
    model = case.plain()
    try:
        model.save(tmp_path/'model.h5')
        again = keras.saving.load_model(tmp_path/'model.h5')
    except (ValueError, NotImplementedError) as error:
        assert 'h5' in str(error).lower()
    else:
        same(output(again, case.x), output(model, case.x))


def served(folder, case):
    "What a SavedModel's signature takes, and the first of what it gives."
    signature = tf.saved_model.load(str(folder)).signatures['serving_default']
    taken = signature.structured_input_signature[1]
    parts = case.x if isinstance(case.x, dict) else dict(ids=case.x)
    assert set(taken) == set(parts)
    fed = {name: tf.constant(part[:3]) for name, part in parts.items()}
    (p,) = signature(**fed).values()
    return {name: spec.dtype for name, spec in taken.items()}, p


def assert_served(folder, case, model):
    types, p = served(folder, case)
    assert types['ids'] == tf.int32
    assert types.get('values', tf.float32) == tf.float32
    close(p, output(model, case.x)[:3])


@promise('Formats', '`model.export(folder)`', 'a SavedModel with inputs `ids`, '
         'int32, and `values`, float32, for any number of rows; its scores are '
         'the model\'s', 'FM', each=True)
def test_export(case, tmp_path):
    model = case.plain()
    model.export(tmp_path/'served', verbose=False)
    assert_served(tmp_path/'served', case, model)


@promise('Formats', '`tf.saved_model.save`', 'the same', 'FM with values',
         each=True)
def test_saved_model(case, tmp_path):
    model = case.plain()
    tf.saved_model.save(model, str(tmp_path/'served'))
    assert_served(tmp_path/'served', case, model)


@promise('Formats', '`model.export(file, format=\'onnx\')`', 'the scores of '
         'onnxruntime are the model\'s', 'FM with values', each=True,
         needs='onnx tf2onnx onnxruntime')
def test_onnx(case, tmp_path):
    from onnxruntime import InferenceSession
    model, file = case.plain(), str(tmp_path/'model.onnx')
    model.export(file, format='onnx', verbose=False)
    session = InferenceSession(file)
    parts = case.x if isinstance(case.x, dict) else dict(ids=case.x)
    assert {i.name for i in session.get_inputs()} == set(parts)
    close(session.run(None, parts)[0], output(model, case.x))


@promise('Formats', 'formats that nobody has tried', '`litert`, `openvino`, '
         '`torch` and a word that is none are refused by name, and no file is '
         'left', 'FM')
def test_other_formats(case, tmp_path):
    model = case.plain()
    names = dict(litert='model.tflite', openvino='model.xml', torch='model.pt2',
                 paper='model')
    for format, name in names.items():
        with refused(f"Received.*{format}"):
            model.export(tmp_path/name, format=format)
    assert not list(tmp_path.iterdir())


@promise('Formats', '`to_json`, `model_from_json`', 'a model of the same '
         'arguments; with the weights, of the same scores', 'FM', each=True)
def test_json(case):
    model = case.plain()
    again = keras.models.model_from_json(model.to_json())
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    again.set_weights(model.get_weights())
    same(output(again, case.x), output(model, case.x))


@promise('Formats', 'a layer of a functional model', '`keras.Model(inputs, '
         'model(inputs))` has its scores, trains, is saved and loaded',
         'FM', each=True)
def test_functional(case, tmp_path):
    part = case.plain()
    inputs = part.symbolic_inputs()
    model = keras.Model(inputs, part(inputs))
    close(model.predict(case.x, verbose=0), output(part, case.x))
    model.compile(learner(), 'binary_crossentropy', run_eagerly=True)
    first, last = fit(model, *case.rows(64), epochs=2)['loss']
    assert last < first
    model.save(tmp_path/'model.keras')
    again = keras.saving.load_model(tmp_path/'model.keras')
    close(output(again, case.x), output(part, case.x))


in_a_fresh_process = """
import sys
{line}
import keras, numpy as np
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[2], model(np.load(sys.argv[3])))"""
lines = 'from recofm.models import FM', 'import recofm.models'


def in_a_process(line, folder):
    "Start a process that loads the model of a folder."
    names = 'model.keras', 'p.npy', 'x.npy'
    command = [sys.executable, '-c', in_a_fresh_process.format(line=line)]
    command += [folder/name for name in names]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


@promise('Formats', '`load_model` in a fresh process', 'a file of a DeepFM '
         'after `from recofm.models import FM` alone; the slow run: after '
         '`import recofm.models` alone, too', 'DeepFM')
@pytest.mark.parametrize('line', [
    lines[0], pytest.param(lines[1], marks=pytest.mark.slow)])
def test_fresh_process(case, line, tmp_path):
    model = case.fresh()
    model.save(tmp_path/'model.keras')
    np.save(tmp_path/'x.npy', case.x)
    process = in_a_process(line, tmp_path)
    try: _, said = process.communicate(timeout=120)
    finally: process.kill()
    assert process.returncode == 0, said.decode()[-500:]
    close(np.load(tmp_path/'p.npy'), output(model, case.x))


# Copies

def first_layer(model):
    return next(layer for layer in model.layers if layer.weights)


@promise('Copies', '`get_config`, `from_config`', 'a model of the same '
         'arguments, and no weight of the first', 'FM, DeepFM', each=True)
def test_config(case):
    model = case.plain()
    again = type(model).from_config(model.get_config())
    assert again.get_config() == model.get_config()
    json.dumps(model.get_config())
    assert not {id(v) for v in again.weights} & {id(v) for v in model.weights}
    assert [v.shape for v in again.weights] == [v.shape for v in model.weights]


@promise('Copies', '`clone_model`', 'a fresh model of the same arguments, '
         'which trains', 'FM', each=True)
def test_clone(case):
    model = case.model
    before = model.get_weights()
    twin = keras.models.clone_model(model)
    assert twin.get_config() == model.get_config()
    twin.compile(learner(), run_eagerly=True)
    start = twin.get_weights()
    fit(twin, *case.rows(2 * size))
    assert any((a != b).any() for a, b in zip(start, twin.get_weights()))
    assert_same(model, before, same)


@promise('Copies', '`get_weights`, `set_weights`', 'another model has its '
         'scores; a list that is too short is refused', 'DeepFM', each=True)
def test_weights(case):
    model, other = case.model, case.plain()
    fit(model, case.x, case.y)
    other.set_weights(model.get_weights())
    same(output(other, case.x), output(model, case.x))
    with refused(''): other.set_weights(model.get_weights()[1:])


def copied_by_pickle(model): return pickle.loads(pickle.dumps(model))


def assert_of_its_own(case, copied):
    "The copy has the scores, the compilation and a life of its own."
    model = case.model
    fit(model, case.x, case.y)
    twin, p = copied(model), output(model, case.x)
    same(output(twin, case.x), p)
    assert int(twin.optimizer.iterations) == examples // size
    twin.run_eagerly = True                              # no need to trace it
    twin.train_on_batch(*case.rows(size))
    same(output(model, case.x), p)
    assert (output(twin, case.x) != p).any()


@promise('Copies', '`copy.copy`, `copy.deepcopy`', 'scores, compilation and '
         'the optimizer\'s state; a deep copy trained does not move the first',
         'DeepFM', each=True)
def test_copy(case):
    same(output(copy.copy(case.model), case.x), output(case.model, case.x))
    assert_of_its_own(case, copy.deepcopy)


@promise('Copies', '`pickle`', 'scores, compilation and the optimizer\'s '
         'state; the copy trained does not move the first', 'DeepFM',
         each=True)
def test_pickle(case): assert_of_its_own(case, copied_by_pickle)


@promise('Copies', '`trainable = False`', 'a layer that is held fast does not '
         'move, and is held fast in what is saved and loaded, pickled and '
         'cloned', 'FM', each=True)
def test_trainable(case, tmp_path):
    model = case.plain()
    first_layer(model).trainable = False
    model.compile(learner(), run_eagerly=True)
    before = first_layer(model).get_weights()
    model.train_on_batch(*case.rows(size))
    assert_same(first_layer(model), before, same)
    model.save(tmp_path/'model.keras')
    copies = (keras.saving.load_model(tmp_path/'model.keras'),
              copied_by_pickle(model), keras.models.clone_model(model))
    def moving(model):
        paths = [v.path.partition('/')[2] for v in model.trainable_variables]
        return [re.sub(r'_\d+', '', path) for path in paths]
    for again in copies:
        assert not first_layer(again).trainable
        assert moving(again) == moving(model)


@promise('Copies', 'dropout goes on where it was', 'a training that is saved '
         'after an epoch, loaded and resumed has the weights of one that was '
         'not interrupted', 'DeepFM', each=True)
def test_resumed(case, tmp_path):
    model, order = case.model, dict(shuffle=False)
    fit(model, case.x, case.y, epochs=2, **order)
    expected, model = model.get_weights(), case.model
    fit(model, case.x, case.y, **order)
    model.save(tmp_path/'model.keras')
    random.seed(1)
    again = keras.saving.load_model(tmp_path/'model.keras')
    again.run_eagerly = True                             # no need to trace it
    fit(again, case.x, case.y, **order)
    assert_same(again, expected)


# Tuners

def sizes_of(build, case):
    "The loss of a model of each size, made from the configuration of one."
    config = case.plain().get_config()
    for k in (2, 3):
        model = build(config | dict(k=k))
        model.compile(learner(), run_eagerly=True)
        yield model, fit(model, *case.rows(2 * size))['loss'][-1]


@promise('Tuners', 'a loop over `get_config`', 'one argument changed, the '
         'others kept: models of other sizes, which train', 'FM')
def test_tuner_by_hand(case):
    found = list(sizes_of(case.kind.from_config, case))
    assert np.isfinite([loss for _, loss in found]).all()
    small, large = [model.count_params() for model, _ in found]
    assert large - small == 90


@promise('Tuners', '`keras_tuner`', 'a random search over the length of the '
         'vectors finds a model, which predicts', 'FM', needs='keras_tuner')
def test_keras_tuner(case, tmp_path):
    import keras_tuner

    def build(hp):
        model = models.FM(case.fields, k=hp.Choice('k', [2, 3]))
        model.compile(SparseAdam(hp.Choice('rate', [.01, .05])))
        return model
    search = keras_tuner.RandomSearch(build, 'val_loss', max_trials=2,
                                      directory=tmp_path, overwrite=True)
    search.search(case.x, case.y, batch_size=size, verbose=0,
                  validation_data=(case.x, case.y))
    (best,) = search.get_best_models()
    assert best.predict(case.x, verbose=0).shape == (examples, 1)


# What all the rest of Keras in a process sees: last

@promise('Loops', '`keras.utils.set_random_seed`', 'two runs agree to the '
         'last bit, and another seed does not', 'DeepFM', each=True)
def test_seed(case):
    first, second = [trained(case, epochs=2) for _ in range(2)]
    assert_same(first, second, same)
    model = case.model
    keras.utils.set_random_seed(1)
    model.fit(case.x, case.y, size, epochs=2, verbose=0)
    assert any((a != b).any() for a, b in zip(first, model.get_weights()))


@pytest.fixture
def policy_restored():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


def like_float32(case, model, computed, stored, rtol, **options):
    "It has these types, and trains to about the scores of float32."
    assert {v.dtype for v in model.trainable_variables} == {stored}
    assert model.compute_dtype == computed
    optimizer = learner()
    if computed == 'float16':                      # no step is left out
        optimizer = SparseLossScale(optimizer, initial_scale=2**8)
    model.compile(optimizer, **options)
    few, reference = case.rows(2 * size), case.model
    model.set_weights(reference.get_weights())
    losses = [fit(m, *few, epochs=2, shuffle=False)['loss']
              for m in (model, reference)]
    close(*losses, rtol=rtol)
    p = model.predict(case.x, verbose=0)
    close(p, output(reference, case.x), rtol=0, atol=5 * rtol)
    assert p.shape == (examples, 1)


policies = [('float64', 'float64', 'float64', 1e-3),
            ('mixed_float16', 'float16', 'float32', 2e-2),
            ('mixed_bfloat16', 'bfloat16', 'float32', 4e-2)]
each_policy = pytest.mark.parametrize('policy', policies, ids=lambda p: p[0])


@each_policy
@promise('Policies', '`keras.config.set_dtype_policy`', '`float64`, '
         '`mixed_float16`, `mixed_bfloat16`: weights and computation have '
         'their types, and the training is float32\'s within their precision',
         'FM', each=True)
def test_global_policy(case, policy, policy_restored):
    case.traced
    keras.config.set_dtype_policy(policy[0])
    like_float32(case, case.plain(), *policy[1:])


@each_policy
@promise('Policies', '`dtype=` of a model', 'the same, for one model',
         'FM with values', each=True)
def test_own_policy(case, policy):
    model = case.plain(dtype=policy[0])
    like_float32(case, model, *policy[1:], run_eagerly=True)


# The table of them

def test_the_file_holds_the_promises():
    found = json.loads(promises.file.read_text('utf-8'))
    assert found == promises.rows(), 'Write it: python tests/promises.py'


def test_the_page_shows_them(project):
    page = project/'nbs/models/14_promises.ipynb'
    cells = json.loads(page.read_text('utf-8'))['cells']
    outputs = [o for cell in cells for o in cell.get('outputs', [])]
    shown = [''.join(o.get('data', {}).get('text/markdown', ''))
             for o in outputs]
    rows = [f"| {row['text']} | {row['checked']} |" for row in promises.rows()]
    lacking = [row for row in rows if row not in '\n'.join(shown)]
    assert not lacking, f'make pages PAGES={page.relative_to(project)}'


def test_the_slow_run_holds_the_whole_family():
    assert promises.family == models.family


def test_promises_say_different_things():
    texts = [(row['group'], row['text']) for row in promises.rows()]
    assert len(set(texts)) == len(texts)
    assert {group for group, _ in texts} == set(promises.groups)
