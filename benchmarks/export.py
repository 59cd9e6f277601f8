"""What an exported program costs: a raw row by it and by `Artifact.score`, and
a vocabulary of a million keys.

    python benchmarks/export.py

takes a minute and writes export.json beside this file, which the page Export
shows. The two ways take turns in one process, and their CPU seconds count,
those of all threads, so that other work on the machine meets both alike."""
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from recofm.data.columns import Categorical
from recofm.data.schema import Schema
from recofm.data.vocabulary import Vocabulary
from recofm.models import DeepFM, FM
from recofm.serving import Artifact, Catalogue
from recofm.training import SparseAdam

rng = np.random.default_rng(0)


def films(n=20_000):
    "Views of films of MovieLens' shape: categories, words, numbers, gaps."
    words = np.array('star night man love war last house of the king'.split())
    genres = np.array(['Comedy', 'Drama', 'War', 'Action', 'Crime', 'Sci-Fi'])
    titles = [' '.join(rng.choice(words, 4)) for _ in range(1700)]
    of_film = ['|'.join(rng.choice(genres, k, replace=False))
               for k in rng.integers(1, 4, 1700)]
    film, user = rng.integers(0, 1700, n), rng.integers(0, 940, n)
    return pd.DataFrame(dict(
        user_id=user, gender=np.array(['F', 'M'])[user % 2], age=15 + user % 50,
        occupation=[f'job {u % 21}' for u in user], movie_id=film,
        genres=np.array(of_film)[film], title=np.array(titles)[film],
        year=1930. + film % 70, hour=rng.integers(0, 24, n),
        liked=rng.integers(0, 2, n)))


def artifact():
    "A DeepFM of these, with a catalogue."
    keras.utils.set_random_seed(0)
    frame = films()
    schema = Schema.fit(
        frame, 'liked', user=['user_id', 'gender', 'age', 'occupation'],
        item=['movie_id', 'genres', 'title', 'year'], context='hour',
        numeric='age', bucket=dict(year=8), multi='genres', text='title')
    model = DeepFM(schema.fields, hidden_units=[64, 32])
    model.compile(SparseAdam(.01))
    model.fit(schema.batches(frame), verbose=0)
    return Artifact(model, schema, Catalogue.fit(frame, schema)), frame


def turns(ways, rounds):
    "Median CPU milliseconds of a call, by the name of the way."
    spent = {name: [] for name in ways}
    for call in ways.values():
        for _ in range(5): call()
    for _ in range(rounds):
        for name, call in ways.items():
            start = time.process_time()
            for _ in range(10): call()
            spent[name].append((time.process_time() - start) * 100)
    return {name: round(float(np.median(s)), 3) for name, s in spent.items()}


def latency(folder, found, rows, rounds):
    """A request of some raw rows, from cells to scores: by the program, as a
    server calls it, with tensors; the same with these made in Python, cell by
    cell; and by `Artifact.score`, from dictionaries."""
    own, frame = found
    serve = tf.saved_model.load(str(folder)).signatures['serving_default']
    asked = frame[:rows].drop(columns='liked')
    plain, body = asked.to_dict('records'), own.instances(asked)
    specs = serve.structured_input_signature[1]

    def tensors():
        return {n: tf.constant([row[n] for row in body], s.dtype)
                for n, s in specs.items()}

    def score(): return own.score(plain)

    made = tensors()
    def program(): return serve(**made)['score'].numpy()

    def fed(): return serve(**tensors())['score'].numpy()

    np.testing.assert_array_equal(program(), score())
    return turns(dict(program=program, fed=fed, score=score), rounds)


def large(folder, n=10**6):
    "A vocabulary of a million keys: its bytes, and seconds to save and load."
    keys = [f'key {i:07d}' for i in range(n)]
    schema = Schema([Categorical('key', Vocabulary(keys), 'user', 1)])
    own = Artifact(FM(schema.fields), schema)
    start = time.process_time()
    place = own.export(folder)
    saved = time.process_time() - start
    start = time.process_time()
    tf.saved_model.load(str(place)).signatures['serving_default']
    loaded = time.process_time() - start
    size = sum(f.stat().st_size for f in (place/'assets').iterdir())
    return dict(keys=n, assets_bytes=size, saved_s=round(saved, 2),
                loaded_s=round(loaded, 2))


def main():
    tf.config.threading.set_intra_op_parallelism_threads(2)
    with tempfile.TemporaryDirectory() as here:
        found = artifact()
        place = found[0].export(f'{here}/films')
        result = {f'rows_{n}': latency(place, found, n, rounds)
                  for n, rounds in ((1, 60), (100, 20), (1000, 6))}
        for ms in result.values():
            ms['times'] = round(ms['score'] / ms['program'], 1)
        result['large'] = large(f'{here}/keys')
    text = json.dumps(result, indent=1)
    Path(__file__).with_suffix('.json').write_text(text + '\n', 'utf-8')
    print(text)


if __name__ == '__main__': main()
