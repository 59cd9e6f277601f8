"""What a row that is folded in is worth, and what it costs, on MovieLens 100K.

    python benchmarks/fold_in.py

One user in ten is a stranger, who brings twenty ratings. Their later ratings
are scored by the row of the unknown, by the row that is folded in, and by a
model that was trained on what they bring, too. It takes some minutes and
writes fold_in.json beside this file, which the page Fold in shows. CPU seconds
of all threads count."""
import json
import os
from pathlib import Path
from time import process_time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import keras
import numpy as np
import pandas as pd

from recofm import models
from recofm.data import Schema
from recofm.datasets.movielens import load
from recofm.evaluation.metrics import auc, rmse
from recofm.serving import Artifact, Catalogue
from recofm.serving.artifact import outputs
from recofm.serving.fold_in import own_outputs
from recofm.training import SparseAdam

person = ['gender', 'age', 'occupation']
described = dict(user=['user_id', *person], item=['movie_id', 'genres'],
                 multi='genres', bucket=dict(age=8), dim=16)
cases = {
    'FM, likes': ('FM', 'liked', 15, dict(w_reg=1e-4, v_reg=1e-3)),
    'FFM, likes': ('FFM', 'liked', 6, dict(w_reg=1e-4, v_reg=1e-4)),
    'GMF, likes': ('GMF', 'liked', 10, dict(embed_reg=3e-4)),
    'DeepFM, likes': ('DeepFM', 'liked', 8, dict(
        hidden_units=[64], dnn_dropout=.4, fm_w_reg=1e-4, embed_reg=3e-4)),
    'FM, ratings': ('FM', 'rating', 15, dict(
        w_reg=1e-4, v_reg=1e-3, output_activation=None))}


def parts(frame, brought=20, seed=0):
    "Rows of the others; what strangers bring; what they are judged by."
    users = frame.user_id.unique()
    draw = np.random.default_rng(seed)
    strange = frame.user_id.isin(draw.choice(users, len(users)//10, False))
    nth = frame.groupby('user_id').cumcount()
    known = frame[~strange]
    later = frame[strange & (nth >= brought)]
    both = frame[strange & (nth < brought)]
    has_both = both.user_id.isin(later.user_id)
    shelf = set(known.movie_id)
    return known, *(t[t.movie_id.isin(shelf)] for t in (both[has_both], later))


def trained(name, rows, target, epochs, arguments):
    "A model of these rows, with a catalogue."
    keras.utils.set_random_seed(0)
    schema = Schema.fit(rows, target=target, **described)
    model = getattr(models, name)(schema.fields, **arguments)
    if target == 'rating': model.set_target(*schema.mean_and_scale)
    model.compile(SparseAdam(.008), metrics=[])
    model.fit(schema.batches(rows, batch_size=512), epochs=epochs, verbose=0)
    return Artifact(model, schema, Catalogue.fit(rows, schema))


def folded(artifact, brought, later, target):
    "The outputs for what is judged, and the seconds of each fold."
    found, seconds = np.zeros(len(later), 'float32'), []
    for user, mine in brought.groupby('user_id'):
        rows = (later.user_id == user).to_numpy()
        history = dict(zip(mine.movie_id.tolist(), mine[target].tolist()))
        about = mine[person].iloc[0].to_dict()
        start = process_time()
        row = artifact.fold_in(history, about)
        seconds.append(process_time() - start)
        x = artifact.schema.inputs(later[rows])
        found[rows] = own_outputs(artifact, x, row)
    return found, float(np.median(seconds))


def full_scoring(artifact, rows):
    "Median seconds to score all films for one user."
    c, spent = artifact.catalogue, []
    films = rows.drop_duplicates('movie_id').assign(user_id=0)
    x = artifact.schema.inputs(films)
    for _ in range(21):
        start = process_time()
        outputs(artifact.model, x)
        spent.append(process_time() - start)
    return float(np.median(spent))


def measured(frame, name, target, epochs, arguments):
    "The three figures of a model, and what they cost."
    known, brought, later = parts(frame)
    judge = auc if target == 'liked' else rmse
    options = target, epochs, arguments
    artifact = trained(name, known, *options)
    again = trained(name, pd.concat([known, brought]), *options)
    y = later[target].to_numpy('float64')
    scores, seconds = folded(artifact, brought, later, target)
    figures = dict(unknown=artifact.predict(later), folded=scores,
                   trained=again.predict(later))
    return dict(
        metric='auc' if target == 'liked' else 'rmse', rows=len(later),
        strangers=int(brought.user_id.nunique()), seconds=seconds,
        all_scores=full_scoring(artifact, known),
        **{n: float(judge(y, p)) for n, p in figures.items()})


def main():
    frame = load('ml-100k')
    frame['liked'] = (frame.rating > 3).astype('float32')
    found = {}
    for name, case in cases.items():
        found[name] = measured(frame, *case)
        print(name, found[name], flush=True)
    file = Path(__file__).with_suffix('.json')
    file.write_text(json.dumps(found, indent=1) + '\n')


if __name__ == '__main__': main()
