"Exported programs, in processes that have never imported recofm."
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from recofm.data import Schema
from recofm.data.columns import has_twin, kinds
from recofm.serving import Artifact

rng = np.random.default_rng(3)
n = 1000


def some(*values): return rng.choice(np.array(values, object), n)


def table():
    "A row has a cell of every kind; many are missing."
    words = ['Star', 'wars', 'NAÏVE', 'ΟΔΟΣ', "dog's", '日本', '1998', '-']
    frame = pd.DataFrame(dict(
        user=rng.integers(0, 60, n), item=some(*(f'é{i}' for i in range(40))),
        age=rng.normal(40, 9, n), price=rng.lognormal(2, 1, n),
        seen=rng.geometric(.01, n), score=rng.normal(size=n),
        dated=rng.integers(1950, 2020, n), member=rng.integers(0, 2, n) == 1,
        rank=rng.normal(size=n), device=some('a', 'b&c', 'x|y', '0'),
        country=some('de', 'fr', ' '), zone=some('1', 'é', '&'),
        tags=some('a:2|b:.5', 'c', 'b:3| c:-1 |d', 'a:1|a:2', ''),
        clicked=some('a|b|c|d', 'c', 'd|a', '|'),
        genres=some('War|Drama', ' Drama', 'War||War|Comedy', '|')))
    frame['watched'] = [[*map(int, rng.integers(0, 9, k))]
                        for k in rng.integers(0, 6, n)]
    frame['image'] = [*map(list, rng.normal(size=(n, 3)))]
    for name in ('title', 'plot'):
        frame[name] = [' '.join(rng.choice(words, k))
                       for k in rng.integers(0, 7, n)]
    for name in set(frame) - {'user', 'item'}:
        empty = rng.random(n) < .1
        frame[name] = frame[name].astype(object).where(~empty, None)
    return frame.assign(liked=rng.integers(0, 2, n))


words = dict(
    numeric='age', transform=dict(price='clip 0 50 log1p'), log_square='seen',
    width=dict(dated=7.5), bucket=dict(score=9), soft=dict(rank=5),
    truth='member', hashed=dict(device=50), hashed_rows=99, half_life=1.5,
    cross=dict(both='device,zone'), hashed_cross=dict(all='zone,country,dated'),
    weighted='tags', recent=dict(clicked=3), multi=['genres', 'watched'],
    vector='image', text='title', ngrams=dict(plot=2),
    pretrained=dict(poster=([*'abc'], [[1., 0], [0, 2], [1, 3]])),
    keyed_by='device',
    max_values=dict(genres=2, title=4), combiner=dict(title='sqrtn'))


def fitted_schema(frame):
    "A schema of every kind."
    return Schema.fit(
        frame, 'liked', user=['user', 'age', 'member', 'clicked', 'watched'],
        item=['item', 'price', 'dated', 'tags', 'genres', 'image', 'title',
              'plot'], min_count=dict(user=12, plot=2), dim=4,
        context=['seen', 'score', 'rank', 'device', 'zone', 'country', 'both',
                 'all', 'poster'], **words)


def fitted(frame):
    "The same and a model that has seen some of its rows."
    import keras
    from recofm.models import DeepFM
    keras.utils.set_random_seed(0)
    schema = fitted_schema(frame)
    model = DeepFM(schema.fields)
    model.compile()
    model.fit(schema.batches(frame[:200], 50), verbose=0)
    return Artifact(model, schema)


serve = """
import json, sys
for name in ('recofm', 'keras', 'pandas', 'pyarrow'):
    sys.modules[name] = None    # whoever imports it fails
import numpy as np
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures['serving_default']
rows = json.load(open(sys.argv[2]))
specs = serve.structured_input_signature[1]
fed = {n: tf.constant([r[n] for r in rows], s.dtype) for n, s in specs.items()}
np.save(sys.argv[3], serve(**fed)['score'].numpy())
"""


@pytest.mark.filterwarnings('ignore:Field .*rows hold more than')
def test_a_process_without_recofm_scores_raw_rows_of_every_kind(tmp_path):
    "A thousand rows, every bit the same, from JSON."
    frame = table()
    artifact = fitted(frame)
    own = {type(c).__name__ for c in artifact.schema.columns}
    of_package = {name for name, cls in kinds.items()
                  if cls.__module__.startswith('recofm.')}
    assert of_package - own == {'Time', 'Days', 'Projected'}
    place = artifact.export(tmp_path/'served')
    body, scores = tmp_path/'rows.json', tmp_path/'scores.npy'
    body.write_text(json.dumps(artifact.instances(frame)), 'utf-8')
    command = [sys.executable, '-c', serve, place, body, scores]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    np.testing.assert_array_equal(np.load(scores), artifact.score(frame))


def test_every_kind_that_exports_has_a_twin_and_no_other():
    own = [cls for cls in kinds.values()
           if cls.__module__.startswith('recofm.')]
    without = {cls.__name__ for cls in own if not has_twin(cls)}
    assert without == {'Time', 'Days'}
    assert all(cls.exports == has_twin(cls) for cls in own)


begun = """
import sys, time
from recofm.serving.export import add_version
def write(folder):
    (folder/'half').write_text('half')
    print('begun', flush=True)
    time.sleep(60)
add_version(sys.argv[1], write)
"""


def test_a_killed_export_leaves_nothing_and_is_no_obstacle(tmp_path):
    from recofm.serving.export import add_version
    folder = tmp_path/'served'
    for version in ('1', '2'):
        there = sorted(p.name for p in folder.glob('*'))
        writer = subprocess.Popen([sys.executable, '-c', begun, folder],
                                  stdout=subprocess.PIPE)
        assert writer.stdout.readline() == b'begun\n'
        with pytest.raises(ValueError, match='held by process'):
            add_version(folder, lambda new: None)
        writer.kill()
        writer.communicate()
        assert sorted(p.name for p in folder.glob('*')) == there
        made = add_version(folder, lambda new: (new/'whole').touch())
        assert made.name == version
        assert [p.name for p in made.iterdir()] == ['whole']
    assert [p.name for p in tmp_path.iterdir()] == ['served']


encode = """
import sys
for name in ('tensorflow', 'keras'):
    sys.modules[name] = None    # whoever imports it fails
import numpy as np
import pandas as pd
from recofm.data import Schema
folder = sys.argv[1]
rows = pd.read_pickle(folder + '/rows.pkl')
np.savez(folder + '/found.npz', **Schema.load(folder).inputs(rows))
"""


@pytest.mark.filterwarnings('ignore:Field .*rows hold more than')
def test_rows_are_encoded_without_tensorflow(tmp_path):
    "As an ONNX file wants them, of every kind."
    frame = table()
    schema = fitted_schema(frame)
    schema.save(tmp_path)
    frame.to_pickle(tmp_path/'rows.pkl')
    command = [sys.executable, '-W', 'ignore', '-c', encode, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    found, expected = np.load(tmp_path/'found.npz'), schema.inputs(frame)
    for what in ('ids', 'values'):
        np.testing.assert_array_equal(found[what], expected[what])


def served(artifact, folder, rows, **options):
    "Scores of rows by the signature of an export, loaded again."
    import tensorflow as tf
    place = artifact.export(folder, **options)
    serve = tf.saved_model.load(str(place)).signatures['serving_default']
    body = artifact.instances(rows)
    specs = serve.structured_input_signature[1]
    fed = {n: tf.constant([r[n] for r in body], s.dtype)
           for n, s in specs.items()}
    return serve(**fed)['score'].numpy()


def test_a_column_known_in_training_only_is_no_input(tmp_path):
    from recofm.models import FM
    "Names that Python or TensorFlow would not take are others there."
    frame = table()[['user', 'item', 'age', 'liked']]
    frame = frame.assign(place=rng.integers(1, 5, n))
    frame['film class'] = frame['class'] = frame.age
    schema = Schema.fit(frame, 'liked', user='user', item='item', dim=4,
                        context=['place', 'age', 'class', 'film class'],
                        numeric=['age', 'class', 'film class'],
                        at_scoring=dict(place=1))
    artifact = Artifact(FM(schema.fields), schema)
    artifact.model.table.table.assign(rng.normal(
        size=artifact.model.table.table.shape))
    rows = frame.drop(columns='place')
    names = {'user', 'item', 'age', 'input_class', 'film_class'}
    assert set(artifact.instances(rows)[0]) == names
    scores = served(artifact, tmp_path/'served', rows)
    np.testing.assert_array_equal(scores, artifact.score(rows))
    assert (scores != artifact.score(frame)).any()


names = ('LR', 'Poly2', 'FM', 'HOFM', 'FFM', 'FwFM', 'FmFM', 'NFM', 'AFM',
         'WideDeep', 'DeepFM', 'DCN', 'xDeepFM', 'AutoInt', 'FinalMLP', 'GMF',
         'MLP', 'NeuMF')


@pytest.mark.slow
@pytest.mark.parametrize('name', names)
@pytest.mark.parametrize('values', [False, True])
def test_every_model_is_served_as_it_scores(name, values, tmp_path):
    "Of ids alone and with values, as it is and with smaller tables."
    import keras
    from recofm import models
    keras.utils.set_random_seed(0)
    frame = table()[['user', 'item', 'age', 'device', 'liked']]
    kind = dict(numeric='age') if values else dict(bucket=dict(age=5))
    schema = Schema.fit(frame, 'liked', user='user', item='item', dim=4,
                        context=['age', 'device'], **kind)
    model = getattr(models, name)(schema.fields)
    for w in model.trainable_variables:
        w.assign(w + rng.normal(scale=.05, size=w.shape))
    artifact = Artifact(model, schema)
    scores = served(artifact, tmp_path/'served', frame)
    np.testing.assert_array_equal(scores, artifact.score(frame))
    for tables, most in dict(float16=1e-3, int8=1e-2).items():
        other = served(artifact, tmp_path/'served', frame, tables=tables)
        assert 0 < np.abs(other - scores).max() < most


@pytest.mark.slow
def test_scores_of_numbers_have_the_unit_of_their_target(tmp_path):
    from recofm.models import FM
    frame = table()[['user', 'item']].assign(price=rng.normal(900, 50, n))
    schema = Schema.fit(frame, 'price', user='user', item='item', dim=4)
    artifact = Artifact(FM(schema.fields, output_activation=None), schema)
    artifact.model.compile()
    artifact.model.fit(schema.batches(frame), verbose=0)
    scores = served(artifact, tmp_path/'served', frame)
    np.testing.assert_array_equal(scores, artifact.score(frame))
    assert 800 < scores.mean() < 1000


@pytest.mark.slow
def test_a_million_keys_are_a_file_of_text(tmp_path):
    import tensorflow as tf
    from recofm.data.columns import Categorical
    from recofm.data.vocabulary import Vocabulary
    from recofm.models import FM
    keys = [f'key {i}' for i in range(10**6)]
    schema = Schema([Categorical('key', Vocabulary(keys), 'user', 2)])
    artifact = Artifact(FM(schema.fields), schema)
    artifact.model.table.table.assign(rng.normal(
        size=artifact.model.table.table.shape))
    place = artifact.export(tmp_path/'served')
    file, = (place/'assets').iterdir()
    assert file.read_text('utf-8').split('\n') == keys
    program = (place/'saved_model.pb').stat().st_size
    assert program < 10**6
    serve = tf.saved_model.load(str(place)).signatures['serving_default']
    rows = rng.choice(keys, 999)
    found = serve(key=tf.constant(rows))['score'].numpy()
    np.testing.assert_array_equal(found, artifact.score(pd.DataFrame(
        dict(key=rows))))
