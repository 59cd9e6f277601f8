"Recommending to people and of items that training did not have."
import subprocess
import sys
import warnings
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st
from recofm import models
from recofm.cli import main
from recofm.cli.earlier import identity_of_run
from recofm.cli.train import start_of
from recofm.data import Schema
from recofm.data.sources import as_source
from recofm.serving import Artifact, Catalogue
from recofm.serving.asked import UnknownValue
from recofm.serving.fold_in import loss_of, own_outputs, own_row
from recofm.training import SparseAdam

rng = np.random.default_rng(7)
rows = 1500
films = pd.DataFrame(dict(
    film=np.arange(2**53 + 1, 2**53 + 41), year=np.arange(1980, 2020),
    genres=['Comedy', 'Drama|War', 'Comedy|War', 'War'] * 10,
    title=[f'Film {i}' for i in range(40)]))
met = films.iloc[rng.integers(0, 40, rows)].reset_index(drop=True)
met['person'] = [f'p{i:02}' for i in rng.integers(0, 50, rows)]
met['city'] = met.person.str[1].map({str(i): 'ABCDE'[i] for i in range(5)})
met['device'] = rng.choice(['phone', 'desk'], rows)
taste = (met.person.str[-1].astype(int) + met.film) % 3 == 0
met['liked'] = (taste ^ (rng.random(rows) < .2)).astype('float32')
schema = Schema.fit(
    met, target='liked', user=['person', 'city'], context='device', dim=3,
    item=['film', 'genres', 'year'], multi='genres', numeric='year')
catalogue = Catalogue.fit(met, schema)
history = dict(zip(films.film[:9].tolist(), [1, 0, 1, 1, 0, 0, 1, 0, 1]))


def artifact_of(name, schema=schema, catalogue=catalogue, **options):
    "Untrained, with rows that are as large as trained ones."
    keras.utils.set_random_seed(1)
    model = getattr(models, name)(schema.fields, **options)
    for weight in model.trainable_variables:
        weight.assign(keras.random.normal(weight.shape, stddev=.4, seed=3))
    return Artifact(model, schema, catalogue)


def cost(artifact, row, strength=.3):
    "What `fold_in` makes least, by the outputs that it gives."
    own, _ = own_row(artifact, 'user')
    told = films.assign(person=None, city='A', device=None)[:9]
    p = own_outputs(artifact, artifact.schema.inputs(told), row)
    p = p.astype('float64').clip(1e-7, 1 - 1e-7)
    y = np.array([*history.values()])
    losses = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum()
    z = (row - own.mean) / np.where(own.deviation > 0, own.deviation, 1)
    return losses + strength / 2 * (z**2).sum()


quick = 'LR', 'FM', 'FFM', 'DeepFM'
slow = [pytest.param(n, marks=pytest.mark.slow)
        for n in models.family if n not in quick]


@pytest.mark.parametrize('name', [*quick, *slow])
def test_the_row_that_is_found_is_the_best_near_it(name):
    "No step to any side is cheaper, for lines and behind towers."
    artifact = artifact_of(name)
    row = artifact.fold_in(history, dict(city='A')).astype('float64')
    own, _ = own_row(artifact, 'user')
    least, fall = cost(artifact, row), 1e-4
    assert least < cost(artifact, own.mean)
    if not artifact.model.splits():            # bends have bottoms of their own
        fall = .2 * (cost(artifact, own.mean) - least)
    draw = np.random.default_rng(0)
    for size in .3, .03:
        for _ in range(20):
            near = row + size * own.deviation * draw.normal(size=len(row))
            assert least < cost(artifact, near) + fall


def test_fold_in_of_scores_is_in_the_targets_unit():
    "Stars may be given from 1 to 5, or from 100 to 500."
    found = []
    for unit in 1, 100:
        stars = met.assign(liked=unit * (3 + met.liked))
        of_stars = Schema.fit(stars, target='liked', user=['person', 'city'],
                              item=['film', 'genres'], multi='genres', dim=3)
        artifact = artifact_of('FM', of_stars, Catalogue.fit(stars, of_stars),
                               output_activation=None)
        artifact.model.set_target(*of_stars.mean_and_scale)
        told = {key: unit * (3 + liked) for key, liked in history.items()}
        found.append(artifact.fold_in(told))
        best = artifact.recommend(history=told, k=5)
        assert best.score.between(-10 * unit, 20 * unit).all()
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', ['FM', 'DeepFM', *(
    pytest.param(n, marks=pytest.mark.slow)
    for n in ('FinalMLP', 'Poly2', 'LR'))])
def test_a_stranger_is_recommended_what_rows_would_score(name):
    artifact = artifact_of(name)
    told = dict(row=dict(city='B'), context=dict(device='phone'), k=40)
    best = artifact.recommend(**told)
    as_rows = films.assign(person='nobody', city='B', device='phone')
    scores = pd.Series(artifact.predict(as_rows), films.film)
    np.testing.assert_allclose(best.score, scores[best.item], rtol=1e-4)
    assert len(best) == 40 and best.score.is_monotonic_decreasing
    found = artifact.recommend(history=history, **told)
    assert len(found) == 31 and not set(found.item) & set(history)
    where = dict(genres=['Comedy', 'War'])
    some = artifact.recommend(**told, where=where, exclude=films.film[:2])
    assert len(some) == 38
    few = artifact.recommend(**told, where=dict(genres='War'),
                             items=films.film[:8])
    wars = films[:8][films.genres[:8].str.contains('War')].film
    assert sorted(few.item) == sorted(wars)
    ranked = best[best.item.isin(few.item)].item.tolist()
    assert few.item.tolist() == ranked


def test_known_and_unknown_rows_of_a_table_together():
    artifact = artifact_of('FM')
    person = catalogue.users.values[3]
    city = met[met.person == person].city.iloc[0]
    table = pd.DataFrame(dict(person=[person, 'new'], city=[city, 'C']))
    found = artifact.recommend_many(table, k=40)
    known = artifact.recommend(person, k=40)
    mine = found[found.user == person]
    assert mine.item.tolist() == known.item.tolist()
    assert (found.user == 'new').sum() == 40
    unnamed = artifact.recommend_many(table[['city']], k=2)
    assert unnamed.user.tolist() == [0, 0, 1, 1]


def test_what_nobody_knows_is_named_and_counts_as_unknown():
    artifact = artifact_of('FM')
    with pytest.warns(UnknownValue, match="device: .*Received 'phnoe'"):
        found = artifact.recommend('p01', context=dict(device='phnoe'))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        expected = artifact.recommend('p01')
    assert len(found) == len(expected)


def test_a_history_may_come_from_anything_that_goes_through_once():
    artifact, keys = artifact_of('FM'), films.film[:3].tolist()
    expected = artifact.recommend(history=keys, k=40)
    assert len(expected) == 37
    for told in iter(keys), (k for k in keys), films.film[:3], [*keys, *keys]:
        found = artifact.recommend(history=told, k=40)
        pd.testing.assert_frame_equal(found, expected)
    twice = artifact.fold_in([keys[0], str(keys[0])])
    np.testing.assert_array_equal(twice, artifact.fold_in(keys[:1]))


@pytest.mark.parametrize('told, said', [
    (5, 'Expected a history of keys, or of targets by key'),
    ({2**53 + 1: 'good'}, "Received 'good' of 9007199254740993"),
    ({2**53 + 1: 1, str(2**53 + 1): 1}, 'Expected one target of each item')])
def test_what_is_no_history_is_said(told, said):
    with pytest.raises(ValueError, match=said):
        artifact_of('FM').recommend(history=told)


def test_what_is_not_told_by_column_is_said():
    artifact = artifact_of('LR')
    for name in 'row', 'context', 'where':
        user = None if name == 'row' else 'p01'
        with pytest.raises(ValueError, match=f'{name}= to be a dictionary by'):
            artifact.recommend(user, **{name: 'city=A'})
    of_row = artifact.recommend(row=pd.Series(dict(city='A')), k=3)
    of_dict = artifact.recommend(row=dict(city='A'), k=3)
    pd.testing.assert_frame_equal(of_row, of_dict)
    wars = artifact.recommend('p01', where=dict(genres=iter(['War'])), k=40)
    expected = artifact.recommend('p01', where=dict(genres='War'), k=40)
    assert wars.item.tolist() == expected.item.tolist()


@pytest.mark.parametrize('name', [
    'FM', pytest.param('DeepFM', marks=pytest.mark.slow)])
@pytest.mark.filterwarnings('ignore:person. expected values')
def test_one_by_one_is_as_many_whatever_a_row_tells(name):
    "Crosses of the key, cells for scoring, known keys and histories."
    own = Schema.fit(
        met, target='liked', user=['person', 'city', 'both'], dim=3,
        context='device', item=['film', 'genres'], multi='genres',
        cross=dict(both='person,city'), at_scoring=dict(city='B'))
    artifact = artifact_of(name, own, Catalogue.fit(met, own))
    keys = films.film.tolist()
    told = [(dict(person='new', city='A'), keys[:2]),
            (dict(person='p03', city='A'), {keys[5]: 0}),
            (dict(person='p03', city='A'), None), (dict(person=None), [])]
    for row, history in told:
        one = artifact.recommend(row=row, history=history, k=40)
        many = artifact.recommend_many(pd.DataFrame([row]), k=40,
                                       history=[history])
        assert many.item.tolist() == one.item.tolist()
        np.testing.assert_allclose(many.score, one.score, rtol=1e-6)
        met_before = met.film[met.person == row['person']]
        assert not set(met_before) & set(one.item)
    rows, histories = zip(*told[:3])
    together = artifact.recommend_many(pd.DataFrame([*rows]), k=40,
                                       history=[*histories])
    assert together.user.tolist() == ['new'] * 38 + ['p03'] * (
        len(together) - 38)
    alone = artifact.recommend(row=rows[2], k=40)
    assert together.item[-len(alone):].tolist() == alone.item.tolist()


def test_cells_of_histories_as_tables_have_them():
    "Numbers alone, pairs as a Parquet file's, stars in words."
    artifact, (a, b) = artifact_of('FM'), films.film[:2].tolist()
    cities = pd.DataFrame(dict(city=['A', 'B']))
    def lists(*cells, artifact=artifact):
        found = artifact.recommend_many(cities, k=40, history=[*cells])
        return found.drop(columns='label')
    expected = lists([a], {b: 0})
    assert len(expected) == 78
    for cells in ((a, [(b, 0.)]), (str(a), f'{b}=0'), ((a,), {b: 0, a: None}),
                  (np.int64(a), pd.Series({b: 0}).to_dict())):
        pd.testing.assert_frame_equal(lists(*cells), expected)
    for cell, said in (7, 'Received 7'), (b'7', "b'7'"), (f'{a}=4', '4.0 of'):
        with pytest.raises(ValueError, match=f'history of row 1: .*{said}'):
            lists(None, cell)
    stars = met.assign(liked=3 + met.liked)
    of_stars = Schema.fit(stars, target='liked', user=['person', 'city'],
                          item=['film', 'genres'], multi='genres', dim=3)
    rated = artifact_of('FM', of_stars, Catalogue.fit(stars, of_stars),
                        output_activation=None)
    rated.model.set_target(*of_stars.mean_and_scale)
    found = lists(f'{a}=4|{b}=3', None, artifact=rated)
    expected = lists({a: 4, b: 3}, None, artifact=rated)
    pd.testing.assert_frame_equal(found, expected)
    with pytest.raises(ValueError, match='row 0: expected a target of each'):
        lists(f'{a}=4|{b}', None, artifact=rated)


def test_strangers_are_rows_of_any_table():
    artifact, rows = artifact_of('LR'), [dict(city='A'), dict(city='B')]
    expected = artifact.recommend_many(pd.DataFrame(rows), k=3)
    for table in rows, pa.Table.from_pylist(rows):
        found = artifact.recommend_many(table, k=3)
        pd.testing.assert_frame_equal(found, expected)


def test_long_keys_as_text_stay_what_they_are_beside_gaps():
    "As floats, 2**53 + 1 would be the key of its neighbour."
    a, b = films.film[:2]
    person = met.person[met.film == a].iloc[0]
    told = pd.DataFrame(dict(person=[person, person, None],
                             film=[str(a), None, str(b)]))
    found = catalogue.with_seen(told, schema)
    assert catalogue.items.values[found.seen].tolist() == [a]
    read = catalogue.with_seen(as_source(pa.Table.from_pandas(told)), schema)
    assert read.seen.tolist() == found.seen.tolist()


def test_items_of_an_arrow_table_and_of_no_title():
    new = films[:2].assign(film=[7, films.film[1]], title=['Seven', None])
    for rows in new, pa.Table.from_pandas(new), new.to_dict('records'):
        found = catalogue.with_items(rows, schema)
        place = found.items.values.tolist().index(films.film[1])
        assert found.labels[-1] == 'Seven'
        assert found.labels[place] == catalogue.labels[place] == 'Film 1'

def test_a_catalogue_that_was_loaded_alone_can_be_renewed():
    "As that of `Artifact.load`, where no page with more methods came."
    said = """
import pandas as pd
from recofm.data.schema import Schema
from recofm.serving.catalogue import Catalogue
met = pd.DataFrame(dict(user=[1], film=[7]))
schema = Schema.fit(met, user='user', item='film')
new = Catalogue.fit(met, schema, None).with_items([dict(film=8)], schema, None)
print(new.items.values.tolist(), new.with_seen(None, schema).seen.tolist())
"""
    done = subprocess.run([sys.executable, '-c', said], capture_output=True,
                          text=True, timeout=120)
    assert done.stdout == '[7, 8] []\n', done.stderr

cells = st.one_of(st.none(), st.sampled_from(['x', 'y', 'z']))
rows_of = st.lists(st.tuples(st.integers(0, 3), cells, cells), min_size=1,
                   max_size=30)


@given(rows_of, st.integers(1, 9))
@settings(max_examples=15, deadline=None)
def test_what_was_last_told_stands_in_memory_and_in_batches(told, cut):
    "A gap in the last row is filled by the last row without one."
    frame = pd.DataFrame(told, columns=['person', 'city', 'town'])
    frame['film'] = frame.person % 2
    both = Schema.fit(frame.assign(city='x', town='y'), item='film',
                      user=['person', 'city', 'town'], dim=2)
    last = {}
    for row in frame.to_dict('records'):
        own = last.setdefault(row['person'], {})
        own |= {k: v for k, v in row.items() if not pd.isna(v)}
    from recofm.serving.catalogue import gathered, gathered_in_batches
    names = dict(user=['person', 'city', 'town'], item=['film'])
    keyed = 'person', 'film'
    typed = frame.astype(dict(city='string', town='string'))
    parts = [typed[i:i + cut] for i in range(0, len(frame), cut)]
    sources = [as_source(part) for part in parts]
    in_memory = gathered(frame, keyed, names, {})
    in_batches = gathered_in_batches(sources, keyed, names, {})
    for keys, table, *_ in in_memory, in_batches:
        assert len(keys.cells) == len(last)
        for row in table.to_dict('records'):
            for name in 'city', 'town':
                cell = None if pd.isna(row[name]) else row[name]
                assert cell == last[row['person']].get(name)
    assert both.columns


# The command line

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp('newcomers')
    artifact = artifact_of('FM')
    artifact.model.compile(SparseAdam(.01))
    artifact.save(place/'run', {'settings.json': b'{"label": "title"}'})
    return place


def printed(capsys, folder, *words):
    main(['recommend', str(folder/'run'), *map(str, words)])
    return capsys.readouterr().out


def refused(capsys, folder, *words):
    with pytest.raises(SystemExit) as ended:
        main(['recommend', str(folder/'run'), *map(str, words)])
    assert capsys.readouterr().out == ''
    return ended.value.code


def items_in(text):
    _, *lines = text.splitlines()
    return [int(line.split()[1]) for line in lines]


def test_somebody_new_by_words(folder, capsys):
    artifact = Artifact.load(folder/'run')
    history = *films.film[:2], f'{films.film[3]}=0'
    words = '--row', 'city=A', '--history', *history
    found = items_in(printed(capsys, folder, *words, '-k', 7))
    told = {k: 1 for k in films.film[:2]} | {films.film[3]: 0}
    best = artifact.recommend(row=dict(city='A'), history=told, k=7)
    assert found == best.item.tolist()
    found = items_in(printed(capsys, folder, '--row', 'city=A', '-k', 3,
                             '--where', 'genres=Comedy', '--exclude',
                             films.film[0]))
    best = artifact.recommend(row=dict(city='A'), k=3, exclude=films.film[:1],
                              where=dict(genres='Comedy'))
    assert found == best.item.tolist()


def test_strangers_and_items_from_files(folder, capsys):
    artifact = Artifact.load(folder/'run')
    strangers = pd.DataFrame(dict(person=['n1', 'p02'], city=['A', None]))
    stock = films[['film']][::2]
    for kind in 'csv', 'parquet':
        for name, table in dict(new=strangers, stock=stock).items():
            write = getattr(table, f'to_{kind}')
            write(folder/f'{name}.{kind}', index=False)
        out = folder/f'lists.{kind}'
        printed(capsys, folder, '--rows', folder/f'new.{kind}', '--items',
                folder/f'stock.{kind}', '--out', out, '-k', 4)
        found = getattr(pd, f'read_{kind}')(out)
        expected = artifact.recommend_many(strangers, k=4, items=stock.film)
        assert found.user.tolist() == expected.user.tolist()
        assert found.item.tolist() == expected.item.tolist()


def test_strangers_with_histories_from_a_file(folder, capsys):
    artifact = Artifact.load(folder/'run')
    liked = '|'.join(map(str, films.film[:2]))
    table = pd.DataFrame(dict(city=['A', 'B'], liked=[liked, None]))
    table.to_csv(folder/'told.csv', index=False)
    printed(capsys, folder, '--rows', folder/'told.csv', '--history', 'liked',
            '--out', folder/'told.parquet', '-k', 4)
    found = pd.read_parquet(folder/'told.parquet')
    first = artifact.recommend(row=dict(city='A'), history=films.film[:2], k=4)
    second = artifact.recommend(row=dict(city='B'), k=4)
    assert found.item[found.user == 0].tolist() == first.item.tolist()
    assert found.item[found.user == 1].tolist() == second.item.tolist()
    said = refused(capsys, folder, '--rows', folder/'told.csv', '--history',
                   '1', '2', '--out', folder/'x.csv')
    assert 'Expected --history COLUMN with --rows' in said


def test_items_that_came_later(folder, capsys):
    new = pd.DataFrame(dict(film=[5, 6], genres=['War', 'Comedy'],
                            year=[2030, 2031], title=['Later', 'Latest']))
    new.to_csv(folder/'later.csv', index=False)
    text = printed(capsys, folder, '--user', 'p01', '--new-items',
                   folder/'later.csv', '--items', 5, 6)
    assert sorted(items_in(text)) == [5, 6] and 'Latest' in text
    artifact = Artifact.load(folder/'run')
    renewed = catalogue.with_items(new, schema)
    best = replace(artifact, catalogue=renewed).recommend('p01', items=[5, 6])
    as_rows = met[met.person == 'p01'][:1][['person', 'city']].merge(
        new.assign(device=None), how='cross')
    np.testing.assert_allclose(
        sorted(best.score), sorted(artifact.predict(as_rows)), rtol=1e-4)


def test_items_that_came_later_need_no_settings_but_a_catalogue(
        folder, capsys):
    new = films[:1].assign(film=7)
    new.to_csv(folder/'seven.csv', index=False)
    artifact = artifact_of('LR')
    artifact.save(folder/'plain')
    words = ['--row', 'city=A', '--new-items', str(folder/'seven.csv'),
             '--items', '7']
    main(['recommend', str(folder/'plain'), *words])
    assert items_in(capsys.readouterr().out) == [7]
    Artifact(artifact.model, schema).save(folder/'bare')
    with pytest.raises(SystemExit, match='an artifact with a catalogue'):
        main(['recommend', str(folder/'bare'), *words])


def test_stars_of_strangers_from_a_file(folder, tmp_path, capsys):
    stars = met.assign(liked=3 + met.liked)
    of_stars = Schema.fit(stars, target='liked', user=['person', 'city'],
                          item=['film', 'genres'], multi='genres', dim=3)
    rated = artifact_of('FM', of_stars, Catalogue.fit(stars, of_stars),
                        output_activation=None)
    rated.model.set_target(*of_stars.mean_and_scale)
    rated.save(tmp_path/'run', {'settings.json': b'{"task": "rating"}'})
    key, out = films.film[0], tmp_path/'lists.csv'
    (tmp_path/'new.csv').write_text(f'city,stars\nA,{key}=4\nB,\n')
    printed(capsys, tmp_path, '--rows', tmp_path/'new.csv', '--history',
            'stars', '--out', out, '-k', 3)
    first = rated.recommend(row=dict(city='A'), history={key: 4}, k=3)
    assert pd.read_csv(out).item[:3].tolist() == first.item.tolist()
    said = refused(capsys, tmp_path, '--history', f'{key}=')
    assert 'Expected --history KEY=RATING, such as 50=4' in said


def test_no_file_that_is_read_is_written(folder, capsys):
    file = folder/'strangers.csv'
    file.write_text('city\nA\n')
    for words in (['--rows', file], ['--user', 'p01', '--items', file],
                  ['--user', 'p01', '--new-items', file]):
        said = refused(capsys, folder, *words, '--out', file)
        assert 'Expected --out to be another file than those' in said
    assert file.read_text() == 'city\nA\n'


def test_what_is_wrong_with_new_items_names_the_file(folder, capsys):
    file = folder/'wrong.csv'
    words = '--user', 'p01', '--new-items', file
    file.write_text('film,genres\n5,War\n')
    assert f"{file}: The table lacks 'year'" in refused(capsys, folder, *words)
    file.write_text('film,genres,year\n5,War,2000\n,War,2001\n')
    said = refused(capsys, folder, *words)
    assert "each row of 'film'. Received none in row 1" in said
    file.write_text(f'film,genres,year\n{films.film[0]},War,2000\n')
    words = '--row', 'city=A', *words[2:]
    text = printed(capsys, folder, *words, '--items', films.film[0])
    assert 'Film 0' in text

@pytest.mark.parametrize('words, said', [
    (['--user', 'p01', '--context', 'device=phnoe'], "Received 'phnoe'"),
    (['--user', 'p01', '--context', 'device=phone,hour=1'],
     "Received 'phone,hour=1'"),
    (['--row', 'city=Z'], "city: expected values that training had"),
    (['--row', 'town=A'], "columns of the user among ['person', 'city']"),
    (['--history', '7'], 'Expected the key of a known item'),
    (['--history', f'{2**53 + 1}=7'], 'a target from 0 to 1. Received 7.0'),
    (['--user', 'p01', '--where', 'genres=Noir'], "Received 'Noir'"),
    (['--user', 'p01', '--where', 'year=1990'], 'Expected a condition on one'),
    (['--user', 'p01', '--items', 'x.csv'], 'or a file that is there'),
    (['--history', '5=1', '5=0'], "one target of '5'. Received '5=0', too"),
    (['--user', 'p01', '--items', 'x'], 'key of a known item, a whole number'),
    (['--user', 'p01', '--history', '7'], 'Received --user and --row or'),
    (['--rows', 'nowhere.csv', '--out', 'lists.csv'], 'nowhere.csv'),
    (['--rows', 'nowhere.csv'], 'with --all or --rows'),
    ([], 'Expected one of --user, --all, --rows, and --row or --history')])
def test_a_question_that_cannot_be_asked(words, said, folder, capsys,
                                         monkeypatch):
    monkeypatch.chdir(folder)
    found = refused(capsys, folder, *words)
    assert said in found and '\n' not in found


@pytest.mark.parametrize('rule', ['positive', 'none', 'file', None])
def test_a_run_says_what_counts_as_seen(rule, tmp_path, capsys):
    table = met[['person', 'film', 'liked']]
    table.to_parquet(tmp_path/'met.parquet')
    bought = table[:30]
    bought[['person', 'film']].to_csv(tmp_path/'bought.csv', index=False)
    words = '--data', tmp_path/'met.parquet', '--target', 'liked', '--user', \
        'person', '--item', 'film', '--model', 'LR', '--epochs', '1'
    asked = tmp_path/'bought.csv' if rule == 'file' else rule
    more = ['--seen', asked] if rule else []
    main(['train', *map(str, [*words, *more, '--out', tmp_path/'run'])])
    rows = dict(positive=table[table.liked > 0], none=table[:0], file=bought)
    expected = rows.get(rule, table).drop_duplicates(['person', 'film'])
    found = Artifact.load(tmp_path/'run').catalogue
    assert len(found.seen) == len(expected)
    if rule is None: return
    with pytest.raises(SystemExit, match='--seen to be .* or a file'):
        main(['train', *map(str, [*words, '--seen', 'some', '--out',
                                  tmp_path/'other'])])


def test_a_run_goes_on_from_the_model_that_it_has_noted(folder):
    "Another one may have taken its folder in between."
    noted = {'from': identity_of_run(folder/'run')}
    args = SimpleNamespace(**{'from': str(folder/'run')})
    assert start_of(args, noted)['start'].catalogue is not None
    with pytest.raises(ValueError, match='Received another model there mean'):
        start_of(args, {'from': dict(sha256='0' * 64)})
