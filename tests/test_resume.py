"""A run that is broken off and goes on is the run that was not, bit for bit.

First of `fit` and its callback `Resume`: all variables, the optimizer, History,
the epoch at which training stops. Then of `recofm train`, which is killed."""
import copy
import json
import os
import random
import subprocess
import sys
import warnings
from contextlib import redirect_stdout
from io import StringIO

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import kills
from promises import family
from recofm.cli import main
from recofm.data.files import write_file
from recofm.serving.artifact import Artifact
from recofm.training import Resume
from recofm.training.states import read_state, state_bytes
from test_promises import Case, learner, seed, size

same = np.testing.assert_equal
optimizers = dict(
    SparseAdam=learner, Adam=lambda: keras.optimizers.Adam(.05),
    SparseSGD=lambda: _sparse('SGD', .5, momentum=.9),
    SparseAdagrad=lambda: _sparse('Adagrad', .1),
    SparseFtrl=lambda: _sparse('Ftrl', .1),
    averaged=lambda: keras.optimizers.Adam(.05, use_ema=True),
    gathered=lambda: keras.optimizers.SGD(.5, gradient_accumulation_steps=3),
    scheduled=lambda: _sparse(
        'Adam', keras.optimizers.schedules.CosineDecay(.05, 99)))


def _sparse(name, *args, **options):
    from recofm import training
    return getattr(training, f'Sparse{name}')(*args, **options)


class Accident(keras.callbacks.Callback):
    "Something ends the program in the midst of an epoch."
    def __init__(self, epoch, end):
        super().__init__()
        self.epoch, self.end = epoch, end

    def on_epoch_begin(self, epoch, logs=None): self.now = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, 3): self.end()


def interrupt(): raise KeyboardInterrupt


def die(): os._exit(9)


class Midway(keras.callbacks.Callback):
    "Ctrl-C in an epoch, at the call that begins with a batch or a later one."
    whole_groups = True

    def __init__(self, epoch, batch):
        super().__init__()
        self.epoch, self.batch = epoch, batch

    def on_epoch_begin(self, epoch, logs=None): self.now = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.now == self.epoch and batch >= self.batch: interrupt()


class Counting(keras.callbacks.Callback):
    "Of a user: what it counts in an epoch, it forgets when one begins."
    whole_groups = True

    def on_train_begin(self, logs=None): self.said = []

    def on_epoch_begin(self, epoch, logs=None): self.calls = 0

    def on_train_batch_end(self, batch, logs=None): self.calls += 1

    def on_epoch_end(self, epoch, logs=None): self.said.append(self.calls)


def patient(scheduled=False):
    "The callbacks that decide how a training goes on."
    c = keras.callbacks
    stop = c.EarlyStopping(patience=2, min_delta=.02, restore_best_weights=True)
    return [stop] if scheduled else [
        c.ReduceLROnPlateau(factor=.5, patience=1, min_delta=.05), stop]


def train(model, data, callbacks, epochs=9, **options):
    "All that is left of a training: variables, optimizer, History, its end."
    stop = next(c for c in callbacks
                if isinstance(c, keras.callbacks.EarlyStopping))
    x, y = data if isinstance(data, tuple) else (data, None)
    held = dict(validation_data=data if y is None else (x, y))
    if y is not None: held |= dict(batch_size=size)
    done = model.fit(x, y, epochs=epochs, verbose=0, callbacks=callbacks,
                     **held | options)
    every = model.variables + model.optimizer.variables
    values = [keras.ops.convert_to_numpy(v) for v in every]
    bits = [(v.dtype.name, v.shape, v.tobytes()) for v in values]
    return bits, done.epoch, done.history, stop.stopped_epoch, stop.best_epoch


def scramble(model, salt=7):
    "Leave nothing of a model as it was, as if it were a new process."
    keras.utils.set_random_seed(salt)
    for v in model.variables + model.optimizer.variables:
        v.assign(keras.ops.zeros_like(v))


def held_against_unbroken(model, data, folder, **options):
    "Break a training off in its first and in its last epoch, and resume it."
    file, start = folder/'state.npz', {}
    scheduled = options.pop('scheduled', False)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    every = model.variables + model.optimizer.variables
    for i, v in enumerate(every): start[i] = keras.ops.convert_to_numpy(v)
    seed()
    whole = train(model, data, patient(scheduled), **options)
    for i, v in enumerate(every): v.assign(start[i])
    seed()
    for epoch in (0, len(whole[1]) - 1):
        callbacks = [Resume(file), *patient(scheduled),
                     Accident(epoch, interrupt)]
        with pytest.raises(KeyboardInterrupt):
            train(model, data, callbacks, **options)
        assert read_state(file)['epochs'] == epoch
        scramble(model, epoch)
    again = train(model, data, [*patient(scheduled), Resume(file)], **options)
    same(again, whole)
    return whole


def compiled(name, optimizer='SparseAdam', **options):
    case = Case(name)
    return case.fresh(optimizer=optimizers[optimizer](), **options), case


late = [pytest.param(n, marks=pytest.mark.slow) for n in family
        if n not in ('DeepFM', 'WideDeep')]


@pytest.mark.parametrize('name', ['DeepFM', *late])
def test_a_run_that_is_broken_off_is_the_run_that_was_not(name, tmp_path):
    model, case = compiled(name)
    *_, epochs, _, stopped, _ = held_against_unbroken(
        model, (case.x, case.y), tmp_path)
    assert len(epochs) >= 3


small = 4    # rows to a batch, so that an epoch has many calls of 64


def held_within(model, case, folder, breaks=((0, 64), (2, 128)), **options):
    "Break a training off within epochs, and resume it after each."
    file, data = folder/'state.npz', (case.x, case.y)
    options = dict(batch_size=small, epochs=4) | options
    model.optimizer.build(model.trainable_variables)
    every = model.variables + model.optimizer.variables
    start = [keras.ops.convert_to_numpy(v) for v in every]
    def once(*more):
        halve = keras.callbacks.LearningRateScheduler(lambda _, rate: rate / 2)
        counting = Counting()
        left = train(model, data, [halve, counting, *patient(), *more],
                     **options)
        return left, counting.said

    seed()
    whole = once()
    for v, value in zip(every, start): v.assign(value)
    seed()
    for epoch, batch in breaks:
        with pytest.raises(KeyboardInterrupt):
            once(Resume(file, every=1e-9), Midway(epoch, batch))
        state = read_state(file)
        assert (state['epochs'], state['within']['steps']) == (epoch, batch)
        scramble(model, epoch)
    same(once(Resume(file)), whole)


@pytest.mark.parametrize('name', ['DeepFM', *(
    pytest.param(n, marks=pytest.mark.slow) for n in ('FM', 'xDeepFM'))])
def test_a_run_that_is_broken_off_within_an_epoch_is_the_run_that_was_not(
        name, tmp_path):
    model, case = compiled(name)
    case.x, case.y = many(case)
    held_within(model, case, tmp_path)


def many(case, rows=800):
    "Rows of a case, as often as needed: 200 batches are four calls."
    some = np.arange(rows) % len(case.y)
    x = {n: a[some] for n, a in case.x.items()} if isinstance(
        case.x, dict) else case.x[some]
    return x, case.y[some]


@pytest.mark.slow
@pytest.mark.parametrize('name', ['gathered', 'averaged', 'SparseFtrl'])
def test_every_optimizer_goes_on_within_an_epoch(name, tmp_path):
    model, case = compiled('DeepFM', name)
    case.x, case.y = many(case)
    held_within(model, case, tmp_path)


@pytest.mark.slow
def test_weights_and_an_order_that_stays_go_on_within_an_epoch(tmp_path):
    model, case = compiled('DeepFM')
    case.x, case.y = many(case)
    w = np.random.default_rng(0).random(len(case.y)).astype('float32')
    held_within(model, case, tmp_path, sample_weight=w)
    held_within(compiled('DeepFM')[0], case, tmp_path, shuffle=False)


def test_a_state_within_an_epoch_that_cannot_be_kept_only_warns(
        tmp_path, monkeypatch):
    from recofm.training import resuming
    model, case = compiled('FM')
    x, y = many(case)
    def full(*args): raise OSError(28, 'No space left on device')
    class Full(keras.callbacks.Callback):
        whole_groups = True
        def on_train_batch_end(self, batch, logs=None):
            monkeypatch.setattr(resuming, 'write_file', full)

    resume = Resume(tmp_path/'state.npz', every=1e-9)
    with pytest.warns(UserWarning, match='No space left') as said:
        model.fit(x, y, batch_size=small, epochs=2, verbose=0,
                  callbacks=[resume, Full()])
    assert len([w for w in said if 'No space' in str(w.message)]) == 1
    state = read_state(tmp_path/'state.npz')
    assert (state['epochs'], state['within']) == (0, {})


def test_a_state_without_a_part_of_an_epoch_is_read_as_before(tmp_path):
    model, case = compiled('FM')
    file = tmp_path/'state.npz'
    model.fit(case.x, case.y, verbose=0, callbacks=[Resume(file)])
    state = read_state(file)
    assert state.pop('within') == {}
    write_file(file, state_bytes(state))
    done = model.fit(case.x, case.y, epochs=2, verbose=0,
                     callbacks=[Resume(file)])
    assert done.epoch == [0, 1]


def test_other_batches_do_not_go_on_within_an_epoch(tmp_path):
    model, case = compiled('FM')
    x, y = many(case)
    resume = Resume(tmp_path/'s.npz', every=1e-9)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=small, verbose=0,
                  callbacks=[resume, Midway(0, 64)])
    again = dict(verbose=0, callbacks=[Resume(tmp_path/'s.npz')])
    with pytest.raises(ValueError, match='batch_size: 4 in the file, 2 now'):
        model.fit(x[:400], y[:400], batch_size=2, **again)
    with pytest.raises(ValueError, match='goes batch by batch'):
        model.fit(x, y, batch_size=small, class_weight={0: 1., 1: 2.}, **again)
    file, before = tmp_path/'s.npz', model.get_weights()
    state = read_state(file)
    for odd in ('odd', None, [], [('loss', np.zeros(3, 'float32'))] * 3):
        within = state['within'] | dict(metrics=odd)
        write_file(file, state_bytes(state | dict(within=within)))
        with pytest.raises(ValueError, match=f'{file}: ') as said:
            model.fit(x, y, batch_size=small, **again)
        assert len(str(said.value).splitlines()) == 1
    write_file(file, state_bytes(state))
    model.compile(learner(), metrics=[])
    with pytest.raises(ValueError, match='variables of the metrics'):
        model.fit(x, y, batch_size=small, **again)
    same(model.get_weights(), before)


@pytest.mark.slow
@pytest.mark.parametrize('name', [n for n in optimizers if n != 'SparseAdam'])
def test_every_optimizer_goes_on(name, tmp_path):
    model, case = compiled('DeepFM', name)
    held_against_unbroken(model, (case.x, case.y), tmp_path,
                          scheduled=name == 'scheduled')


@pytest.mark.slow
def test_two_optimizers_go_on(tmp_path):
    "That of Wide & Deep has another one for its wide part."
    from recofm.models.wide_deep import wide_deep_optimizer
    case = Case('WideDeep')
    model = case.plain()
    model.compile(wide_deep_optimizer())
    held_against_unbroken(model, (case.x, case.y), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('policy', [
    'bfloat16', 'float16', 'mixed_bfloat16', 'mixed_float16'])
def test_every_policy_goes_on(policy, tmp_path):
    case = Case('DeepFM')
    seed()
    model = case.plain(dtype=policy)
    model.compile(learner())
    held_against_unbroken(model, (case.x, case.y), tmp_path)


@pytest.mark.parametrize('kind', ['stream', *(
    pytest.param(k, marks=pytest.mark.slow)
    for k in ('class_weight', 'one device'))])
def test_ways_that_are_keras_own_go_on_too(kind, tmp_path):
    model, case = compiled('DeepFM')
    data, options = (case.x, case.y), {}
    if kind == 'stream': data = case.stream()
    if kind == 'class_weight':
        options = dict(class_weight={0: 1., 1: 2.}, shuffle=False)
    if kind == 'one device':
        with tf.distribute.MirroredStrategy(['CPU:0']).scope():
            model = case.fresh()
        options = dict(shuffle=False)
    held_against_unbroken(model, data, tmp_path, **options)


def of_keras(salt):
    "A model that knows nothing of this package."
    keras.utils.set_random_seed(salt)
    layers = keras.layers
    model = keras.Sequential([
        layers.Embedding(60, 4), layers.Flatten(), layers.Dropout(.5),
        layers.Dense(1, 'sigmoid')])
    model.compile(keras.optimizers.Adam(.1), 'binary_crossentropy')
    return model


def test_a_model_of_keras_alone_goes_on_if_it_tells_the_others(tmp_path):
    "The optimizer is built by `fit`, and History comes behind `Resume`."
    case, file = Case('FM'), tmp_path/'state.npz'

    class Rows(keras.utils.PyDataset):
        def __len__(self): return 8
        def __getitem__(self, i): return case.rows(i * size, (i + 1) * size)

    def once(salt, *more, built=True):
        others = [*patient(), *more]
        resume = Resume(file, others=others)
        model = of_keras(salt)
        if built: model(case.rows(0, 3)[0])
        return train(model, Rows(), [*others, resume], shuffle=False)

    with pytest.raises(ValueError, match='a model that has weights'):
        once(1, built=False)
    whole = once(1)
    assert read_state(file)['stopped'] and len(whole[1]) > 3
    same(once(2), whole)
    file.unlink()
    with pytest.raises(KeyboardInterrupt): once(1, Accident(2, interrupt))
    same(once(3), whole)


class Memory(keras.callbacks.Callback):
    "Of a user: stops after two epochs that were hardly better than the best."
    def on_train_begin(self, logs=None): self.best, self.worse = np.inf, []

    def on_epoch_end(self, epoch, logs):
        loss = logs['val_loss']
        if loss < self.best - .03: self.best, self.worse = loss, []
        else: self.worse.append((epoch, np.float32(loss)))
        if len(self.worse) == 2: self.model.stop_training = True


def test_a_callback_of_ones_own_and_a_checkpoint_remember(tmp_path):
    model, case = compiled('FM')
    start = [v.numpy() for v in model.variables + model.optimizer.variables]
    def fresh():
        saved = tmp_path/f'{len(list(tmp_path.iterdir()))}.keras'
        return [keras.callbacks.ModelCheckpoint(saved, save_best_only=True),
                Memory(), keras.callbacks.EarlyStopping(patience=99)]

    def once(*more):
        checkpoint, memory, *_ = mine = fresh()
        left = train(model, (case.x, case.y), [*more, *mine], 30)
        return left, checkpoint.best, memory.best, memory.worse

    seed()
    whole = once()
    for v, value in zip(model.variables + model.optimizer.variables, start):
        v.assign(value)
    seed()
    with pytest.raises(KeyboardInterrupt):
        once(Resume(tmp_path/'s.npz'), Accident(3, interrupt))
    scramble(model)
    again = once(Resume(tmp_path/'s.npz'))
    same(again, whole)
    assert len(whole[-1]) == 2 and type(again[-1][0][1]) is np.float32


@pytest.mark.slow
def test_a_process_that_dies_is_gone_on_with_in_another(tmp_path):
    child = [sys.executable, __file__, tmp_path/'state.npz']
    assert subprocess.run(child).returncode == 9
    assert read_state(tmp_path/'state.npz')['epochs'] == 3
    model, case = compiled('DeepFM')
    seed()
    whole = train(model, (case.x, case.y), patient())
    scramble(model)
    with warnings.catch_warnings():
        warnings.filterwarnings('error', 'the last bits')
        same(train(model, (case.x, case.y),
                   [*patient(), Resume(tmp_path/'state.npz')]), whole)


def edited(state, draw):
    "A state with one of its values, however deep, replaced by another."
    state = copy.deepcopy(state)
    where, key = state, draw.choice(list(state))
    while isinstance(where[key], (dict, list)) and where[key]:
        where = where[key]
        keys = list(where) if isinstance(where, dict) else range(len(where))
        key = draw.choice(keys)
        if isinstance(where[key], tuple): where[key] = list(where[key])
    odd = None, -1, 2.5, 'odd', [], {}, [1], np.zeros((2, 3)), np.float32(1)
    where[key] = copy.deepcopy(draw.choice(odd))
    return state


def test_a_state_that_somebody_has_edited_is_refused_or_taken(tmp_path):
    "It is refused in one line that names the file, before anything changes."
    case, file, refused = Case('FM'), tmp_path/'state.npz', 0
    model = of_keras(1)
    model(case.rows(0, 3)[0])
    others = patient()
    model.fit(case.x, case.y, epochs=1, verbose=0, validation_split=.1,
              callbacks=[*others, Resume(file, others=others)])
    def begin():
        every = [*others, Resume(file, others=others)]
        told = keras.callbacks.CallbackList(every, model=model, epochs=1)
        told.on_train_begin()

    state, draw = read_state(file), random.Random(0)
    for _ in range(300):
        write_file(file, state_bytes(edited(state, draw)))
        before = [v.numpy() for v in model.variables]
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            try: begin()
            except ValueError as error:
                refused += 1
                assert str(error).startswith(f'{file}: ')
                assert len(str(error).splitlines()) == 1
                for v, was in zip(model.variables, before): same(v, was)
    assert refused > 150


@pytest.fixture
def clicks(tmp_path): return kills.write_table(tmp_path)


def run_here(table, out):
    "A run in this process, and what it says."
    with redirect_stdout(StringIO()) as said:
        main(kills.train_words(table, out))
    return said.getvalue()


def weights_in(folder):
    "Of a saved model: its file, in this process, would hold other names."
    return Artifact.load(folder).model.get_weights()


@pytest.mark.slow
def test_a_run_that_is_killed_and_resumed_is_the_run_that_was_not(
        clicks, tmp_path):
    draw = random.Random(0)
    moment = draw.randrange(8, 30), draw.uniform(0, .1)
    whole, broken = tmp_path/'whole', tmp_path/'broken'
    assert kills.killed(clicks, broken, *moment)
    assert 'Going on after epoch' in run_here(clicks, broken)
    run_here(clicks, whole)
    all_that, again = kills.left_by(whole), kills.left_by(broken)
    for name in set(all_that) - {'model'}: same(again[name], all_that[name])
    same(weights_in(broken), weights_in(whole))
    assert not (tmp_path/'.broken.recofm').exists()


@pytest.mark.slow
@pytest.mark.parametrize('more', [[], ['--stream']])
def test_a_run_that_is_killed_within_an_epoch_is_the_run_that_was_not(
        more, clicks, tmp_path):
    "Its table is split in four files of Parquet, where it is streamed."
    if more:
        frame = pd.read_csv(clicks)
        clicks = tmp_path/'clicks'
        clicks.mkdir()
        for i in range(4): frame[i::4].to_parquet(clicks/f'{i}.parquet')
    small = *more, '--batch-size', '2', '--epochs', '3'
    whole, broken = tmp_path/'whole', tmp_path/'broken'
    kept = kills.killed_within(clicks, broken, *small, '--keep-every', '1e-6')
    steps = kept['within']['steps']
    said = kills.finish(kills.begin(clicks, broken, *small))
    assert f'Going on after batch {steps:,} of 1,200 in epoch 2' in said
    kills.finish(kills.begin(clicks, whole, *small))
    all_that, again = kills.left_by(whole), kills.left_by(broken)
    for name in all_that: assert again[name] == all_that[name], name


@pytest.mark.slow
def test_of_twenty_runs_that_are_killed_each_ends_as_the_unbroken(tmp_path):
    found = kills.kill_often(tmp_path)
    assert found['killed'] == found['equal'] == 20


def test_the_figures_that_are_shown_are_of_such_a_test():
    found = json.loads(kills.figures.read_text())
    assert found['killed'] >= 20 and found['equal'] == found['killed']
    assert found['resumed'] + found['anew'] == found['killed']


if __name__ == '__main__':
    model, case = compiled('DeepFM')
    seed()
    train(model, (case.x, case.y),
          [Resume(sys.argv[1]), *patient(), Accident(3, die)])
