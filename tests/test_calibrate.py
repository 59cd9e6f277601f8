"""A run whose probabilities mean what they say: what is fit on the validation
rows is kept with the model, and stands behind it wherever a score goes."""
import json
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pandas as pd
import pytest

from recofm.cli import main
from recofm.evaluation.calibration import (
    Isotonic, Platt, calibration_error, calibrators)
from recofm.serving.artifact import Artifact, outputs


def train(*words):
    "What `recofm train` prints."
    words = map(str, words)
    with redirect_stdout(StringIO()) as shown: main(['train', *words])
    return shown.getvalue()


def clicks(rows=3_000):
    "One in six is a click."
    rng = np.random.default_rng(0)
    user, film = rng.integers(0, 30, rows), rng.integers(0, 20, rows)
    odds = np.sin(film * 5.) + np.sin(user * 3.) - 2
    return pd.DataFrame(dict(
        user=[f'u{u}' for u in user], film=[f'f{f}' for f in film],
        click=(rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(int)))


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    "A run with balanced classes, which is far too sure, and is mended."
    folder = tmp_path_factory.mktemp('calibrated')
    clicks().to_csv(folder/'may.csv', index=False)
    train('--data', folder/'may.csv', '--target', 'click', '--user', 'user',
          '--item', 'film', '--model', 'FM', '--epochs', 2, '--dim', 4,
          '--learning-rate', .02, '--class-weight', 'balanced', '--calibrate',
          'platt', '--no-report', '--out', folder/'run')
    return folder


@pytest.fixture(scope='module')
def artifact(place): return Artifact.load(place/'run')


def raw(artifact, frame):
    "What the model itself says."
    return outputs(artifact.model, artifact.schema.inputs(frame))


def test_a_run_is_calibrated(place, artifact):
    from recofm.runs.run import make_parts
    from recofm.runs.settings import Settings
    settings = Settings.load(place/'run')
    assert settings.calibrate == 'platt'
    assert 'calibrate = "platt"' in (place/'run/recipe.toml').read_text()
    parts = make_parts(pd.read_csv(place/'may.csv'), settings)
    valid = parts['valid']
    assert artifact.calibration == Platt.fit(
        valid.click, raw(artifact, valid))
    test, p = parts['test'], artifact.predict(parts['test'])
    before = calibration_error(test.click, raw(artifact, test))
    assert calibration_error(test.click, p) < .1 < .2 < before
    metrics = json.loads((place/'run/metrics.json').read_text())
    found = artifact.evaluate(test).iloc[0]
    for metric, value in metrics['test'].items():
        assert found[metric] == pytest.approx(value, abs=1e-6)


def test_scores_are_calibrated_wherever_they_go(artifact):
    frame = clicks()[:50]
    expected = artifact.calibration(raw(artifact, frame))
    assert np.array_equal(artifact.predict(frame), expected)
    few = frame[:5].to_dict('records')
    assert artifact.score(few) == pytest.approx(expected[:5], abs=1e-6)
    best = artifact.recommend('u7', k=5)
    rows = pd.DataFrame(dict(user='u7', film=best['item']))
    assert best.score.to_numpy() == pytest.approx(artifact.predict(rows),
                                                  abs=1e-6)
    many = artifact.recommend_many(['u7'], k=5, verbose=False)
    assert many.score.tolist() == best.score.tolist()
    slices = artifact.slices(clicks())
    assert slices.prediction.mean() == pytest.approx(expected.mean(), abs=.03)


def test_an_explanation_is_of_what_comes_before(artifact):
    row = clicks().iloc[0].to_dict()
    found = artifact.explain(row)
    p, = raw(artifact, [row])
    assert found.unit == 'log-odds before calibration'
    assert found.total == pytest.approx(np.log(p / (1 - p)), abs=1e-4)


@pytest.mark.parametrize('name', [
    'platt', pytest.param('isotonic', marks=pytest.mark.slow)])
def test_an_export_is_calibrated(artifact, name, tmp_path):
    import tensorflow as tf
    from dataclasses import replace
    frame = clicks()
    fit = calibrators[name].fit(frame.click, raw(artifact, frame))
    mended = replace(artifact, calibration=fit)
    place = mended.export(tmp_path/'served', k=3)
    served = tf.saved_model.load(str(place)).signatures
    columns = {n: tf.constant(frame[n][:40]) for n in ('user', 'film')}
    found = served['serving_default'](**columns)['score'].numpy()
    assert found == pytest.approx(mended.predict(frame[:40]), abs=1e-6)
    best = mended.recommend('u7', k=3, seen=True)
    found = served['recommend'](user=tf.constant(['u7']),
                                exclude=tf.constant([[]], tf.string))
    assert found['score'].numpy()[0] == pytest.approx(best.score, abs=1e-6)
    left = served['recommend'](
        user=tf.constant(['u7']),
        exclude=tf.constant([[f'f{i}' for i in range(20)]]))
    assert np.isneginf(left['score'].numpy()).all()


def test_onnx_has_no_place_for_it(artifact, tmp_path):
    pytest.importorskip('tf2onnx')
    with pytest.raises(ValueError, match='without calibration'):
        artifact.export(tmp_path/'onnx', format='onnx')
    assert not (tmp_path/'onnx').exists()


def test_it_is_a_part_of_the_artifact(artifact, tmp_path):
    artifact.save(tmp_path/'copy')
    assert Artifact.load(tmp_path/'copy').calibration == artifact.calibration
    file = tmp_path/'copy/calibration.json'
    listed = json.loads((tmp_path/'copy/artifact.json').read_text())
    assert 'calibration.json' in listed['files']
    file.write_text(file.read_text().replace('slope', 'slop'))
    with pytest.raises(ValueError, match='another calibration.json'):
        Artifact.load(tmp_path/'copy')
    file.unlink()
    with pytest.raises(ValueError, match='Expected calibration.json'):
        Artifact.load(tmp_path/'copy')
    Artifact(artifact.model, artifact.schema).save(tmp_path/'copy')
    assert Artifact.load(tmp_path/'copy').calibration is None
    assert not file.exists()


@pytest.mark.parametrize('content', [
    '[]', '{"kind": "beta"}', '{"kind": "platt"}',
    '{"kind": "platt", "slope": -1, "offset": 0}',
    '{"kind": "platt", "slope": 1e999, "offset": 0}',
    '{"kind": "isotonic", "said": [], "met": []}',
    '{"kind": "isotonic", "said": [0.1, 0.2], "met": [0.9, 0.1]}',
    '{"kind": "isotonic", "said": 1, "met": 1}'])
def test_a_calibration_that_is_none_is_refused(content, tmp_path):
    from recofm.serving.artifact import read_calibration
    body = content.replace('{', '{"format": 2, ', 1)
    (tmp_path/'calibration.json').write_text(body)
    with pytest.raises(ValueError, match='calibration.json: '):
        read_calibration(tmp_path)


@pytest.mark.parametrize('words, message', [
    (['--calibrate', 'plat'], "Received: 'plat'. Did you mean 'platt'"),
    (['--calibrate', 'platt', '--task', 'rating'],
     "Expected --calibrate with the task 'click' alone")])
def test_mistakes_are_said_early(words, message, place):
    with pytest.raises(SystemExit, match=message):
        train('--data', place/'may.csv', '--target', 'click', '--user', 'user',
              '--item', 'film', *words, '--out', place/'x')
    assert not (place/'x').exists()


def test_both_kinds_rise():
    rng = np.random.default_rng(0)
    p = rng.random(2_000).astype('float32')
    y = (rng.random(2_000) < p**2).astype(int)
    for kind in (Platt, Isotonic):
        found = kind.fit(y, p)(np.linspace(0, 1, 501).astype('float32'))
        assert (np.diff(found) >= 0).all() and found[0] >= 0 and found[-1] <= 1
        assert found.dtype == 'float32'
