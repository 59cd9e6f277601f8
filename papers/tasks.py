"The tables that are reproduced: whose data, which parts, which columns, which metric."
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import pandas as pd
from recofm.datasets.movielens import load
from recofm.data.splits import split


@dataclass
class Task:
    title: str        # What the page calls it
    parts: Callable   # From a seed to the parts by name
    columns: dict     # Arguments of `Schema.fit`, besides dim
    metric: str       # 'auc' or 'rmse'; settings are chosen by its value on the validation part
    quoted: str       # Part whose metric is quoted
    task: str='click' # As a run's: 'click' or 'rating'
    scale: float=1.   # Published errors are so many times those of our targets
    data: str=''      # What `recofm train --data` is given
    seeds: tuple=(42,) # Of the runs with the chosen settings
    note: str=''      # What whoever takes the recipe has to know


def frappe_parts(seed):
    "Frappe_x1 has parts of its own; those in the folder are taken, and a test part where there is one."
    folder = Path(os.environ.get('RECOFM_DATA', '.'))/'frappe'
    files = {part: folder/f'{part}.csv.gz' for part in ('train', 'valid', 'test')}
    if missing := [str(files[part]) for part in ('train', 'valid') if not files[part].exists()]:
        raise OSError(f"Expected Frappe_x1 under RECOFM_DATA, as frappe/train.csv.gz and frappe/valid.csv.gz. Missing: {', '.join(missing)}")
    return {part: pd.read_csv(file) for part, file in files.items() if file.exists()}


def movielens(name, fractions=(.8, .1, .1)):
    "All ratings, split at random; above 3 is a like."
    def parts(seed):
        frame = load(name)
        frame['liked'] = (frame.rating > 3).astype('float32')
        return dict(zip(('train', 'valid', 'test'), split(frame, fractions, seed=seed)))
    return parts


def first_fold(seed):
    "MovieLens 100K's own u1: its first 20,000 rows are the test part; a tenth of the others is for choosing."
    frame = load('ml-100k')
    train, valid = split(frame.iloc[20_000:], (.9, .1), seed=seed)
    return dict(train=train, valid=valid, test=frame.iloc[:20_000])


context = ['daytime', 'weekday', 'isweekend', 'homework', 'cost', 'weather', 'country', 'city']
frappe_columns = dict(target='label', user=['user'], item=['item'], context=context)
who, what = ['user_id', 'gender', 'age', 'occupation'], ['movie_id', 'year', 'genres']
sides = dict(user=who, item=what, multi=['genres'])
ids_only = dict(target='liked', user=['user_id'], item=['movie_id'])

tasks = {
    'frappe': Task('Frappe, AUC', frappe_parts, frappe_columns, 'auc', 'valid', data='frappe/train.csv.gz --valid frappe/valid.csv.gz', seeds=(42, 43, 44)),
    'frappe-rmse': Task('Frappe, RMSE', frappe_parts, frappe_columns, 'rmse', 'valid', 'rating', 2., 'frappe/train.csv.gz --valid frappe/valid.csv.gz',
                        note='The figure is of targets -1 and 1, with predictions cut to that range; recofm train reports that of 0 and 1, about half of it.'),
    'ml-1m': Task('MovieLens 1M, likes, with side features', movielens('ml-1m'), dict(target='liked', **sides), 'auc', 'test', data='ml-1m', seeds=(42, 43, 44)),
    'ml-1m-ids': Task('MovieLens 1M, likes, ids only', movielens('ml-1m'), ids_only, 'auc', 'test', data='ml-1m', seeds=(42, 43, 44)),
    'ml-1m-64': Task('MovieLens 1M, likes, with side features, vectors of 64', movielens('ml-1m'), dict(target='liked', **sides), 'auc', 'test', data='ml-1m', seeds=(42, 43, 44)),
    'ml-1m-ids-64': Task('MovieLens 1M, likes, ids only, vectors of 64', movielens('ml-1m'), ids_only, 'auc', 'test', data='ml-1m', seeds=(42, 43, 44)),
    'ml-1m-rating': Task('MovieLens 1M, ratings', movielens('ml-1m', (.85, .05, .1)), dict(target='rating', **sides), 'rmse', 'test', 'rating', data='ml-1m',
                         note='The figure is of a random 85 : 5 : 10; recofm train splits 8 : 1 : 1.'),
    'ml-100k-rating': Task('MovieLens 100K, ratings, fold u1', first_fold, dict(target='rating', **sides, bucket={'age': 8}), 'rmse', 'test', 'rating', data='ml-100k',
                           note="The figure is of MovieLens' own fold u1; recofm train splits 8 : 1 : 1.")}
