"An artifact in a process that has seen neither the training nor the class."
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

serve = """
import json, sys
from recofm.serving import Artifact
artifact = Artifact.load(sys.argv[1])
scores = artifact.score(json.loads(sys.argv[2])).tolist()
items = artifact.recommend('2', k=2).item.tolist()
print(json.dumps(dict(scores=scores, items=items)))
"""
seen = dict(user_id=2, age=40, movie_id=10, genres='b')
unseen = dict(user_id=9, age=None, movie_id=99, genres='z')


@pytest.fixture(scope='module')
def artifact():
    from recofm.data.schema import Schema
    from recofm.models.fm import FM
    from recofm.serving import Artifact, Catalogue
    frame = pd.DataFrame(dict(
        user_id=[1, 1, 2, 3], age=[20, 20, 40, 60], movie_id=[10, 11, 12, 13],
        genres=['a|b', 'a', 'b', None],
        title=['Über', '東京', 'B, "C"', None], liked=[1., 0, 1, 0]))
    schema = Schema.fit(
        frame, target='liked', user=['user_id', 'age'],
        item=['movie_id', 'genres'], numeric=['age'], multi=['genres'], dim=4)
    model = FM(schema.fields)
    model.compile()
    model.fit(schema.batches(frame, batch_size=2), epochs=3, verbose=0)
    return Artifact(model, schema, Catalogue.fit(frame, schema))


def test_a_fresh_process_gives_the_same_answers(artifact, tmp_path):
    folder, rows = tmp_path/'artifact', [seen, unseen]
    artifact.save(folder)
    command = [sys.executable, '-c', serve, str(folder), json.dumps(rows)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout.splitlines()[-1])
    scores = np.array(answer['scores'], 'float32')
    np.testing.assert_array_equal(scores, artifact.score(rows))
    assert answer['items'] == artifact.recommend(2, k=2).item.tolist()


def test_labels_survive_in_any_script(artifact, tmp_path):
    from recofm.serving import Artifact
    artifact.save(tmp_path/'artifact')
    labels = Artifact.load(tmp_path/'artifact').catalogue.labels
    assert set(labels) == {'Über', '東京', 'B, "C"', '13'}


@pytest.mark.parametrize('stops_at', [1, 2])
def test_a_save_that_is_cut_off_between_renames_leaves_the_old_artifact(
        artifact, tmp_path, monkeypatch, stops_at):
    from recofm.serving import Artifact
    folder, rename, calls = tmp_path/'artifact', Path.rename, []
    artifact.save(folder)

    def cut_off(self, target):
        calls.append(target)
        if len(calls) == stops_at: raise KeyboardInterrupt
        return rename(self, target)
    with monkeypatch.context() as m:
        m.setattr(Path, 'rename', cut_off)
        with pytest.raises(KeyboardInterrupt): artifact.save(folder)
    scores = Artifact.load(folder).score([seen])
    np.testing.assert_array_equal(scores, artifact.score([seen]))
    artifact.save(folder)
    assert os.listdir(tmp_path) == ['artifact']


def test_a_relative_folder_and_the_permissions_of_the_user(
        artifact, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artifact.save('deep/in/artifact')
    (tmp_path/'plain').mkdir()
    assert os.stat('deep/in/artifact').st_mode == os.stat('plain').st_mode


def test_somebody_elses_old_is_not_read(artifact, tmp_path):
    from recofm.serving import Artifact
    for name in ('.q.old', '.q.recofm/old'): artifact.save(tmp_path/name)
    with pytest.raises(ValueError, match='Expected an artifact in'):
        Artifact.load(tmp_path/'q')
    artifact.save(tmp_path/'r')
    (tmp_path/'.r.old').mkdir()
    artifact.save(tmp_path/'r')
    assert (tmp_path/'.r.old').exists()


def test_a_former_report_is_moved_and_its_model_named_another(
        artifact, tmp_path):
    folder = tmp_path/'o'
    report = {'metrics.json': b'{}', 'curves.png': b'png'}
    artifact.save(folder, report)
    with pytest.warns(match='curves.png, metrics.json') as said:
        artifact.save(folder)
    own = [str(s.message) for s in said if s.category is UserWarning]
    assert len(own) == 1 and len(own[0].splitlines()) == 1
    assert (folder/'earlier-report'/'curves.png').read_bytes() == b'png'
    artifact.save(folder)
    assert len(os.listdir(folder/'earlier-report')) == 2
    (folder/'earlier-report'/'mine').touch()
    with pytest.raises(ValueError, match='earlier-report/mine'):
        artifact.save(folder)


@pytest.mark.parametrize('name', ['../up', 'model.keras', 'a/b', '.x', 7])
def test_a_report_stays_in_its_folder(artifact, tmp_path, name):
    with pytest.raises(ValueError, match='Received '):
        artifact.save(tmp_path/'o', {name: b''})
    assert os.listdir(tmp_path) == []


def test_it_goes_where_it_can(artifact, tmp_path):
    from recofm.serving import Artifact
    (tmp_path/'o').mkdir()
    (tmp_path/'o'/'note').touch()
    with pytest.warns(match='lies in .*o-1. Expected a new folder.*note'):
        assert artifact.save_somewhere(tmp_path/'o').name == 'o-1'
    os.remove(tmp_path/'o'/'note')
    assert artifact.save_somewhere(tmp_path/'o', {'m': b''}).name == 'o'
    assert Artifact.load(tmp_path/'o').score([seen]).shape == (1,)
    (tmp_path/'file').touch()
    with pytest.warns(match='folder that can be written'):
        place = artifact.save_somewhere(tmp_path/'file'/'o')
    assert place.name == 'o'
    assert Artifact.load(place).score([seen]).shape == (1,)
    assert sorted(os.listdir(tmp_path)) == ['file', 'o', 'o-1']


def test_where_it_can_go_nowhere_every_place_is_named(
        artifact, tmp_path, monkeypatch):
    def full(*_): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(type(artifact.schema), 'save', full)
    with pytest.raises(OSError) as refused:
        artifact.save_somewhere(tmp_path/'o')
    for name in ('o: ', 'o-1: ', 'o-2: '):
        assert str(tmp_path/name) in str(refused.value)
    assert str(refused.value).count('No space left') == 4
    assert os.listdir(tmp_path) == []


save_again = """
import os, signal, sys, threading
from recofm.serving import Artifact
artifact = Artifact.load(sys.argv[1])
print('begun', flush=True)
for n in range(10**6): artifact.save(sys.argv[1], {'n': b'%d' % n * 99})
"""


@pytest.mark.parametrize('times', [
    2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_in_a_save_old_or_new(artifact, tmp_path, times):
    from recofm.serving import Artifact
    artifact.save(tmp_path/'o')
    for n in range(times):
        run = subprocess.Popen([sys.executable, '-c', save_again, tmp_path/'o'],
                               stdout=subprocess.PIPE)
        run.stdout.readline()
        time.sleep(1 + random.Random(n).random())
        run.kill()
        run.communicate()
        again = Artifact.load(tmp_path/'o')
        np.testing.assert_array_equal(again.score([seen]),
                                      artifact.score([seen]))
    artifact.save(tmp_path/'o', {'n': b''})
    assert os.listdir(tmp_path) == ['o']
