"""A file for each competitor.

`make(name, model, sizes, dim, batch_size)` gives an object with

prepare(ids, y)   the data as the competitor wants it, from per-field ids
                  (n, fields) and targets (n,); not timed
fit(data, epochs) so many passes over it; timed
predict(ids)      probabilities (n,) of many rows; timed
score(ids)        the same for a few rows, the quickest way there is; timed
tune(data)        where there is something to choose before: choose the
                  quickest; not timed
"""
from importlib import import_module

MODULES = {
    'recofm': 'with_recofm',
    'recofm-bare': 'with_recofm',
    'torch-dense': 'with_torch',
    'torch-sparse': 'with_torch',
    'keras': 'with_keras',
    'keras-bare': 'with_keras',
    'deepctr': 'with_deepctr',
    'deepctr-legacy': 'with_deepctr',
    'modern-fm': 'with_modern_fm',
}
LABELS = {
    'recofm': 'recofm',
    'recofm-bare': 'recofm without AUC',
    'torch-dense': 'PyTorch, Adam',
    'torch-sparse': 'PyTorch, SparseAdam',
    'keras': 'Keras',
    'keras-bare': 'Keras without AUC',
    'deepctr': 'DeepCTR on Keras 3',
    'deepctr-legacy': 'DeepCTR on Keras 2',
    'modern-fm': 'modern-fm',
}


def make(name, *args):
    return import_module(f'competitors.{MODULES[name]}').make(name, *args)
