"An artifact in a process of its own, which has seen neither the training nor the class of the model."
import json, os, subprocess, sys

import numpy as np
import pandas as pd
import pytest

serve = """
import json, sys
from recofm.serving import Artifact
artifact = Artifact.load(sys.argv[1])
rows = json.loads(sys.argv[2])
print(json.dumps(dict(scores=artifact.score(rows).tolist(), items=artifact.recommend('2', k=2).item.tolist())))
"""


@pytest.fixture(scope='module')
def artifact():
    from recofm.data.schema import Schema
    from recofm.models.fm import FM
    from recofm.serving import Artifact, Catalogue
    frame = pd.DataFrame(dict(user_id=[1, 1, 2, 3], age=[20, 20, 40, 60], movie_id=[10, 11, 12, 13], genres=['a|b', 'a', 'b', None],
                              title=['Über', '東京', 'B, "C"', None], liked=[1., 0, 1, 0]))
    schema = Schema.fit(frame, target='liked', user=['user_id', 'age'], item=['movie_id', 'genres'], numeric=['age'], multi=['genres'], dim=4)
    model = FM(schema.fields)
    model.compile()
    model.fit(schema.batches(frame, batch_size=2), epochs=3, verbose=0)
    return Artifact(model, schema, Catalogue.fit(frame, schema))


def test_a_fresh_process_gives_the_same_answers(artifact, tmp_path):
    rows = [dict(user_id=2, age=40, movie_id=10, genres='b'), dict(user_id=9, age=None, movie_id=99, genres='z')]
    artifact.save(tmp_path/'artifact')
    run = subprocess.run([sys.executable, '-c', serve, str(tmp_path/'artifact'), json.dumps(rows)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout.splitlines()[-1])
    np.testing.assert_array_equal(np.array(answer['scores'], 'float32'), artifact.score(rows))
    assert answer['items'] == artifact.recommend(2, k=2).item.tolist()


def test_labels_survive_in_any_script(artifact, tmp_path):
    from recofm.serving import Artifact
    artifact.save(tmp_path/'artifact')
    assert set(Artifact.load(tmp_path/'artifact').catalogue.labels) == {'Über', '東京', 'B, "C"', '13'}


@pytest.mark.parametrize('stops_at', [1, 2])
def test_a_save_that_is_cut_off_between_renames_leaves_the_old_artifact(artifact, tmp_path, monkeypatch, stops_at):
    from pathlib import Path
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
    rows = [dict(user_id=2, age=40, movie_id=10, genres='b')]
    np.testing.assert_array_equal(Artifact.load(folder).score(rows), artifact.score(rows))
    artifact.save(folder)
    assert os.listdir(tmp_path) == ['artifact']


def test_a_relative_folder_and_the_permissions_of_the_user(artifact, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    artifact.save('deep/in/artifact')
    (tmp_path/'plain').mkdir()
    assert os.stat('deep/in/artifact').st_mode == os.stat('plain').st_mode
