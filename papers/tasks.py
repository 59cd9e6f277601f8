"The tables that are reproduced: whose data, which parts, columns and metric."
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import pandas as pd
from recofm.datasets.movielens import load
from recofm.data.splits import split


@dataclass
class Task:
    title: str         # What the page calls it
    parts: Callable    # From a seed to the parts by name
    columns: dict      # Arguments of `Schema.fit`, besides dim
    metric: str        # 'auc' or 'rmse', by which a setting is chosen
    quoted: str        # Part whose metric is quoted
    task: str='click'  # As a run's: 'click' or 'rating'
    scale: float=1.    # Published errors are so many times those of our targets
    data: str=''       # What `recofm train --data` is given
    seeds: tuple=(42,) # Of the runs with the chosen settings
    note: str=''       # What whoever takes the recipe has to know


def frappe_parts(seed):
    "Frappe_x1's own parts: those in the folder, of which test may be absent."
    folder = Path(os.environ.get('RECOFM_DATA', '.'))/'frappe'
    names = 'train', 'valid', 'test'
    files = {name: folder/f'{name}.csv.gz' for name in names}
    there = {name: file for name, file in files.items() if file.exists()}
    missing = [str(files[n]) for n in ('train', 'valid') if n not in there]
    if missing:
        wanted = 'frappe/train.csv.gz and frappe/valid.csv.gz'
        expected = f'Expected Frappe_x1 under RECOFM_DATA, as {wanted}'
        raise OSError(f"{expected}. Missing: {', '.join(missing)}")
    return {name: pd.read_csv(file) for name, file in there.items()}


def movielens(name, fractions=(.8, .1, .1)):
    "All ratings, split at random; above 3 is a like."
    def parts(seed):
        frame = load(name)
        frame['liked'] = (frame.rating > 3).astype('float32')
        train, valid, test = split(frame, fractions, seed=seed)
        return dict(train=train, valid=valid, test=test)
    return parts


def first_fold(seed):
    "MovieLens 100K's own u1, first to test; a tenth of the others to choose."
    frame, n = load('ml-100k'), 20_000
    train, valid = split(frame.iloc[n:], (.9, .1), seed=seed)
    return dict(train=train, valid=valid, test=frame.iloc[:n])


context = ['daytime', 'weekday', 'isweekend', 'homework', 'cost', 'weather',
           'country', 'city']
by_frappe = dict(target='label', user=['user'], item=['item'], context=context)
by_ids = dict(target='liked', user=['user_id'], item=['movie_id'])
by_sides = dict(
    user=['user_id', 'gender', 'age', 'occupation'],
    item=['movie_id', 'year', 'genres'], multi=['genres'])
by_liked, by_rating = (dict(target=t) | by_sides for t in ('liked', 'rating'))

# What several tables share
three = 42, 43, 44
frappe = dict(
    parts=frappe_parts, columns=by_frappe, quoted='valid',
    data='frappe/train.csv.gz --valid frappe/valid.csv.gz')
likes = dict(
    parts=movielens('ml-1m'), metric='auc', quoted='test', data='ml-1m',
    seeds=three)
ratings = dict(metric='rmse', quoted='test', task='rating')

# What whoever takes a recipe has to know
halved = ('The figure is of targets -1 and 1, with predictions cut to that '
          'range; recofm train reports that of 0 and 1, about half of it.')
split_so = 'recofm train splits 8 : 1 : 1.'
large_train = f'The figure is of a random 85 : 5 : 10; {split_so}'
own_fold = f"The figure is of MovieLens' own fold u1; {split_so}"

tasks = {
    'frappe': Task('Frappe, AUC', **frappe, metric='auc', seeds=three),
    'frappe-rmse': Task(
        'Frappe, RMSE', **frappe, metric='rmse', task='rating', scale=2.,
        note=halved),
    'ml-1m': Task(
        'MovieLens 1M, likes, with side features', columns=by_liked, **likes),
    'ml-1m-ids': Task(
        'MovieLens 1M, likes, ids only', columns=by_ids, **likes),
    'ml-1m-64': Task(
        'MovieLens 1M, likes, with side features, vectors of 64',
        columns=by_liked, **likes),
    'ml-1m-ids-64': Task(
        'MovieLens 1M, likes, ids only, vectors of 64',
        columns=by_ids, **likes),
    'ml-1m-rating': Task(
        'MovieLens 1M, ratings', movielens('ml-1m', (.85, .05, .1)), by_rating,
        **ratings, data='ml-1m', note=large_train),
    'ml-100k-rating': Task(
        'MovieLens 100K, ratings, fold u1', first_fold,
        by_rating | dict(bucket={'age': 8}),
        **ratings, data='ml-100k', note=own_fold)}
