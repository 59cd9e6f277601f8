"Samples of the files that everybody has, where `RECOFM_DATA` has them."
import json
import os
from pathlib import Path

import pytest
from recofm.cli import main
from recofm.data import Schema, read_libffm, split
from recofm.datasets.layouts import layouts, read_layout

folder = Path(os.environ.get('RECOFM_DATA', 'no folder'))
samples = dict(
    criteo=('criteo_train_10000.txt.gz', 10_000, 39),
    avazu=('avazu_train_8999.csv.gz', 8_999, 22),
    frappe=('frappe/valid.csv.gz', 57_722, 10))


@pytest.mark.parametrize('name', samples)
def test_a_sample_becomes_a_schema_as_it_lies(name):
    file, rows, columns = samples[name]
    if not (folder/file).is_file(): pytest.skip(f'{folder/file} is not there')
    frame = read_layout(name, folder/file)
    assert len(frame) == rows
    assert len(read_layout(name, folder/file, rows=99)) == 99
    train, *_ = split(frame, (.8, .1, .1), seed=42)
    schema = Schema.fit(train, **layouts[name].columns)
    assert len(schema.fields) == columns
    x, y = schema.inputs(train), schema.target(train)
    assert len(y) == len(train) and set(y) == {0, 1}
    assert x.shape[0] == len(train)


def test_a_sample_of_libffm_as_it_lies():
    files = [folder/'libffm'/f'criteo_small_{n}.txt' for n in ('train', 'test')]
    if not files[0].is_file(): pytest.skip(f'{files[0]} is not there')
    X, y, columns = read_libffm(files[0])
    assert len(y) == 200 and set(y) == {0, 1}
    with pytest.warns(UserWarning, match='are of columns that training'):
        later, _, _ = read_libffm(files[1], columns)
    assert later.shape == (200, X.shape[1])


def trained(out, *options):
    "What `recofm train` says of itself."
    main(['train', '--out', str(out), *map(str, options)])
    return json.loads((out/'metrics.json').read_text())


@pytest.mark.parametrize('name', ['criteo', 'avazu'])
def test_one_command_beats_logistic_regression(name, tmp_path):
    file = folder/samples[name][0]
    if not file.is_file(): pytest.skip(f'{file} is not there')
    found = trained(tmp_path/'out', '--layout', name, '--data', file)
    simple = found['baselines']['logistic regression']
    assert found['valid']['auc'] > simple['valid']['auc'] + .005
    assert found['test']['logloss'] < simple['test']['logloss']
    assert f'layout = "{name}"' in (tmp_path/'out'/'recipe.toml').read_text()


@pytest.mark.parametrize(
    'model', ['DeepFM', pytest.param('FFM', marks=pytest.mark.slow)])
def test_lines_of_libffm_are_trained_on_as_they_lie(model, tmp_path):
    train, valid = tmp_path/'train.txt', tmp_path/'valid.txt'
    lines = [f'{y} 0:{a}:1 1:{b}:0.5 1:{c}:0.5\n' for a, b, c, y in
             [(n % 5, n % 7, 9, (n + n // 5) % 2) for n in range(300)]]
    train.write_text(''.join(lines))
    valid.write_text(''.join(lines[:100]) + '1 2:3:1\n')
    options = '--data', train, '--valid', valid, '--epochs', 2
    found = trained(tmp_path/'out', *options, '--model', model)
    assert 'failed' not in found and found['valid']['auc'] > .4
    recipe = tmp_path/'out'/'recipe.toml'
    again = trained(tmp_path/'again', '--config', recipe, '--epochs', 2,
                    '--model', model)
    assert again['valid'] == found['valid']
    lines[7] = '1 0:1:x\n'
    train.write_text(''.join(lines))
    with pytest.raises(SystemExit, match='train.txt: Line 8: expected'):
        trained(tmp_path/'wrong', *options)


movies = [(1, 'Toy Story (1995)', 'Animation|Comedy'),
          (2, 'American President, The (1995)', 'Drama'),
          (3, 'City of Lost Children, The (Cité des enfants perdus, La) (1995)',
           'Sci-Fi'), (4, '"Great Performances" Cats (1998)', 'Musical'),
          (5, 'Mission: Impossible (1996)', 'Action')]
rated = [(u, 1 + (u * k) % 5, 1 + (u + k) % 5, 978_300_760 + u)
         for u in range(1, 31) for k in range(1, 5)]


def as_csvs(folder):
    "As of ML-20M on: quotes where a cell holds a comma or a quote."
    def cell(c): return f'"{c}"' if ',' in c else c
    quoted = [(n, cell(t.replace('"', '""')), g) for n, t, g in movies]
    quoted[3] = (4, '"""Great Performances"" Cats (1998)"', 'Musical')
    put(folder/'movies.csv', 'movieId,title,genres', ',', quoted)
    put(folder/'ratings.csv', 'userId,movieId,rating,timestamp', ',',
        [(u, m, f'{r}.0', t) for u, m, r, t in rated], '\r\n')


def as_1m(folder):
    put(folder/'movies.dat', '', '::', movies, encoding='latin-1')
    put(folder/'ratings.dat', '', '::', rated)


def as_100k(folder):
    genres = sorted({g for _, _, of in movies for g in of.split('|')})
    put(folder/'u.genre', '', '|', enumerate_names(genres))
    flags = [[int(g in of.split('|')) for g in genres] for _, _, of in movies]
    put(folder/'u.item', '', '|', [
        (n, t, '01-Jan-1995', '', 'http://x', *f)
        for (n, t, _), f in zip(movies, flags)], encoding='latin-1')
    put(folder/'u.data', '', '\t', rated)


def enumerate_names(names): return [(name, i) for i, name in enumerate(names)]


def put(file, head, parting, rows, end='\n', encoding='utf-8'):
    lines = [head] * bool(head) + [parting.join(map(str, r)) for r in rows]
    file.write_bytes(''.join(line + end for line in lines).encode(encoding))


@pytest.mark.parametrize('made', [as_csvs, as_1m, as_100k])
def test_any_movielens_is_read_as_it_lies(made, tmp_path):
    made(tmp_path)
    frame = read_layout('movielens', tmp_path)
    assert len(frame) == len(rated) and len(frame.dropna()) == len(rated)
    titles = dict(zip(frame.movie_id, frame.title))
    assert titles['3'] == ('City of Lost Children, The (Cité des enfants '
                           'perdus, La)')
    assert titles['4'] == '"Great Performances" Cats'
    assert set(frame.genres) == {g for _, _, g in movies}
    assert frame.rating.tolist() == [r for _, _, r, _ in rated]
    assert len(read_layout('movielens', tmp_path, rows=7)) == 7


@pytest.mark.slow
@pytest.mark.parametrize('made', [as_csvs, as_1m, as_100k])
def test_any_movielens_is_trained_on_as_it_lies(made, tmp_path):
    (tmp_path/'ml').mkdir()
    made(tmp_path/'ml')
    found = trained(tmp_path/'out', '--layout', 'movielens', '--data',
                    tmp_path/'ml', '--epochs', 1, '--task', 'rating')
    assert 'failed' not in found and found['test']['rmse'] < 3


@pytest.mark.slow
@pytest.mark.parametrize('year', [2014, 2023])
def test_reviews_of_amazon_are_trained_on_as_they_lie(year, tmp_path):
    import gzip
    def review(u, m, r, t):
        if year == 2023: return dict(
            rating=float(r), title='"Ok", é', text='a\nb', images=[],
            asin=f'B{m}', parent_asin=f'P{m}', user_id=f'U{u}',
            timestamp=t * 1000, helpful_vote=0, verified_purchase=True)
        return dict(reviewerID=f'U{u}', asin=f'B{m}', helpful=[0, 1],
                    reviewText='"Ok", é', overall=float(r), summary='x',
                    unixReviewTime=t, reviewTime='01 1, 2014')
    lines = [json.dumps(review(*row), ensure_ascii=u % 2 == 0) + '\n'
             for u, row in enumerate(rated)]
    file = tmp_path/'reviews.json.gz'
    file.write_bytes(gzip.compress(''.join(lines).encode()))
    found = trained(tmp_path/'out', '--layout', 'amazon', '--data', file,
                    '--epochs', 1, '--task', 'rating')
    assert 'failed' not in found and found['test']['rmse'] < 3
