"The examples of a job: per-field ids (n, fields) int32 and targets (n,) float32, for training and for the check of the AUC."
import os
from pathlib import Path
import numpy as np

CACHE = Path(__file__).parents[1]/'.bench'/'data'


def uniform(sizes, examples, seed=0):
    "Ids drawn uniformly, the hardest case for a cache, and targets without a meaning."
    random = np.random.default_rng(seed)
    return random.integers(0, sizes, (examples, len(sizes)), dtype='int32'), random.integers(0, 2, examples).astype('float32')


def planted(sizes, examples, seed=0):
    "Ids drawn uniformly; clicks that follow from weights and from vectors of four numbers."
    random = np.random.default_rng(seed)
    ids = random.integers(0, sizes, (examples, len(sizes)), dtype='int32')
    weights, vectors = [random.normal(0, .7, n) for n in sizes], [random.normal(0, .7, (n, 4)) for n in sizes]
    total = sum(v[i] for v, i in zip(vectors, ids.T))
    logit = sum(w[i] for w, i in zip(weights, ids.T)) + .5 * (total**2 - sum(v[i]**2 for v, i in zip(vectors, ids.T))).sum(1)
    return ids, (random.random(examples) < 1 / (1 + np.exp(-logit))).astype('float32')


def movielens():
    "MovieLens 1M: user and movie, liked where the rating is above 3."
    from recofm.datasets.movielens import load
    frame = load('ml-1m')
    ids = np.stack([np.unique(frame[c], return_inverse=True)[1] for c in ('user_id', 'movie_id')], axis=1)
    return ids.astype('int32'), (frame.rating > 3).to_numpy('float32')


def frappe():
    "Frappe's ten fields, from `frappe/train.csv.gz` in the folder RECOFM_DATA."
    import pandas as pd
    frame = pd.read_csv(Path(os.environ.get('RECOFM_DATA', '.'))/'frappe'/'train.csv.gz')
    ids = np.stack([np.unique(frame[c], return_inverse=True)[1] for c in frame.columns[1:]], axis=1)
    return ids.astype('int32'), frame.label.to_numpy('float32')


def stored(name):
    "A real data set in a fixed random order, read once and kept as arrays; an OSError where it cannot be had."
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
    examples, # how many to train on, for the first two; a tenth more is made for the AUC
):
    "Sizes, (ids, y) to train on, and (ids, y) for the AUC or None where the targets mean nothing."
    if name == 'uniform': return sizes, uniform(sizes, examples), None
    ids, y = planted(sizes, examples * 11 // 10) if name == 'planted' else stored(name)
    sizes, cut = [int(n) for n in sizes or ids.max(0) + 1], len(y) * 10 // 11
    return sizes, (ids[:cut], y[:cut]), (ids[cut:], y[cut:])
