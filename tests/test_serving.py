"An artifact in a process that has seen neither the training nor the class."
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from recofm.data.files import digest

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
    1, pytest.param(20, marks=pytest.mark.slow)])
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


def copied_with(folder, target, edit):
    "An artifact whose model's configuration was edited, digests right."
    shutil.copytree(folder, target)
    with ZipFile(folder/'model.keras') as a:
        parts = {name: a.read(name) for name in a.namelist()}
    content = json.loads(parts['config.json'])
    edit(content)
    parts['config.json'] = json.dumps(content).encode()
    with ZipFile(target/'model.keras', 'w') as b:
        for name, written in parts.items(): b.writestr(name, written)
    listed = json.loads((target/'artifact.json').read_text())
    listed['files']['model.keras'] = digest(target/'model.keras')
    (target/'artifact.json').write_text(json.dumps(listed))
    return target


def nested(content, of='string', module='xml.dom.minidom'):
    content['compile_config']['loss'] = dict(
        class_name=of, module=module, config={}, registered_name=of)


def first_field(content): return content['config']['feature_columns'][0]


edits = {
    "'w_reg' to be at most 65,536": lambda c: c['config'].update(
        w_reg=3 * 10**8),
    "'size' to be at most 65,536": lambda c: first_field(c).update(
        size=3 * 10**8),
    'with size 5 in the model, 4 in the schema':
        lambda c: first_field(c).update(size=5),
    'to be imported, from .xml.dom.minidom': nested,
    'from .keras.src.nowhere': lambda c: nested(c, 'A', 'keras.src.nowhere'),
    'from .antigravity': lambda c: nested(c, 'fly', 'antigravity'),
    'no code. Received a lambda': lambda c: nested(c, '__lambda__'),
    'expected a model of': lambda c: c.update(class_name='DeepFM'),
    'expected a model of .*FM': lambda c: c.update(
        registered_name='recofm>LR'),
    'expected arguments that fit': lambda c: c['config'].update(wings=1),
    'lacking|fit|size of its weights': lambda c: c['config'].update(k=10**4),
}


@pytest.mark.parametrize('said', edits)
def test_a_configuration_is_a_claim(artifact, tmp_path, said):
    "Refused in one line, in a moment; and the next model is built."
    from recofm.serving import Artifact
    artifact.save(tmp_path/'o')
    other = copied_with(tmp_path/'o', tmp_path/'p', edits[said])
    known, start = set(sys.modules), time.process_time()
    with pytest.raises(ValueError, match=said) as refused: Artifact.load(other)
    assert time.process_time() - start < 2
    assert len(str(refused.value).splitlines()) == 1
    assert not {'xml.dom.minidom', 'antigravity'} & (set(sys.modules) - known)
    again = Artifact.load(tmp_path/'o')
    np.testing.assert_array_equal(again.score([seen]), artifact.score([seen]))


def peak() -> int:
    "The most memory that this process has had since `clear_refs`, in bytes."
    text = Path('/proc/self/status').read_text()
    return 1024 * int(text.partition('VmHWM:')[2].split()[0])


@pytest.mark.skipif(not os.path.exists('/proc/self/clear_refs'),
                    reason='this system does not say how much memory is used')
def test_a_model_of_30_gigabytes_takes_none(tmp_path, artifact):
    from recofm.models import DeepFM
    from recofm.serving import Artifact
    model = DeepFM(artifact.schema.fields, hidden_units=[4, 4, 4])
    Artifact(model, artifact.schema).save(tmp_path/'o')
    def wide(content): content['config']['hidden_units'] = [50_000] * 3
    other = copied_with(tmp_path/'o', tmp_path/'p', wide)
    Artifact.load(tmp_path/'o')
    Path('/proc/self/clear_refs').write_text('5')
    before = peak()
    with pytest.raises(ValueError, match='a model of the size of its weights'):
        Artifact.load(other)
    assert peak() - before < 50_000_000


@pytest.mark.parametrize('number', [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_neither_saved_nor_loaded(
        artifact, tmp_path, monkeypatch, number):
    from recofm.serving import Artifact, model_file
    artifact.save(tmp_path/'o')
    broken = Artifact.load(tmp_path/'o')
    table = broken.model.table.weights[0]
    array = table.numpy()
    array[2] = number
    table.assign(array)
    for save in (broken.save, broken.save_somewhere):
        said = f'Received {array.shape[1]} of {array.size} that are NaN'
        with pytest.raises(ValueError, match=said + '.*table'):
            save(tmp_path/'o')
    with monkeypatch.context() as m:
        m.setattr(model_file, 'check_finite', lambda model: None)
        broken.save(tmp_path/'p')
    with pytest.raises(ValueError, match='p/model.keras: expected finite'):
        Artifact.load(tmp_path/'p')
    assert sorted(os.listdir(tmp_path)) == ['o', 'p']


def test_a_score_that_is_no_number_is_not_given_out(artifact):
    far = dict(seen, age=1e30)
    for score in (artifact.score, artifact.predict):
        said = 'Received 2 that are NaN or infinite, in rows 1, 3: numbers'
        with pytest.raises(ValueError, match=said):
            score(pd.DataFrame([seen, far, seen, far]))


@pytest.fixture
def registered():
    "The classes that Keras knows; those of a test are forgotten after it."
    from keras.saving import get_custom_objects
    objects = get_custom_objects()
    before = dict(objects)
    yield objects
    objects.clear()
    objects.update(before)


def test_a_class_of_ones_own(artifact, tmp_path, registered):
    "Registered by recofm when it is defined, and then by its author."
    from keras.saving import register_keras_serializable
    from recofm.models import FM
    from recofm.serving import Artifact

    class Mine(FM): pass

    @register_keras_serializable('somewhere')
    class Theirs(FM): pass
    for kind in Mine, Theirs:
        model = kind(artifact.schema.fields)
        Artifact(model, artifact.schema).save(tmp_path/kind.__name__)
        again = Artifact.load(tmp_path/kind.__name__)
        assert type(again.model) is kind
    assert {'recofm>Mine', 'somewhere>Theirs'} <= set(registered)


def test_what_will_not_be_read_again_is_said_when_it_is_written(
        artifact, tmp_path):
    from recofm.models import DeepFM
    from recofm.serving import Artifact
    model = DeepFM(artifact.schema.fields, hidden_units=[2],
                   activation=lambda x: x)
    with pytest.warns(match='will not be read again.*no code.*a lambda'):
        Artifact(model, artifact.schema).save(tmp_path/'o')
    with pytest.raises(ValueError, match='expected no code. Received a lambda'):
        Artifact.load(tmp_path/'o')


def equal_runs(folder, times, names):
    "Train and save models, from one seed, as many times."
    import keras
    from recofm import models
    from recofm.data import Schema
    from recofm.serving import Artifact
    frame = pd.DataFrame(dict(
        user=range(40), film=[1, 2] * 20, liked=[0, 1] * 20))
    for n in range(times):
        keras.utils.set_random_seed(3)
        schema = Schema.fit(frame, target='liked', user='user', item='film',
                            dim=4)
        for name in names:
            model = getattr(models, name)(schema.fields)
            model.compile()
            model.fit(schema.batches(frame), verbose=0)
            Artifact(model, schema).save(f'{folder}/{n}/{name}')


def differing(folder, name) -> int:
    "How many contents the files of an artifact have, beyond one each."
    found = [(file.name, digest(file)) for file in folder.rglob(f'{name}/*')]
    assert len(found) >= 8
    return len(set(found)) - 4


def test_equal_runs_give_equal_files(tmp_path):
    "In one process, where Keras counts the names of layers up."
    equal_runs(tmp_path, 2, ['DeepFM'])
    assert differing(tmp_path, 'DeepFM') == 0


@pytest.mark.slow
def test_equal_runs_in_two_processes_give_equal_files(tmp_path):
    from recofm.models import family
    code = 'import sys\nfrom test_serving import equal_runs\n'
    code += 'equal_runs(sys.argv[1], int(sys.argv[2]), sys.argv[3:])'
    paths = [str(Path(__file__).parent), os.environ.get('PYTHONPATH', '')]
    around = os.environ | dict(PYTHONPATH=os.pathsep.join(paths))
    for process, times in dict(a='2', b='1').items():
        command = [sys.executable, '-c', code, tmp_path/process, times]
        subprocess.run([*command, *family], check=True, capture_output=True,
                       timeout=600, env=around)
    wrong = {name for name in family if differing(tmp_path, name)}
    assert wrong == set()


def in_a_fork(function, seconds=60) -> str:
    "What a function gives or raises in a fork, which is killed if it hangs."
    read, write = os.pipe()
    if not (child := os.fork()):
        try: said = repr(function())
        except BaseException as e: said = repr(e)
        os.write(write, said[:4000].encode())
        os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], seconds)
    if not ready: os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    said = os.read(read, 4000).decode() if ready else 'it hangs'
    os.close(read)
    return said


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='there are no forks')
def test_a_fork_says_that_it_would_hang(artifact, tmp_path):
    from recofm.serving import Artifact
    artifact.save(tmp_path/'o')
    model, rows = artifact.model, artifact.schema.inputs([seen])
    calls = dict(
        load=lambda: Artifact.load(tmp_path/'o'),
        score=lambda: artifact.score([seen]),
        predict=lambda: artifact.predict(pd.DataFrame([seen])),
        recommend=lambda: artifact.recommend(2),
        recommend_many=lambda: artifact.recommend_many(verbose=0),
        similar=lambda: artifact.similar(10),
        side_vectors=lambda: model.side_vectors(rows, 'item'),
        score_inputs=lambda: model.score(rows),
        predict_inputs=lambda: model.predict(rows, verbose=0),
        evaluate=lambda: model.evaluate(rows, np.ones((1, 1)), verbose=0),
        fit=lambda: model.fit(rows, np.ones((1, 1)), verbose=0),
        fit_valid=lambda: model.fit(
            rows, np.ones((1, 1)), validation_data=(rows, np.ones((1, 1)))),
        predict_on_batch=lambda: model.predict_on_batch(rows),
        new=lambda: type(model)(model.fields),
        copied=lambda: deepcopy(model),
        in_a_fork_of_it=lambda: in_a_fork(lambda: model.score(rows), 20))
    for name, call in calls.items():
        said = in_a_fork(call)
        assert 'RuntimeError' in said and 'would hang' in said, (name, said)
        assert "spawn" in said and r'\n' not in said
    assert in_a_fork(lambda: artifact.schema.inputs([seen])) == repr(rows)
    assert artifact.score([seen]).shape == (1,)


pool = """
import json, multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor

folder, rows = sys.argv[1], json.loads(sys.argv[2])

def score(n):
    from recofm.serving import Artifact
    return Artifact.load(folder).score(rows).tolist()

if __name__ == '__main__':
    spawn = multiprocessing.get_context('spawn')
    fork = multiprocessing.get_context('fork')
    with fork.Pool(2) as pool: print(json.dumps(pool.map(score, [0, 1])))
    before = score(0)
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        print(json.dumps([before, *pool.map(score, [0])]))
    with ProcessPoolExecutor(1, mp_context=fork) as pool:
        try: print(pool.submit(score, 0).result(timeout=60))
        except RuntimeError as e: print('would hang' in str(e))
"""


@pytest.mark.slow
def test_pools_of_processes(artifact, tmp_path):
    "Forks that load by themselves, spawned ones, and forks that come too late."
    artifact.save(tmp_path/'o')
    (tmp_path/'pool.py').write_text(pool)
    command = [sys.executable, tmp_path/'pool.py', tmp_path/'o',
               json.dumps([seen, unseen])]
    run = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert run.returncode == 0, run.stderr
    *scores, late = run.stdout.splitlines()
    expected = artifact.score([seen, unseen]).tolist()
    assert [json.loads(line) for line in scores] == [[expected] * 2] * 2
    assert late == 'True'


def test_threads_agree(artifact, tmp_path):
    "Each loads a model of its own, and all ask that of one of them."
    from concurrent.futures import ThreadPoolExecutor
    from recofm.serving import Artifact
    artifact.save(tmp_path/'o')
    expected = artifact.score([seen, unseen])
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(Artifact.load, [tmp_path/'o'] * 4))
        found = pool.map(lambda n: loaded[n % 4].score([seen, unseen]),
                         range(80))
    for scores in found: np.testing.assert_array_equal(scores, expected)


def test_an_artifact_of_many_values_has_files_of_their_own(
        artifact, tmp_path, monkeypatch):
    "They are checked, replaced, and taken along when a report is added."
    from recofm.serving import Artifact
    from recofm.serving.folder import add_report, others_in
    folder, rows = tmp_path/'artifact', [seen, unseen]
    artifact.save(folder)
    monkeypatch.setattr('recofm.data.schema.stored_from', 4)
    artifact.save(folder, dict(m=b'1'))
    files = sorted(p.name for p in folder.glob('schema.*.arrow'))
    assert len(files) == 1 and not others_in(folder)
    listed = json.loads((folder/'artifact.json').read_text())['files']
    assert files[0] in listed and 'schema.npz' in listed
    add_report(folder, dict(n=b'2'))
    again = Artifact.load(folder)
    np.testing.assert_array_equal(again.score(rows), artifact.score(rows))
    assert again.recommend(2).item.tolist() == (
        artifact.recommend(2).item.tolist())
    again.save(folder, dict(m=b'1'))         # over the file that it maps
    whole = (folder/files[0]).read_bytes()
    for change, said in ((whole[:-1], f'Received another {files[0]}'),
                         (None, f'Expected {files[0]} in')):
        (folder/files[0]).unlink()
        if change: (folder/files[0]).write_bytes(change)
        with pytest.raises(ValueError, match=said): Artifact.load(folder)
    (folder/files[0]).write_bytes(whole)
    Artifact.load(folder)
    stranger = folder/'schema.0123456789abcdef.arrow'
    stranger.write_bytes(b'mine')
    with pytest.raises(ValueError, match='which also holds .*0123456789abcdef'):
        artifact.save(folder)
    stranger.unlink()
    monkeypatch.setattr('recofm.data.schema.stored_from', 10**9)
    artifact.save(folder)
    assert not [*folder.glob('*.arrow')]
