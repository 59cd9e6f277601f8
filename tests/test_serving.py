"An artifact in a process that has seen neither the training nor the class."
import json
import os
import subprocess
import sys
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
