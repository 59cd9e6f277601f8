"""Lists for all users together against one by one, and the ten best of a
million items against one NumPy product.

    python benchmarks/retrieval.py

draws a catalogue of MovieLens 1M's shape (6,040 users, 3,706 films, a million
pairs seen), trains FM and DeepFM on a part of it, and writes retrieval.json
beside this file. Seconds are of the processor, all threads of this process
together, so that a busy machine tells the same; what is compared takes turns,
and the median of the turns counts."""
import json
from pathlib import Path
from time import process_time

import keras
import numpy as np
import pandas as pd
from recofm.data import Schema
from recofm.models import FM, DeepFM
from recofm.serving import Artifact, Catalogue
from recofm.serving import recommend as page
from recofm.serving.asked import asked_of
from recofm.serving.retrieval import ItemIndex
from recofm.training import SparseAdam

users, films, rows = 6_040, 3_706, 1_000_209
kinds = np.array(['Action', 'Comedy', 'Drama', 'Crime', 'War', 'Children',
                  'Musical', 'Western', 'Horror', 'Romance'])


def ratings(seed=0):
    "A row for each rating, with what is known of users and of films."
    draw = np.random.default_rng(seed)
    popular = 1 / (20 + np.arange(films))
    film = draw.choice(films, rows, p=popular / popular.sum())
    user = np.concatenate([np.arange(users),
                           draw.integers(0, users, rows - users)])
    genres = ['|'.join(draw.choice(kinds, draw.integers(1, 5), replace=False))
              for _ in range(films)]
    of_user = dict(gender=np.array(['F', 'M'])[draw.integers(0, 2, users)],
                   age=draw.integers(1, 8, users),
                   occupation=draw.integers(0, 21, users))
    taste = draw.normal(size=(users, 4)), draw.normal(size=(films, 4))
    liked = (taste[0][user] * taste[1][film]).sum(1) + draw.normal(size=rows)
    return pd.DataFrame(dict(
        user_id=user + 1, movie_id=film + 1,
        liked=(liked > 0).astype('float32'), year=1930 + film % 70,
        genres=np.array(genres)[film],
        **{name: column[user] for name, column in of_user.items()}))


def artifact_of(make, frame, schema, catalogue, *options):
    "A model that has seen a part of the rows."
    keras.utils.set_random_seed(0)
    model = make(schema.fields, *options)
    model.compile(SparseAdam(.01), metrics=[])
    part = schema.batches(frame.sample(50_000, random_state=0), 1024)
    model.fit(part, epochs=1, verbose=0)
    return Artifact(model, schema, catalogue)


def medians(turns=5, **calls):
    "Median seconds of each call, by turns, after one turn that warms up."
    spent = {name: [] for name in calls}
    for _ in range(turns + 1):
        for name, call in calls.items():
            start = process_time()
            call()
            spent[name].append(process_time() - start)
    return {name: float(np.median(found[1:])) for name, found in spent.items()}


def lists_of_all(artifact, some, scored, turns=5):
    "Seconds for all users together; a user alone; and by all scores."
    keys = artifact.catalogue.users.values[:some]
    places = np.arange(scored)

    def alone():
        for user in keys: artifact.recommend(user)

    def by_scores():
        for row in places:
            list(page.lists_by_scores(artifact, asked_of(artifact, [row]), 10))
    found = medians(turns, together=artifact.recommend_many, alone=alone,
                    by_scores=by_scores)
    n = len(artifact.catalogue.users.values)
    alone, by_scores = found['alone'] / some, found['by_scores'] / scored
    return dict(together=found['together'], alone=alone, by_scores=by_scores,
                ratio_alone=alone * n / found['together'],
                ratio_by_scores=by_scores * n / found['together'])


def same(artifact, some):
    "For how many of some users the list of all is that of one; of all scores."
    together, c = artifact.recommend_many(), artifact.catalogue
    lists = dict(list(together.groupby('user', sort=False).item))
    of_all = [lists[user].tolist() for user in c.users.values[:some]]
    alone = [artifact.recommend(user).item.tolist()
             for user in c.users.values[:some]]
    asked = asked_of(artifact, np.arange(some))
    scored = [c.items.values[items].tolist() for _, items, _ in
              page.lists_by_scores(artifact, asked, 10)]
    return dict(same=sum(map(list.__eq__, of_all, alone)), of=some,
                same_by_scores=sum(map(list.__eq__, of_all, scored)))


def of_a_million(d=16, items=1_000_000):
    "Seconds of a product, of NumPy's ten best of it, and of the search."
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(items, 1 + d)).astype('float32')
    user = draw.normal(size=(1, d)).astype('float32')
    row, index = np.append(np.float32(1), user), ItemIndex(rows[:, 0],
                                                           rows[:, 1:])
    def product(): return rows @ row
    def ten_best():
        scores = product()
        best = np.argpartition(-scores, 10)[:10]
        return best[np.argsort(-scores[best])]
    def search(): return next(index.search(user, 10))[1]
    assert (ten_best() == search()).all()
    return medians(25, product=product, ten_best=ten_best, search=search)


def main():
    frame = ratings()
    schema = Schema.fit(
        frame, target='liked', user=['user_id', 'gender', 'age', 'occupation'],
        item=['movie_id', 'genres', 'year'], multi=['genres'], dim=16)
    catalogue = Catalogue.fit(frame, schema, label=None)
    print(catalogue)
    found = dict(million=of_a_million())
    print({name: f'{1e3 * s:.1f} ms' for name, s in found['million'].items()})
    asked = dict(FM=(FM, (), 200, 60, 5),
                 DeepFM=(DeepFM, ([64, 32],), 40, 40, 1))
    for name, (make, options, some, scored, turns) in asked.items():
        artifact = artifact_of(make, frame, schema, catalogue, *options)
        found[name] = lists_of_all(artifact, some, scored, turns)
        found[name] |= same(artifact, some)
        print(name, {k: round(v, 4) for k, v in found[name].items()})
    text = json.dumps(found, indent=1)
    Path(__file__).with_name('retrieval.json').write_text(text + '\n')


if __name__ == '__main__': main()
