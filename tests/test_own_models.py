"A model of one's own, from `--model package.module:Class` to its lists."
import json
import os
import sys
from contextlib import redirect_stdout
from io import StringIO

import pytest
from test_run import mistake, recofm, said

from recofm.datasets.synthetic import planted
from recofm.runs import Settings
from recofm.runs.run import run

tilted = '''
import tensorflow as tf
from recofm.models import Recommender
from recofm.layers.table import Table

class TiltedFM(Recommender):
    "FM with its pairs weighed by one number."
    def __init__(self, feature_columns, k=4, tilt=.5,
                 output_activation='sigmoid', **kwargs):
        super().__init__(feature_columns, output_activation, **kwargs)
        if not tilt > 0: raise ValueError(f'Expected a tilt. Received {tilt}')
        self.tilt = tilt
        self.table = Table(self.fields, k)
        self.ready()

    def logit(self, inputs, training=False):
        w, v = self.table(inputs, training=training)
        total, squares = tf.reduce_sum(v, 1), tf.reduce_sum(v * v, 1)
        pairs = tf.reduce_sum(total ** 2 - squares, 1, keepdims=True) / 2
        return self.bias + tf.reduce_sum(w, 1) + self.tilt * pairs

class SteepFM(TiltedFM): pass

class Shy: pass
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    "A folder where one stands, with a package of models and a table."
    kept = [*sys.path], {*sys.modules}
    (tmp_path/'my_models').mkdir()
    (tmp_path/'my_models/__init__.py').write_text('')
    (tmp_path/'my_models/tilted.py').write_text(tilted)
    rows = planted(n=2_000, sizes=(40, 30), strength=2.,
                   names=('user', 'film')).frame
    rows.to_csv(tmp_path/'views.csv', index=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = kept[0]
    for name in {*sys.modules} - kept[1]:
        if name.startswith('my_'): del sys.modules[name]


table = '--data views.csv --target label --user user --item film'.split()
own = 'my_models.tilted:TiltedFM'


def forget(name='my_models'):
    "As in a process that has not imported it."
    from keras.saving import get_custom_objects
    for module in [m for m in sys.modules if m.split('.')[0] == name]:
        del sys.modules[module]
    for key in [k for k in get_custom_objects() if k.endswith('tedFM')]:
        del get_custom_objects()[key]


def test_from_the_class_to_its_lists(here):
    words = '--model', own, '--set', 'tilt=.7', '--epochs', 2, '--out', 'run'
    shown = said('train', *table, *words)
    assert f'{own}: ' in shown
    settings = json.loads((here/'run/settings.json').read_text())
    assert (settings['model'], settings['arguments']) == (own, dict(tilt=.7))
    metrics = json.loads((here/'run/metrics.json').read_text())
    assert {'auc', 'logloss'} <= set(metrics['valid'])
    about = json.loads((here/'run/artifact.json').read_text())
    assert (about['module'], about['model']) == ('my_models.tilted',
                                                 'TiltedFM')
    assert f'model = "{own}"' in (here/'run/recipe.toml').read_text()

    forget()
    lists = 'run', '--user', 7, '-k', 2
    needs = mistake('recommend', *lists)
    assert f'Expected --model {own}, as the model in' in needs
    assert 'my_models' not in sys.modules
    assert len(said('recommend', *lists, '--model', own).splitlines()) == 3


@pytest.mark.slow
def test_all_that_is_asked_of_a_folder(here):
    words = '--model', own, '--set', 'tilt=.7', '--epochs', 2, '--out', 'run'
    said('train', *table, *words)
    ask = 'run', '--model', own
    for more in (['similar', '--item', 3], ['evaluate', '--data', 'views.csv'],
                 ['predict', '--data', 'views.csv', '--out', 'scores.csv'],
                 ['export', '--out', 'served']):
        forget()
        assert said(more[0], *ask, *more[1:])

    forget()
    more = said('train', *table, *words[:-4], '--epochs', 3, '--out', 'run',
                '--resume')
    assert 'Going on after epoch 2' in more
    forget()
    again = said('train', '--config', 'run/recipe.toml', '--out', 'again',
                 '--epochs', 1)
    assert 'epoch   1' in again


def test_a_process_of_its_own_finds_the_folder_where_it_stands(here):
    env = [*table, '--model', 'my_models.tilted:TiltFM', '--out', 'run']
    done = recofm('train', *env)
    assert "'TiltFM' (did you mean 'TiltedFM'?)" in done.stderr
    code = ("import sys; from recofm.cli import main\n"
            "try: main(sys.argv[1:])\n"
            "except SystemExit as e: print(e)\n"
            "print('tensorflow' in sys.modules)")
    import subprocess
    words = [sys.executable, '-P', '-c', code, 'train', *env]
    done = subprocess.run(words, capture_output=True, text=True)
    assert 'did you mean' in done.stdout
    assert done.stdout.splitlines()[-1] == 'False'


@pytest.mark.parametrize('model, expected', {
    'my_model.tilted:TiltedFM': 'in a module my_model, looked for in',
    'my_models.tilt:TiltedFM': 'a module my_models.tilt, looked for in',
    'my_models.tilted.x:TiltedFM': 'in a package my_models.tilted. Received a',
    'my_models/tilted.py:TiltedFM': 'Did you mean my_models.tilted:TiltedFM?',
    'my_models.tilted:': "--model package.module:Class. Received 'my_models",
    'my_models.tilted:TiltFM': "'TiltFM' (did you mean 'TiltedFM'?)",
    'my_models.tilted:Shy': 'to be a class of Recommender. Received <class',
    'my_models.tilted:tf': 'to be a class of Recommender. Received <module',
    'my_models.tilted:FM': "recofm's 'FM' alone. Received 'my_models.",
    'my_models.broken:TiltedFM': 'broken.py, line 2: expected Python',
    'my_models.lacking:TiltedFM':
        "Received ModuleNotFoundError: No module named 'nowhere' in",
    'my_models.leaving:TiltedFM': 'Received SystemExit: no licence in',
}.items())
def test_a_name_that_leads_nowhere(here, model, expected):
    more = dict(broken='def f():\nreturn', lacking='import nowhere',
                leaving='raise SystemExit("no licence")')
    for name, first in more.items():
        (here/f'my_models/{name}.py').write_text(f'{first}\n{tilted}')
    (here/'views.csv').write_text('user,film,label\n')   # nobody reads it
    told = mistake('train', *table, '--model', model, '--out', 'run')
    assert expected in told and 'model=' not in told, told
    assert not (here/'run').exists()


@pytest.mark.parametrize('word, expected', {
    'tild=2': f"an argument of {own} among ['k', 'output_activation', 'tilt'",
    'tilt=-1': 'can take. Received tilt=-1: Expected a tilt. Received -1',
    'output_activation=null': "which the task 'click' decides"}.items())
def test_an_argument_that_it_does_not_take(here, word, expected):
    told = mistake('train', *table, '--model', own, '--set', word,
                   '--out', 'run')
    assert expected in told, told


def test_an_argument_of_the_class_above(here):
    words = *table, '--model', 'my_models.tilted:SteepFM', '--out', 'run'
    told = mistake('train', *words, '--set', 'tild=2')
    assert "Did you mean 'tilt'?" in told
    told = mistake('train', *words, '--set', 'tilt=0')
    assert 'Expected a tilt. Received 0' in told


@pytest.mark.slow
def test_a_folder_is_loaded_by_the_class_it_holds(here):
    words = '--model', own, '--epochs', 1, '--out', 'run'
    said('train', *table, *words)
    ask = 'recommend', 'run', '--user', 7, '--model'
    for other in ('DeepFM', 'my_models.tilted:SteepFM'):
        told = mistake(*ask, other)
        assert f'Expected --model {own}' in told and other in told
    moved = here/'moved.py'
    forget()
    moved.write_text(tilted)
    assert said(*ask, 'moved:TiltedFM')
    forget()
    sys.modules.pop('moved')


@pytest.mark.slow
def test_settings_name_it_in_python(here, monkeypatch):
    monkeypatch.syspath_prepend(str(here))
    rows = planted(n=800, sizes=(20, 20), names=('user', 'film')).frame
    columns = dict(target='label', user=['user'], item=['film'], dim=4)
    settings = Settings(own, columns, dict(tilt=2.), epochs=1)
    with redirect_stdout(StringIO()):
        artifact, table = run(rows, settings, here/'run')
    assert type(artifact.model).__module__ == 'my_models.tilted'
    assert artifact.model.tilt == 2. and 'TiltedFM' in table.index
    assert Settings.load(here/'run') == settings
