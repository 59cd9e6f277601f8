"""More rows than memory holds: whatever the files are cut into, the rows are
the same ones, and what is learned from them is the same to the last bit."""
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from recofm.data.cache import cache_name
from recofm.data.schema import Schema
from recofm.data.sources import as_source
from recofm.data.streams import Stream, joined, widened
from recofm.datasets.synthetic import planted
from recofm.serving import catalogue
from recofm.serving.catalogue import Catalogue, catalogue_arrays

columns = dict(target='label', user=['user', 'tags'], item=['film'],
               context=['hour', 'age'], multi=['tags'], numeric=['hour'],
               bucket={'age': 5}, dim=4)


def table(rows, seed=0):
    "Keys, several values in a cell, numbers, and gaps in all of them."
    draw = np.random.default_rng(seed)
    frame = planted(n=rows, sizes=(20, 15), seed=seed,
                    names=('user', 'film')).frame
    tags = draw.choice(['a', 'b|a', 'c', 'b|c|d', None], rows)
    hour = draw.normal(12, 4, rows).round(2)
    age = draw.integers(18, 90, rows).astype(float)
    for a in hour, age: a[draw.random(rows) < .1] = np.nan
    return frame.assign(tags=tags, hour=hour, age=age,
                        user='u' + frame.user.astype(str))


frame = table(3_000)


def written(folder, frame, sizes, group=100):
    "The frame in Parquet files of these sizes, in row groups."
    rows = pa.Table.from_pandas(frame, preserve_index=False)
    at = 0
    for i, n in enumerate(sizes):
        file = folder/f'{i:02d}.parquet'
        pq.write_table(rows.slice(at, n), file, row_group_size=group)
        at += n
    return folder


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return written(tmp_path_factory.mktemp('files'), frame,
                   [1_000, 500, 0, 1_500])


@pytest.fixture(scope='module')
def schema(): return Schema.fit(frame, **columns)


def same(one, other):
    "Two schemas say the same; moments may differ in the last digits."
    (a, b), (c, d) = one.taken_apart(), other.taken_apart()
    for plain in (a, c):
        plain['columns'] = [{n: round(v, 9) if isinstance(v, float) else v
                             for n, v in column.items()}
                            for column in plain['columns']]
    assert a == c and b.keys() == d.keys()
    for name in b: np.testing.assert_allclose(b[name], d[name], rtol=1e-12)


def epoch_of(stream, seed=None, epoch=0, most=256):
    parts = stream.parts(seed, epoch)
    return joined(list(stream.groups(parts, most, seed, epoch)))


def equal(one, other):
    (x, y), (a, b) = one, other
    for name in 'ids', 'values': np.testing.assert_array_equal(x[name], a[name])
    np.testing.assert_array_equal(y, b)


def sorted_rows(examples):
    x, y = examples
    rows = np.hstack([x['ids'], x['values'], y])
    return rows[np.lexsort(rows.T)]


def test_a_schema_of_files_is_that_of_the_frame(files, schema):
    same(Schema.fit(str(files), **columns), schema)
    same(Schema.fit(as_source(str(files/'*.parquet')), **columns), schema)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=8),
       st.integers(1, 300))
def test_any_cut_gives_the_same_schema_and_ids(sizes, group):
    part = frame[:max(sum(sizes), 1)]
    rows = pa.Table.from_pandas(part, preserve_index=False)
    cuts = np.cumsum([0, *sizes])
    batches = [b for i, n in zip(cuts, sizes)
               for b in rows.slice(i, n).to_batches(group)]
    cut = pa.Table.from_batches(batches or rows.to_batches(), rows.schema)
    fitted = Schema.fit(as_source(cut), **columns)
    same(fitted, Schema.fit(part[:cut.num_rows], **columns))
    equal(epoch_of(Stream(fitted, cut)),
          epoch_of(Stream(fitted, part[:cut.num_rows])))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 7), st.integers(0, 5), st.integers(1, 2_000))
def test_any_shards_have_each_row_once(of, epoch, window):
    stream = Stream(schema_of_all, source_of_all, window=window)
    shards = [Stream(schema_of_all, source_of_all, window=window,
                     shard=(i, of)) for i in range(of)]
    whole = sorted_rows(epoch_of(stream, 3, epoch))
    parts = [epoch_of(shard, 3, epoch) for shard in shards]
    sizes = [len(y) for _, y in parts]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == [shard.examples for shard in shards]
    np.testing.assert_array_equal(sorted_rows(joined(parts)), whole)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 400), st.integers(1, 9), st.integers(1, 50),
       st.integers(1, 4), st.sampled_from([None, 0, 1]))
def test_any_shards_take_equal_steps(rows, of, size, steps, seed):
    "Disjoint, nothing lost, and no batch is larger by more than one row."
    shards = [Stream(schema_of_rows, source_of_rows(rows), size, window=37,
                     shard=(i, of)) for i in range(of)]
    if rows < of:
        with pytest.raises(ValueError, match=f'each of {of} shards at least'):
            len(shards[0])
        return
    found = [[x[:, 0] for x, _ in shard.rest(size, seed)] for shard in shards]
    batches = {len(shard) for shard in shards}
    assert batches == {len(own) for own in found} and len(batches) == 1
    every = np.concatenate([x for own in found for x in own])
    assert sorted(every.tolist()) == list(range(1, rows + 1))
    for own in found:
        *most, last = map(len, own)
        assert set(most) <= {size} and 0 < last <= size + 1
    groups = [[len(x) for x, _ in shard.rest(size * steps, seed)]
              for shard in shards]
    from recofm.training.from_files import groups_of_stream
    for shard, sizes in zip(shards, groups):
        shard.shuffle = seed is not None
        taken = [(len(y), n) for _, (_, y), n in
                 groups_of_stream(shard, size, steps, [0], seed or 0)]
        assert [n for n, _ in taken] == sizes
        assert [n for _, n in taken[:-1]] == [steps] * (len(taken) - 1)
        assert sum(n for _, n in taken) == len(shard)


def test_a_data_set_of_a_shard_has_as_many_batches():
    "Keras' own loop, under a strategy, goes through one."
    from recofm.training.from_files import in_order
    for i, sizes in enumerate(([100, 100], [100, 101])):
        shard = Stream(schema_of_rows, source_of_rows(401), 100, shard=(i, 2))
        found = in_order(shard, 100, seed=3)
        assert int(found.cardinality()) == 2
        assert [len(x) for x, _ in found] == sizes


numbered = pd.DataFrame(dict(row=np.arange(401), label=np.arange(401) % 2))
schema_of_rows = Schema.fit(numbered, target='label', context='row')


def source_of_rows(rows, group=7):
    "Numbered rows, in pieces of a few."
    table = pa.Table.from_pandas(numbered[:rows], preserve_index=False)
    pieces = [p for i in range(0, rows, group)
              for p in as_source(table.slice(i, group)).pieces]
    return as_source(table).of_pieces(pieces)


schema_of_all = Schema.fit(frame, **columns)
source_of_all = as_source(pa.Table.from_pandas(frame).select(
    [*frame.columns]))


def test_an_epoch_is_that_of_its_seed_and_number(files, schema):
    stream = Stream(schema, files, window=700)
    equal(epoch_of(stream, 5, 2), epoch_of(Stream(schema, files, window=700),
                                           5, 2))
    x, y = epoch_of(stream, 5, 2)
    other, _ = epoch_of(stream, 5, 3)
    assert (x['ids'] != other['ids']).any()
    np.testing.assert_array_equal(sorted_rows((x, y)),
                                  sorted_rows(epoch_of(stream)))


def test_the_order_has_little_to_do_with_the_files(files, schema):
    "Windows larger than the rows shuffle all of them."
    numbered = frame.assign(label=np.arange(len(frame)) % 2)
    stream = Stream(schema, numbered, window=10_000)
    _, y = epoch_of(stream, 1, 0)
    neighbours = (y[1:] == y[:-1]).mean()
    assert .45 < neighbours < .55


def test_a_cell_that_is_refused_is_named_with_its_rows(files, schema):
    strange = frame.copy()
    strange.loc[2_500, 'user'] = None
    odd = strange.assign(film=strange.film.astype(object))
    odd.loc[1_234, 'film'] = 'AB-12'
    with pytest.raises(ValueError, match="film"):
        Schema.fit(odd, **columns)
    table = pa.table({n: odd[n].astype(str) if n == 'film' else odd[n]
                      for n in odd})
    stream = Stream(schema, table)
    with pytest.raises(ValueError, match="rows 0 to 2,999: Field 'film'"):
        epoch_of(stream)


def test_a_column_that_the_files_lack_is_named(files):
    with pytest.raises(ValueError, match="lacks 'usr' .did you mean 'user'"):
        Schema.fit(files, target='label', user='usr', item='film')


def small(schema, **kwargs):
    import keras
    from recofm.models.deepfm import DeepFM
    keras.utils.set_random_seed(0)
    model = DeepFM(schema.fields, hidden_units=[8], dnn_dropout=.2)
    model.compile(**kwargs)
    return model


def weights(model): return [np.asarray(w) for w in model.get_weights()]


def test_without_shuffling_files_teach_what_memory_teaches(files, schema):
    one, other = small(schema), small(schema)
    stream = Stream(schema, files, 128, shuffle=False)
    batches = schema.batches(frame, 128)
    a = one.fit(stream, epochs=2, verbose=0, validation_data=stream).history
    b = other.fit(batches, epochs=2, verbose=0, shuffle=False,
                  validation_data=batches).history
    for name in 'loss', 'auc': assert a[name] == b[name]
    np.testing.assert_allclose(a['val_loss'], b['val_loss'], rtol=1e-6)
    for x, y in zip(weights(one), weights(other)):
        np.testing.assert_array_equal(x, y)
    np.testing.assert_allclose(one.predict(stream, verbose=0),
                               one.predict(batches, verbose=0), rtol=1e-6)
    np.testing.assert_allclose(one.evaluate(stream, verbose=0),
                               one.evaluate(batches, verbose=0), rtol=1e-6)


def test_two_runs_of_one_seed_are_equal_and_so_is_the_cache(
        files, schema, tmp_path):
    import keras
    found = []
    for stream in (Stream(schema, files, 128, window=500),
                   Stream(schema, files, 128, window=500),
                   Stream(schema, files, 128, window=500).cached(tmp_path)):
        model = small(schema)
        keras.utils.set_random_seed(1)
        model.fit(stream, epochs=3, verbose=0)
        found.append(weights(model))
    for other in found[1:]:
        for x, y in zip(found[0], other): np.testing.assert_array_equal(x, y)


@pytest.mark.slow
def test_a_stream_is_gone_on_with(files, schema, tmp_path):
    import keras
    from recofm.training.resuming import Resume
    stream = Stream(schema, files, 128, window=500)
    keras.utils.set_random_seed(1)
    whole = small(schema)
    whole.fit(stream, epochs=4, verbose=0, callbacks=[Resume(tmp_path/'w.npz')])
    keep = tmp_path/'s.npz'
    first = small(schema)
    first.fit(stream, epochs=2, verbose=0, callbacks=[Resume(keep)])
    second = small(schema)
    second.fit(stream, epochs=4, verbose=0, callbacks=[Resume(keep)])
    third = small(schema)
    third.fit(stream, epochs=4, verbose=0, callbacks=[Resume(keep)])
    for x, y in zip(weights(second), weights(third)):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize('how', ['cache', *(
    pytest.param(h, marks=pytest.mark.slow)
    for h in ('files', 'in order', 'shard'))])
def test_a_stream_is_gone_on_with_within_an_epoch(how, files, schema,
                                                  tmp_path):
    "Also where the calls were of one step, and are of many now."
    import keras
    from recofm.training.resuming import Resume
    from recofm.training.states import read_state
    from test_resume import Midway
    shard = (1, 2) if how == 'shard' else (0, 1)
    stream = Stream(schema, files, 8, how != 'in order', window=500,
                    shard=shard)
    if how == 'cache': stream = stream.cached(tmp_path/'cache')
    def once(salt, *callbacks):
        model = small(schema)
        keras.utils.set_random_seed(salt)
        done = model.fit(stream, epochs=3, verbose=0, callbacks=callbacks)
        every = model.variables + model.optimizer.variables
        return [keras.ops.convert_to_numpy(v) for v in every], done.history

    (whole, history), file = once(1), tmp_path/'state.npz'
    for epoch, batch, batchwise in (0, 128, False), (1, 77, True):
        accident = Midway(epoch, batch)
        accident.whole_groups = not batchwise
        with pytest.raises(KeyboardInterrupt):
            once(1 + epoch, Resume(file, every=1e-9), accident)
        assert read_state(file)['within']['steps'] == batch
    again, its_history = once(3, Resume(file))
    assert its_history == history
    for x, y in zip(again, whole): np.testing.assert_array_equal(x, y)


def test_what_is_over_is_not_read_again(files, schema, monkeypatch):
    from recofm.data import streams
    stream, seen = Stream(schema, files, window=500), []
    encoded = streams.EncodedPiece.encoded
    def counted(self, batch):
        seen.append(batch.num_rows)
        return encoded(self, batch)
    monkeypatch.setattr(streams.EncodedPiece, 'encoded', counted)
    rest = joined(list(stream.rest(256, 5, 2, 2_600)))
    assert sum(seen) == 500
    x, y = epoch_of(stream, 5, 2)
    equal(rest, ({n: a[2_600:] for n, a in x.items()}, y[2_600:]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2_999), st.integers(1, 2_000), st.integers(1, 400),
       st.integers(1, 3), st.sampled_from([None, 3]))
def test_the_rest_of_an_epoch_is_the_rest_of_it(done, window, most, of, seed):
    stream = Stream(schema_of_all, source_of_all, window=window,
                    shard=(of - 1, of))
    done = min(done, stream.least - 1)
    x, y = joined(list(stream.rest(most, seed, 2)))
    rest = joined(list(stream.rest(most, seed, 2, done)))
    equal(rest, ({n: a[done:] for n, a in x.items()}, y[done:]))


@pytest.mark.parametrize('given', [
    dict(y=[1]), dict(batch_size=3), dict(sample_weight=[1.]),
    dict(validation_split=.1)])
def test_what_a_stream_brings_with_it_is_refused_beside_it(
        given, files, schema):
    with pytest.raises(ValueError, match=f'Received also {next(iter(given))}'):
        small(schema).fit(Stream(schema, files), **given)


def test_a_stream_without_a_target_only_predicts(files, schema):
    stream = Stream(schema, frame.drop(columns='label'))
    model = small(schema)
    assert model.predict(stream, verbose=0).shape == (3_000, 1)
    with pytest.raises(ValueError, match='Expected a stream with the target'):
        model.fit(stream, verbose=0)


def test_targets_are_looked_at_as_they_pass(files, schema):
    wrong = frame.assign(label=frame.label * 2.)
    with pytest.raises(ValueError, match=r'Log loss expects targets in \[0, 1'):
        small(schema).fit(Stream(schema, wrong), verbose=0)


def test_ratings_are_learned_in_their_unit(files):
    stars = frame.assign(label=1. + 4 * frame.label)
    schema = Schema.fit(stars, **columns)
    model = small(schema)
    from recofm.models.deepfm import DeepFM
    model = DeepFM(schema.fields, hidden_units=[4], output_activation=None)
    model.compile()
    model.fit(Stream(schema, stars), verbose=0)
    np.testing.assert_allclose(float(model.target_mean), stars.label.mean(),
                               rtol=1e-5)


def test_class_weights_go_through_keras_own_loop(files, schema):
    model = small(schema)
    stream = Stream(schema, files, 256, window=500)
    history = model.fit(stream, epochs=2, verbose=0,
                        class_weight={0: 1., 1: 3.}).history
    assert len(history['loss']) == 2


def test_a_cache_is_of_its_schema_and_files(files, schema, tmp_path):
    stream = Stream(schema, files)
    name = cache_name(stream)
    other = Schema.fit(frame, **columns | dict(bucket={'age': 3}))
    assert cache_name(Stream(other, files)) != name
    copied = written(tmp_path, frame, [3_000])
    before = cache_name(Stream(schema, copied))
    file = copied/'00.parquet'
    os.utime(file, ns=(1, 1))
    assert cache_name(Stream(schema, copied)) != before


def test_a_cache_that_was_cut_off_is_none(files, schema, tmp_path,
                                          monkeypatch):
    from recofm.data import sources, streams
    stream = Stream(schema, files)
    encoded, seen = streams.EncodedPiece.encoded, []
    def full(self, batch):
        seen.append(self)
        if len(seen) > 3: raise OSError(28, 'No space left on device')
        return encoded(self, batch)
    with monkeypatch.context() as m:
        m.setattr(sources, 'few_rows', 1)
        m.setattr(streams.EncodedPiece, 'encoded', full)
        with pytest.raises(OSError, match='No space left'):
            stream.cached(tmp_path/'cache')
    assert os.listdir(tmp_path/'cache') == []
    equal(epoch_of(stream.cached(tmp_path/'cache')), epoch_of(stream))


def run_settings(**more):
    from recofm.runs.settings import Settings
    words = {n: v for n, v in columns.items() if n != 'dim'}
    return Settings(**dict(model='DeepFM', columns=words | dict(dim=4),
                           arguments=dict(hidden_units=[8], dnn_dropout=.2),
                           batch_size=128, epochs=3) | more)


def ended(rows, out, **more):
    "A run, with its table of metrics."
    from contextlib import redirect_stdout
    from io import StringIO

    from recofm.runs.run import run
    resume, every = more.pop('resume', False), more.pop('keep_every', None)
    with redirect_stdout(StringIO()) as said:
        left = run(rows, run_settings(**more), out, resume=resume,
                   keep_every=every)
    return *left, said.getvalue()


def test_a_run_of_files_has_the_parts_of_the_table(files, tmp_path):
    artifact, table, said = ended(frame, tmp_path/'memory')
    other, its_table, also = ended(as_source(files), tmp_path/'files')
    same(other.schema, artifact.schema)
    for name in 'global mean', 'item mean':
        pd.testing.assert_series_equal(its_table.loc[name], table.loc[name])
    assert other.catalogue.users.values.tolist() == (
        artifact.catalogue.users.values.tolist())
    assert sorted(os.listdir(tmp_path)) == ['files', 'memory']
    tells_how_it_went(tmp_path/'files', also)
    assert 'progressive' not in said


def tells_how_it_went(out, printed):
    "The first epoch, and no other, names its progressive loss and metric."
    rows = pd.read_csv(out/'history.csv')
    found = json.loads((out/'metrics.json').read_text())['progressive']
    first, *others = rows.progressive_loss.tolist()
    assert found == dict(loss=first, auc=rows.auc[0])
    assert rows.progressive_auc[0] == rows.auc[0] and first < rows.loss[0]
    assert np.isnan(others).all() and 'log_loss' not in rows
    line, = [s for s in printed.splitlines() if 'progressive' in s]
    assert line.endswith('before it was learned from, with dropout')
    assert f'progressive loss {first:.4f} AUC {found["auc"]:.4f}' in line


def test_a_run_of_files_goes_on_as_if_nobody_had_ended_it(files, tmp_path):
    whole, table, _ = ended(as_source(files), tmp_path/'whole')
    ended(as_source(files), tmp_path/'out', epochs=1)
    again, its_table, _ = ended(as_source(files), tmp_path/'out', resume=True)
    for x, y in zip(weights(whole.model), weights(again.model)):
        np.testing.assert_array_equal(x, y)
    pd.testing.assert_frame_equal(its_table, table)
    (tmp_path/'copied').mkdir()
    other = written(tmp_path/'copied', frame, [3_000])
    with pytest.raises(ValueError, match='the rows of train'):
        ended(as_source(other), tmp_path/'out', epochs=9, resume=True)


@pytest.mark.slow
@pytest.mark.parametrize('epoch', [0, 1])
def test_a_run_of_files_goes_on_within_an_epoch(epoch, files, tmp_path,
                                                monkeypatch):
    from recofm.training.divergence import DivergenceGuard
    many = dict(batch_size=8, epochs=2)
    whole, table, _ = ended(as_source(files), tmp_path/'whole', **many)
    begin = DivergenceGuard.on_train_batch_begin
    def midway(self, batch, logs=None):
        if (self.epoch, batch) == (epoch, 192): raise KeyboardInterrupt
        begin(self, batch, logs)
    with monkeypatch.context() as m:
        m.setattr(DivergenceGuard, 'on_train_batch_begin', midway)
        with pytest.raises(KeyboardInterrupt, match=f'in epoch {epoch + 1}'):
            ended(as_source(files), tmp_path/'out', keep_every=1e-9, **many)
    again, its_table, said = ended(as_source(files), tmp_path/'out',
                                   resume=True, **many)
    assert f'Going on after batch 192 of 300 in epoch {epoch + 1}' in said
    for x, y in zip(weights(whole.model), weights(again.model)):
        np.testing.assert_array_equal(x, y)
    pd.testing.assert_frame_equal(its_table, table)
    one, other = (pd.read_csv(tmp_path/n/'history.csv').drop(
        columns='seconds') for n in ('whole', 'out'))
    pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize('how', [
    pytest.param(dict(split=way, timestamp='hour2'), marks=pytest.mark.slow)
    for way in ('time', 'last')])
def test_a_run_is_split_by_time_or_by_each_users_last(how, tmp_path):
    timed = frame.assign(hour2=np.arange(3_000)[::-1])
    _, table, _ = ended(timed, tmp_path/'memory', epochs=1, **how)
    pq.write_table(pa.Table.from_pandas(timed), tmp_path/'t.parquet')
    _, other, _ = ended(as_source(tmp_path/'t.parquet'), tmp_path/'files',
                     epochs=1, **how)
    pd.testing.assert_series_equal(table.loc['item mean'],
                                   other.loc['item mean'])


def test_a_slice_of_objects_is_of_the_type_of_the_column(schema):
    "Cells may be missing for longer than a slice is."
    rows = 2**17 + 10
    late = pd.DataFrame(dict(
        user=[None] * (rows - 5) + ['a'] * 5, film=1,
        label=[0, 1] * (rows // 2),
        age=np.array([None] * (rows - 5) + [1.] * 5, object)))
    named = dict(target='label', user=['user', 'age'], item='film',
                 numeric='age', dim=4)
    fitted = Schema.fit(as_source(late), **named)
    same(fitted, Schema.fit(late, **named))
    equal(joined(list(Stream(fitted, late).parts())),
          (fitted.inputs(late), fitted.target(late)[:, None]))


def test_the_order_does_not_depend_on_the_groups(files, schema):
    stream = Stream(schema, files, window=700)
    expected = epoch_of(stream, 5, 2, most=64)
    for most in 1, 100, 900, 5_000:
        equal(epoch_of(stream, 5, 2, most), expected)


@pytest.mark.slow
def test_a_callback_of_each_batch_changes_nothing(files, schema):
    import keras
    found = []
    for callbacks in ([], [keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: None)]):
        model = small(schema)
        keras.utils.set_random_seed(1)
        model.fit(Stream(schema, files, 128, window=500), epochs=2, verbose=0,
                  callbacks=callbacks)
        found.append(weights(model))
    for x, y in zip(*found): np.testing.assert_array_equal(x, y)


@pytest.mark.slow
def test_weighted_rows_are_evaluated_as_in_memory():
    weighed = frame.assign(w=np.arange(3_000) % 7 + .5)
    schema = Schema.fit(weighed, weight='w', **columns)
    stream, batches = Stream(schema, weighed), schema.batches(weighed)
    model = small(schema)
    expected = model.evaluate(batches, verbose=0)
    np.testing.assert_allclose(model.evaluate(stream, verbose=0), expected,
                               rtol=1e-6)
    history = [small(schema).fit(data, shuffle=False, verbose=0,
                                 validation_data=valid).history['val_loss']
               for data in (stream, batches) for valid in (stream, batches)]
    np.testing.assert_allclose(history, history[:1] * 4, rtol=1e-6)


@pytest.mark.parametrize('what', ['fit', 'evaluate', 'predict'])
def test_no_rows_and_other_fields_are_refused(what, files, schema):
    verb = getattr(small(schema), what)
    with pytest.raises(ValueError, match='at least one example. Received none'):
        verb(Stream(schema, frame[:0]), verbose=0)
    renamed = frame.assign(user='more' + pd.Series(np.arange(3_000)).map(str))
    other = Schema.fit(renamed, **columns)
    with pytest.raises(ValueError, match="model's fields, name='user', size=2"):
        verb(Stream(other, renamed), verbose=0)


@pytest.mark.parametrize('other, expected', [
    (frame.assign(label=3. * frame.label), r'Log loss expects targets in \[0'),
    (frame.drop(columns='label'), 'Expected a stream with the target')])
def test_rows_to_validate_on_need_a_target(other, expected, files, schema):
    stream = Stream(schema, other)
    with pytest.raises(ValueError, match=expected):
        small(schema).evaluate(stream, verbose=0)
    for data in Stream(schema, files), schema.batches(frame):
        with pytest.raises(ValueError, match=expected):
            small(schema).fit(data, validation_data=stream, verbose=0)


def test_fit_may_say_that_nothing_is_shuffled(files, schema):
    found = []
    for stream, said in ((Stream(schema, files, 128), dict(shuffle=False)),
                         (Stream(schema, files, 128, shuffle=False), {})):
        model = small(schema)
        model.fit(stream, verbose=0, **said)
        found.append(weights(model))
    for x, y in zip(*found): np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize('shard', [3, (1.5, 3), ('0', '2'), (0,), (0, 0)])
def test_a_shard_is_two_whole_numbers(shard, files, schema):
    with pytest.raises(ValueError, match=r'Expected shard=\(number, of\)'):
        Stream(schema, files, shard=shard)


def test_the_faster_of_two_writers_of_a_cache_is_read(files, schema, tmp_path,
                                                      monkeypatch):
    from recofm.data import cache
    stream, write = Stream(schema, files), cache._write_arrays
    def slow(stream, folder):
        monkeypatch.setattr(cache, '_write_arrays', write)
        stream.cached(tmp_path)        # meanwhile, in another process
        return write(stream, folder)
    monkeypatch.setattr(cache, '_write_arrays', slow)
    equal(epoch_of(stream.cached(tmp_path)), epoch_of(stream))
    assert os.listdir(tmp_path) == [cache_name(stream)]


def test_what_a_killed_writer_left_is_swept(files, schema, tmp_path):
    for name, when in ('.aaaaaaaa.part', 1), ('.bbbbbbbb.part', None):
        part = tmp_path/name
        part.mkdir()
        (part/'ids.npy').write_bytes(b'half')
        if when: [os.utime(f, (when, when)) for f in (part/'ids.npy', part)]
    stream = Stream(schema, files)
    stream.cached(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ['.bbbbbbbb.part',
                                            cache_name(stream)]


def cut_off(folder):
    with open(folder/'ids.npy', 'r+b') as f: f.truncate(5_000)


def counted_wrong(folder):
    said = json.loads((folder/'cache.json').read_text())
    said['pieces'][0][0] += 1
    (folder/'cache.json').write_text(json.dumps(said))


def in_words(folder):
    (folder/'cache.json').write_text('{"format": 2, "pieces": [["many"]]}')


def without_ids(folder): (folder/'ids.npy').unlink()


@pytest.mark.parametrize('harm', [cut_off, counted_wrong, in_words,
                                  without_ids])
def test_a_harmed_cache_is_named(harm, files, schema, tmp_path):
    stream = Stream(schema, files)
    stream.cached(tmp_path)
    harm(tmp_path/cache_name(stream))
    with pytest.raises(ValueError, match='cache.json: expected a cache as it'):
        stream.cached(tmp_path)


def test_times_of_a_text_file_are_numbers(tmp_path):
    from recofm.data.splits import split
    rows = pd.DataFrame(dict(time=np.arange(1, 13), row=np.arange(12)))
    rows.to_csv(tmp_path/'rows.csv', index=False)
    first, last = split(as_source(tmp_path/'rows.csv'), (.5, .5), by='time',
                        time='time')
    assert first['row'].tolist() == list('012345')


def test_rows_are_chosen_when_it_is_known_which_are_skipped(tmp_path):
    from recofm.data.splits import split
    file = tmp_path/'rows.csv'
    lines = ['time,age', *(f'{i},{"old" if i in (2, 5) else i}'
                           for i in range(20))]
    file.write_text('\n'.join(lines))
    train, valid = split(as_source(file, on_bad_line='skip'), (.5, .5),
                         by='time', time='time')
    with pytest.raises(ValueError, match='numbers= to be named before .* 2 of'):
        valid.with_numbers(['age'])
    source = as_source(file, on_bad_line='skip', numbers=['age'])
    train, valid = split(source, (.5, .5), by='time', time='time')
    valid = valid.with_numbers(['age'])
    assert valid['time'].tolist() == [str(i) for i in range(11, 20)]


def test_a_file_is_the_same_from_every_folder(files, schema, monkeypatch):
    name = cache_name(Stream(schema, files/'00.parquet'))
    monkeypatch.chdir(files)
    assert cache_name(Stream(schema, '00.parquet')) == name


def test_lines_of_libffm_are_the_same_from_every_folder(tmp_path, monkeypatch):
    (tmp_path/'lines.txt').write_text('1 0:3:1 1:4:1\n0 0:2:1 1:4:1\n' * 4)
    about = as_source(str(tmp_path/'lines.txt')).about
    monkeypatch.chdir(tmp_path)
    assert as_source('lines.txt').about == about


def test_a_known_data_set_is_not_streamed():
    from argparse import Namespace
    from recofm.cli.train import check_streamed
    with pytest.raises(ValueError, match="Expected files .* Received 'ml-1m'"):
        check_streamed(Namespace(stream=True), ['ml-1m'])


@pytest.mark.parametrize('weight', [
    'w', pytest.param(None, marks=pytest.mark.slow)])
def test_classes_that_count_alike_are_learned_as_in_memory(weight, tmp_path):
    from recofm.data.weights import balanced
    weighed = frame.assign(w=np.arange(3_000) % 7 + .5)
    schema = Schema.fit(weighed, weight=weight, **columns)
    stream = Stream(schema, weighed, 128, shuffle=False)
    batches, w = schema.batches(weighed, 128), balanced(frame.label)
    if weight: w = w * batches.weights
    np.testing.assert_array_equal(stream.balanced().weights, w)
    found = []
    for data, options in (
            (stream.balanced(), {}),
            (batches.inputs, dict(y=batches.target, batch_size=128,
                                  sample_weight=w, shuffle=False))):
        model = small(schema)
        done = model.fit(data, epochs=2, verbose=0, **options)
        found.append((weights(model), done.history['loss']))
    (one, loss), (other, its_loss) = found
    assert loss == its_loss
    for x, y in zip(one, other): np.testing.assert_array_equal(x, y)


def test_a_cache_knows_nothing_of_the_weights_of_classes(files, schema,
                                                         tmp_path):
    stream = Stream(schema, files)
    stream.balanced().cached(tmp_path)
    equal(epoch_of(stream.cached(tmp_path)), epoch_of(stream))
    x, y, w = epoch_of(stream.balanced().cached(tmp_path))
    np.testing.assert_array_equal(w, stream.balanced().weights)


def test_one_class_alone_cannot_be_balanced(files, schema):
    stream = Stream(schema, frame.assign(label=1.))
    with pytest.raises(ValueError, match='Received 0 of 0 and 3,000 of 1'):
        stream.balanced()
    stream = Stream(schema, frame.assign(label=frame.label / 2))
    with pytest.raises(ValueError, match='both present, to balance. Received'):
        stream.balanced()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-2, 6), min_size=1, max_size=40),
       st.integers(-2, 5), st.integers(1, 9))
def test_likes_of_files_are_those_of_the_table(ratings, above, group):
    table = pd.DataFrame(dict(rating=np.array(ratings, float),
                              row=np.arange(len(ratings))))
    rows = pa.Table.from_pandas(table, preserve_index=False)
    source = as_source(rows).likes('rating', above)
    expected = (table.rating > above).astype('float32')
    assert source['liked'].tolist() == expected.tolist()
    again = source[['liked', 'row', 'rating']]
    pd.testing.assert_frame_equal(
        again, table.assign(liked=expected)[['liked', 'row', 'rating']])
    batches = list(source.batches(['liked'], group))
    assert sum(b.num_rows for b in batches) == len(ratings)


@pytest.mark.parametrize('kind', ['csv', pytest.param(
    'parquet', marks=pytest.mark.slow)])
def test_a_streamed_run_of_likes_in_balance_is_that_in_memory(kind, tmp_path):
    "Without shuffling they are equal to the last bit; here parts and figures."
    from contextlib import redirect_stdout
    from io import StringIO
    from recofm.cli import main
    from recofm.serving.artifact import Artifact
    stars = frame.assign(rating=1. + np.arange(3_000) % 5)
    file = tmp_path/f'stars.{kind}'
    rows = stars[['user', 'film', 'rating']]
    if kind == 'csv': rows.to_csv(file, index=False)
    else: rows.to_parquet(file, row_group_size=500)
    words = ['train', '--data', str(file), '--user', 'user', '--item', 'film',
             '--above', '3', '--class-weight', 'balanced', '--epochs', '1',
             '--model', 'FM', '--batch-size', '128']
    said = StringIO()
    with redirect_stdout(said):
        main([*words, '--out', str(tmp_path/'memory')])
        main([*words, '--out', str(tmp_path/'files'), '--stream'])
        main(['train', '--config', str(tmp_path/'files'/'recipe.toml'),
              '--out', str(tmp_path/'again')])
    found = [json.loads((tmp_path/n/'metrics.json').read_text())
             for n in ('memory', 'files', 'again')]
    means = [f['baselines']['item mean'] for f in found]
    assert means[0] == means[1] == means[2]
    assert found[1]['test'] == found[2]['test']
    one, other = (Artifact.load(tmp_path/n) for n in ('memory', 'files'))
    same(one.schema, other.schema)


def meetings(rows, seed):
    "Who met what: keys may be missing, and the last row of each decides."
    draw = np.random.default_rng(seed)
    user = draw.integers(0, 12, rows).astype(object)
    film = np.array([*'abcdefg', None], object)[draw.integers(0, 8, rows)]
    user[draw.random(rows) < .1] = None
    return pd.DataFrame(dict(
        user=user, town=draw.choice(['x', 'y|x', None], rows), film=film,
        year=np.where(draw.random(rows) < .2, np.nan,
                      draw.integers(1960, 1963, rows)),
        title=draw.choice(['A', 'B', None], rows), place=draw.integers(9)))


of_meetings = Schema.fit(
    meetings(400, 0), user=['user', 'town'], item=['film', 'year'],
    context='place', multi=['town'], numeric=['year', 'place'],
    at_scoring={'place': 1}, dim=4)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=5),
       st.integers(1, 40), st.sampled_from([1, 5, 30, 10**6]),
       st.integers(0, 99))
def test_the_catalogue_of_a_source_is_that_of_its_rows(sizes, group, waiting,
                                                       seed):
    rows = meetings(max(sum(sizes), 1), seed)
    expected = Catalogue.fit(rows, of_meetings, 'title', 'year')
    whole = pa.Table.from_pandas(rows, preserve_index=False)
    coded = whole.set_column(whole.schema.names.index('title'), 'title',
                             whole['title'].dictionary_encode())
    cuts = [0, *np.cumsum(sizes)[:-1], len(rows)]
    several = [as_source(pa.Table.from_batches(
        table.slice(i, j - i).to_batches(group), table.schema))
        for table, i, j in zip([whole, coded] * 3, cuts, cuts[1:])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, 'most_waiting', waiting)
        for found in (several, as_source(whole), as_source(rows)):
            found = Catalogue.fit(found, of_meetings, 'title', 'year')
            assert found.schema == expected.schema
            one, other = map(catalogue_arrays, (found, expected))
            assert one.keys() == other.keys()
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])


def test_a_catalogue_of_many_rows_takes_little_memory(tmp_path):
    "Two million rows of 1,000 users, each with 200 bytes of text."
    rows = 2**17
    table = pa.table(dict(
        user=np.arange(rows) % 1000, film=np.arange(rows) % 70,
        text=[f'{i % 1000:0200}' for i in range(rows)]))
    for i in range(16): pq.write_table(table, tmp_path/f'{i:02}.parquet')
    code = '''
import resource, sys
import pyarrow as pa
from recofm.data import Schema, as_source
from recofm.serving.catalogue import Catalogue
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
one = as_source(f'{sys.argv[1]}/00.parquet')
schema = Schema.fit(one, user=['user', 'text'], item='film', dim=2)
Catalogue.fit(one, schema, label=None)
start = peak()
found = Catalogue.fit(as_source(sys.argv[1]), schema, label=None)
assert repr(found) == 'Catalogue(1,000 users, 70 items, 7,000 seen)'
print(peak() - start)
'''
    done = subprocess.run([sys.executable, '-c', code, str(tmp_path)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 150    # MiB; the text alone is 400


def test_targets_and_weights_are_read_alone(files, tmp_path):
    heavy = frame.assign(w=np.arange(len(frame)) % 5 + 1.)
    (tmp_path/'heavy').mkdir()
    source = as_source(written(tmp_path/'heavy', heavy, [1_000, 0, 2_000]))
    fitted = Schema.fit(source, weight='w', **columns)
    for stream in (Stream(fitted, source),
                   Stream(fitted, source).cached(tmp_path/'cache')):
        np.testing.assert_array_equal(stream.target[:, 0], heavy.label)
        np.testing.assert_array_equal(stream.weights, heavy.w)
    shares = [Stream(fitted, source, shard=(i, 7)) for i in range(7)]
    np.testing.assert_array_equal(
        np.concatenate([s.target for s in shares])[:, 0], heavy.label)
    read = []
    def watched(piece):
        def batches(names, size):
            read.append([*names])
            return piece.read(names, size)
        return replace(piece, read=batches)
    seen = Stream(fitted, source.of_pieces(map(watched, source.pieces)))
    seen.target, seen.weights
    assert {tuple(names) for names in read} == {('label',), ('w',)}


@pytest.mark.parametrize('group', [7, 100])
def test_tiny_pieces_are_encoded_together_and_mean_the_same(
        group, schema, tmp_path):
    source = as_source(written(tmp_path, frame, [900, 3, 2_097], group))
    stream = Stream(schema, source, window=500)
    parts = [*stream.parts(3, 1)]
    pieces = [stream.pieces[i] for i in stream.order(3, 1)]
    assert [len(y) for _, y in parts] == [piece.rows for piece in pieces]
    for (x, y), piece in zip(parts, pieces):
        equal((x, y), widened(joined([*piece.parts()]), stream.valued))
    equal(epoch_of(stream, 3), epoch_of(stream.cached(tmp_path/'c'), 3))
    same(Schema.fit(source, **columns), schema)
    wrong = frame.astype(dict(hour=object))
    wrong.loc[1_000, 'hour'] = 'noon'
    wrong['hour'] = wrong.hour.map(lambda h: None if h != h else str(h))
    text = as_source(pa.Table.from_pandas(wrong, preserve_index=False))
    pieces = [p for i in range(0, 3_000, 50) for p in as_source(
        pa.Table.from_pandas(wrong[i:i + 50], preserve_index=False)).pieces]
    pieces = [replace(p, place=f'piece {i}') for i, p in enumerate(pieces)]
    for read in (lambda s: Schema.fit(s, **columns),
                 lambda s: [*Stream(schema, s).parts()]):
        with pytest.raises(ValueError, match='piece 0, rows 0 to 49: '):
            read(text.of_pieces(pieces))


@pytest.mark.parametrize('how', ['told', 'liked'])
def test_columns_that_are_made_stream_beside_categories_of_parquet(
        how, tmp_path):
    frame = table(300).assign(day=np.repeat(['1', '2'], 150))
    frame['liked'] = (frame.age > 40).astype(float)
    frame = frame[frame.age.notna()].reset_index(drop=True)
    if how == 'told':
        for day, part in frame.groupby('day'):
            (tmp_path/f'day={day}').mkdir()
            part.drop(columns='day').to_parquet(
                tmp_path/f'day={day}/rows.parquet')
        source = as_source(tmp_path)
    else:
        frame.drop(columns='liked').to_parquet(tmp_path/'rows.parquet')
        source = as_source(tmp_path/'rows.parquet').likes('age', 40)
    taken = columns | dict(target='liked', context=['day', 'age'], numeric=[])
    schema = Schema.fit(source, **taken)
    for one, other in zip(joined([*schema.stream(source).parts()]),
                          joined([*schema.stream(frame).parts()])):
        if not isinstance(one, dict): one, other = dict(x=one), dict(x=other)
        for name in one: np.testing.assert_array_equal(one[name], other[name])


def test_a_file_that_changes_is_seen_though_its_numbers_are_asked_for(
        schema, tmp_path):
    file, rows = tmp_path/'rows.csv', table(60)
    rows[:50].to_csv(file, index=False)
    for noted in as_source(tmp_path), as_source(tmp_path).counted():
        rows.to_csv(file, index=False)
        with pytest.raises(ValueError, match='it was at first'):
            schema.stream(noted).target
        rows[:50].to_csv(file, index=False)


def test_a_new_file_is_none_of_a_source_that_was_noted(schema, tmp_path):
    rows = table(60)
    rows[:50].to_csv(tmp_path/'b.csv', index=False)
    noted = as_source(tmp_path).counted()
    rows[50:].to_csv(tmp_path/'a.csv', index=False)
    assert len(schema.stream(noted).target) == 50
    assert len(schema.stream(as_source(tmp_path)).target) == 60


def test_a_file_that_is_named_twice_has_a_cache_of_its_own(schema, tmp_path):
    file = str(tmp_path/'rows.parquet')
    table(50).to_parquet(file)
    sizes = [len(schema.stream(given, tmp_path/'cache').target)
             for given in (file, [file, file])]
    assert sizes == [50, 100]


@pytest.mark.parametrize('ending', ['csv', 'parquet'])
def test_no_rows_have_no_targets(ending, schema, tmp_path):
    file, none = tmp_path/f'none.{ending}', table(50)[:0]
    if ending == 'csv': none.to_csv(file, index=False)
    else: none.to_parquet(file)
    assert as_source(file)['user'].tolist() == []
    for cache in None, tmp_path/'cache', tmp_path/'cache':
        assert schema.stream(file, cache).target.shape == (0, 1)
