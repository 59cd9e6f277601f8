"A run loses nothing: what becomes of a trained model when something fails."
import errno
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recofm.datasets.synthetic import planted

names = 'user', 'film'


@pytest.fixture(scope='module')
def frame():
    return planted(n=1_000, sizes=(30, 20), strength=2., rank=2,
                   names=names).frame


def settings(**more):
    from recofm.runs.settings import Settings
    columns = dict(target='label', user=['user'], item=['film'], dim=4)
    return Settings(**dict(model='FM', columns=columns, arguments={},
                           epochs=3) | more)


def trained(frame, out, **more):
    "A run, and what it printed."
    from recofm.runs.run import run
    with redirect_stdout(StringIO()) as said:
        artifact, table = run(frame, settings(), out, **more)
    return artifact, table, said.getvalue()


def metrics(folder):
    return json.loads((folder/'metrics.json').read_text())


def loaded(folder):
    from recofm.serving.artifact import Artifact
    return Artifact.load(folder)


def same_scores(artifact, folder, frame):
    np.testing.assert_array_equal(loaded(folder).predict(frame),
                                  artifact.predict(frame))


def test_a_baseline_that_fails_is_named_and_the_rest_stands(
        frame, tmp_path, monkeypatch):
    from recofm.evaluation.baselines import OneHotLogistic
    def fail(*args): raise TypeError('uniformly strings\nor numbers')
    monkeypatch.setattr(OneHotLogistic, 'fit', fail)
    artifact, table, said = trained(frame, tmp_path/'out')
    line = 'TypeError: uniformly strings or numbers'
    found = metrics(tmp_path/'out')
    assert found['failed'] == {'logistic regression': line}
    assert f'without logistic regression: {line}' in said
    assert list(found['baselines']) == ['global mean', 'item mean']
    assert set(found['test']) == {'auc', 'logloss', 'accuracy'}
    same_scores(artifact, tmp_path/'out', frame)


def test_curves_that_cannot_be_drawn_are_named(frame, tmp_path, monkeypatch):
    from recofm.runs import run as page
    def fail(*args): raise RuntimeError('no such font')
    monkeypatch.setattr(page, 'curves', fail)
    trained(frame, tmp_path/'out')
    assert metrics(tmp_path/'out')['failed'] == {
        'curves.png': 'RuntimeError: no such font'}
    assert 'test' in metrics(tmp_path/'out')


def when_trained(monkeypatch, happens):
    "Let something happen between the last epoch and the saving."
    from recofm.runs import run as page
    learn = page.learn
    def after(*args, **kwargs):
        found = learn(*args, **kwargs)
        happens()
        return found
    monkeypatch.setattr(page, 'learn', after)


def test_a_note_in_the_folder_stays_and_the_model_goes_beside_it(
        frame, tmp_path, monkeypatch):
    out = tmp_path/'out'
    def note():
        out.mkdir()
        (out/'note.txt').write_text('mine')
    when_trained(monkeypatch, note)
    with pytest.warns(UserWarning, match='The artifact lies in .*out-1'):
        artifact, _, said = trained(frame, out)
    assert os.listdir(out) == ['note.txt']
    assert f'Saved in {tmp_path/"out-1"}' in said
    assert 'test' in metrics(tmp_path/'out-1')
    same_scores(artifact, tmp_path/'out-1', frame)


def test_a_full_disk_sends_the_model_elsewhere(frame, tmp_path, monkeypatch):
    "The parent folder can take nothing more once the model is trained."
    from recofm.serving import artifact as page
    write = page.write_parts
    def full(artifact, folder, *args):
        if tmp_path/'disk' in Path(folder).parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(artifact, folder, *args)
    monkeypatch.setattr(page, 'write_parts', full)
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path/'elsewhere'))
    (tmp_path/'elsewhere').mkdir()
    with pytest.warns(UserWarning, match='No space left on device'):
        artifact, _, said = trained(frame, tmp_path/'disk'/'out')
    place = Path(said.partition('Saved in ')[2].partition(':')[0])
    assert tmp_path/'elsewhere' in place.parents
    same_scores(artifact, place, frame)


def test_a_report_that_cannot_be_written_leaves_the_model(
        frame, tmp_path, monkeypatch):
    from recofm.runs import run as page
    def full(*args): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(page, 'add_report', full)
    artifact, _, said = trained(frame, tmp_path/'out')
    assert 'The report could not be written' in said
    assert (tmp_path/'out'/'settings.json').is_file()
    same_scores(artifact, tmp_path/'out', frame)


def test_a_strange_cell_in_the_test_part_is_refused_before_training(
        frame, tmp_path):
    from recofm.data.splits import split
    from recofm.runs.run import run
    parts = dict(zip(('train', 'valid', 'test'), split(frame)))
    strange = parts['test'].astype(dict(film=object))
    strange.iloc[-1, strange.columns.get_loc('film')] = 'AB-12'
    with redirect_stdout(StringIO()) as said:
        with pytest.raises(ValueError, match="The test part: Field 'film'"):
            run(parts | dict(test=strange), settings(), tmp_path/'out')
    assert said.getvalue() == '' and os.listdir(tmp_path) == []


def broken_in(epoch):
    "A callback that breaks the training off in the middle of an epoch."
    from recofm.runs.run import Validation
    validate = Validation.on_epoch_end
    def on_epoch_end(self, number, logs):
        if number == epoch: raise KeyboardInterrupt
        validate(self, number, logs)
    return on_epoch_end


def test_a_break_saves_the_best_weights_so_far(frame, tmp_path, monkeypatch):
    from recofm.runs.run import Validation, run
    whole, *_ = trained(frame, tmp_path/'whole')
    monkeypatch.setattr(Validation, 'on_epoch_end', broken_in(2))
    said = 'Stopped in epoch 3: the best of 2 epochs is saved in .*out'
    with redirect_stdout(StringIO()):
        with pytest.raises(KeyboardInterrupt, match=said):
            run(frame, settings(), tmp_path/'out')
    found = metrics(tmp_path/'out')
    assert (found['epochs'], found['ended']) == (2, 'interrupted')
    best = pd.read_csv(tmp_path/'out'/'history.csv').val_auc.max()
    np.testing.assert_allclose(found['valid']['auc'], best)


def test_a_break_in_the_first_epoch_saves_no_model(
        frame, tmp_path, monkeypatch):
    from recofm.runs.run import Validation, run
    monkeypatch.setattr(Validation, 'on_epoch_end', broken_in(0))
    with redirect_stdout(StringIO()):
        with pytest.raises(KeyboardInterrupt, match='Stopped in epoch 1. Go'):
            run(frame, settings(), tmp_path/'out')
    assert not (tmp_path/'out').exists()


def test_a_break_before_the_first_callback_is_one_too(
        frame, tmp_path, monkeypatch):
    from recofm.runs.run import DivergenceGuard, run
    def broken(self, logs): raise KeyboardInterrupt
    monkeypatch.setattr(DivergenceGuard, 'on_train_begin', broken)
    with redirect_stdout(StringIO()):
        with pytest.raises(KeyboardInterrupt, match='Stopped in epoch 1. Go'):
            run(frame, settings(), tmp_path/'out')


@pytest.mark.parametrize('error, kind', [
    (MemoryError('no room'), MemoryError), (OSError('no disk'), OSError),
    (KeyError('no key'), RuntimeError)])
def test_an_error_after_good_epochs_saves_them(
        error, kind, frame, tmp_path, monkeypatch):
    from recofm.runs.run import Validation, run
    validate = Validation.on_epoch_end
    def on_epoch_end(self, epoch, logs):
        if epoch == 2: raise error
        validate(self, epoch, logs)
    monkeypatch.setattr(Validation, 'on_epoch_end', on_epoch_end)
    with redirect_stdout(StringIO()):
        with pytest.raises(kind, match=f'{error}. Saved in .*out: the best'):
            run(frame, settings(), tmp_path/'out')
    found = metrics(tmp_path/'out')
    assert (found['epochs'], found['ended']) == (2, 'failed')
    loaded(tmp_path/'out')


def test_memory_that_runs_out_after_good_epochs_has_its_cure(
        frame, tmp_path, monkeypatch):
    import tensorflow as tf
    from recofm.cli.commands import in_words
    from recofm.runs.run import Validation, run
    validate = Validation.on_epoch_end
    def on_epoch_end(self, epoch, logs):
        if epoch: raise tf.errors.ResourceExhaustedError(None, None, 'a' * 999)
        validate(self, epoch, logs)
    monkeypatch.setattr(Validation, 'on_epoch_end', on_epoch_end)
    with redirect_stdout(StringIO()):
        with pytest.raises(RuntimeError) as caught:
            run(frame, settings(), tmp_path/'out')
    said = in_words(caught.value)
    assert 'a smaller --dim or --batch-size' in said
    assert said.endswith('out: the only whole epoch')


def test_a_loss_that_explodes_is_named_and_never_the_best(frame, tmp_path):
    from recofm.runs.run import run
    wild = settings(learning_rate=1e9, arguments=dict(v_reg=.1))
    said = 'Epoch 1, batches .* expected loss of at most .* Likely cures: a le'
    with redirect_stdout(StringIO()):
        with pytest.raises(ValueError, match=said):
            run(frame, wild, tmp_path/'out')
    assert not (tmp_path/'out').exists()


def test_good_epochs_before_an_explosion_are_saved(
        frame, tmp_path, monkeypatch):
    from recofm.runs.run import Validation, run
    validate = Validation.on_epoch_end
    def on_epoch_end(self, epoch, logs):
        validate(self, epoch, logs)
        if epoch == 1: logs['val_loss'] = np.nan
    monkeypatch.setattr(Validation, 'on_epoch_end', on_epoch_end)
    said = 'Epoch 2: expected val_loss to be finite.* Saved in .*: the only'
    with redirect_stdout(StringIO()):
        with pytest.raises(ValueError, match=said):
            run(frame, settings(), tmp_path/'out')
    found = metrics(tmp_path/'out')
    assert (found['epochs'], found['ended']) == (1, 'diverged')
    loaded(tmp_path/'out')


def test_a_run_can_replace_the_folder_that_it_was_started_in(
        frame, tmp_path, monkeypatch):
    (tmp_path/'here').mkdir()
    monkeypatch.chdir(tmp_path/'here')
    artifact, _, said = trained(frame, '.')
    assert 'Saved in .: the model' in said
    same_scores(artifact, tmp_path/'here', frame)


def test_a_state_that_is_refused_is_named_as_it_lies(frame, tmp_path):
    from recofm.runs.run import run
    trained(frame, tmp_path/'out')
    kept = tmp_path/'out'/'state.npz'
    kept.write_bytes(kept.read_bytes()[:999])
    with redirect_stdout(StringIO()):
        with pytest.raises(ValueError, match=f'{kept}: expected an npz'):
            run(frame, settings(), tmp_path/'out', resume=True)
    assert kept.stat().st_size == 999
    assert os.listdir(tmp_path) == ['out']


def test_a_break_behind_the_last_epoch_names_no_other():
    from recofm.runs.run import stopped
    rows = pd.DataFrame(dict(epoch=[1, 2]))
    said = str(stopped(KeyboardInterrupt(), rows, 'out', epochs=2))
    assert said.startswith('Stopped after epoch 2: the best of 2 epochs is')
    said = str(stopped(KeyboardInterrupt(), rows, 'out', epochs=3))
    assert said.startswith('Stopped in epoch 3: the best of 2 epochs is')


def test_targets_too_far_apart_are_refused_without_a_warning(
        frame, tmp_path, recwarn):
    from recofm.runs.run import run
    wild = frame.assign(label=frame.label.astype('float64') * 1e200)
    said = 'expected a target that float32 can hold'
    with pytest.raises(ValueError, match=said):
        run(wild, settings(task='rating'), tmp_path/'out')
    assert [str(w.message) for w in recwarn] == []
