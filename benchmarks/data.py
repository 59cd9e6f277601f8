"""The examples of a job, for training and for the check of the AUC.

They are per-field ids (n, fields) int32 and targets (n,) float32."""
import os
from pathlib import Path
import numpy as np

CACHE = Path(__file__).parents[1]/'.bench'/'data'


def uniform_ids(random, sizes, examples):
    return random.integers(0, sizes, (examples, len(sizes)), dtype='int32')


def uniform(sizes, examples, seed=0):
    "Ids drawn uniformly, hard on a cache, and targets without a meaning."
    random = np.random.default_rng(seed)
    ids = uniform_ids(random, sizes, examples)
    return ids, random.integers(0, 2, examples).astype('float32')


def planted(sizes, examples, seed=0):
    "Uniform ids; clicks that follow from weights and from vectors of four."
    random = np.random.default_rng(seed)
    ids = uniform_ids(random, sizes, examples)
    weights = [random.normal(0, .7, n) for n in sizes]
    vectors = [random.normal(0, .7, (n, 4)) for n in sizes]
    total = sum(v[i] for v, i in zip(vectors, ids.T))
    squares = sum(v[i]**2 for v, i in zip(vectors, ids.T))
    first = sum(w[i] for w, i in zip(weights, ids.T))
    logit = first + .5 * (total**2 - squares).sum(1)
    clicked = random.random(examples) < 1 / (1 + np.exp(-logit))
    return ids, clicked.astype('float32')


def codes(frame, columns):
    "Each column's values as numbers from 0 on, int32 (rows, columns)."
    numbered = [np.unique(frame[c], return_inverse=True)[1] for c in columns]
    return np.stack(numbered, axis=1).astype('int32')


def movielens():
    "MovieLens 1M: user and movie, liked where the rating is above 3."
    from recofm.datasets.movielens import load
    frame = load('ml-1m')
    ids = codes(frame, ('user_id', 'movie_id'))
    return ids, (frame.rating > 3).to_numpy('float32')


def frappe():
    "Frappe's ten fields, from `frappe/train.csv.gz` in RECOFM_DATA."
    import pandas as pd
    folder = Path(os.environ.get('RECOFM_DATA', '.'))
    frame = pd.read_csv(folder/'frappe'/'train.csv.gz')
    return codes(frame, frame.columns[1:]), frame.label.to_numpy('float32')


def stored(name):
    """A real data set in a fixed random order, read once and kept as arrays.

    An OSError where it cannot be had."""
    path = CACHE/f'{name}.npz'
    if not path.exists():
        ids, y = dict(movielens=movielens, frappe=frappe)[name]()
        order = np.random.default_rng(42).permutation(len(y))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, ids=ids[order], y=y[order])
    with np.load(path) as kept: return kept['ids'], kept['y']


def examples_of(
    name,     # 'uniform', 'planted', 'movielens' or 'frappe'
    sizes,    # ids of each field, for the first two
    examples, # how many to train on, for the first two; a tenth more: AUC
):
    """Sizes, (ids, y) to train on, and (ids, y) for the AUC.

    The last is None where the targets mean nothing."""
    if name == 'uniform': return sizes, uniform(sizes, examples), None
    made = name == 'planted'
    ids, y = planted(sizes, examples * 11 // 10) if made else stored(name)
    sizes, cut = [int(n) for n in sizes or ids.max(0) + 1], len(y) * 10 // 11
    return sizes, (ids[:cut], y[:cut]), (ids[cut:], y[cut:])
