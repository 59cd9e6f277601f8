"A cell means what it says: whatever stands beside it, in whatever file."
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recofm.cli import main
from recofm.data import Schema, read_table
from recofm.serving import Artifact

large = 2**60 + 1, 2**60 + 2


def ids_of(users, known):
    "The ids of some users, in a schema that was fit on the known ones."
    schema = Schema.fit(pd.DataFrame(dict(user=known)), user='user')
    return schema.inputs(users).ravel().tolist()


def written(tmp_path, lines, name='views.csv'):
    path = tmp_path/name
    path.write_text('\n'.join(lines) + '\n')
    return path


def test_leading_zeros_tell_users_apart(tmp_path):
    path = written(tmp_path, ['user', '007', '7', '7'])
    assert read_table(path).user.tolist() == ['007', '7', '7']
    assert ids_of(read_table(path), read_table(path).user) == [2, 1, 1]


def test_an_empty_cell_makes_no_floats_of_the_ids_around_it(tmp_path):
    "From 2**53 on a float stands for several whole numbers."
    path = written(tmp_path, ['user,film', f'{large[0]},1', f'{large[1]},1',
                              ',1'])
    frame = read_table(path)
    assert frame.user.nunique() == 2
    assert ids_of(frame, frame.user) == [1, 2, 3]
    typed = pd.DataFrame(dict(user=pd.array([*large, None], dtype='Int64')))
    typed.to_parquet(tmp_path/'views.parquet')
    again = read_table(tmp_path/'views.parquet')
    assert ids_of(again, again.user) == [1, 2, 3]
    with pytest.raises(ValueError, match='1.152921504606847e[+]18 in row 0'):
        ids_of(typed.astype('float64'), typed.user.astype('float64'))


def test_namibia_is_a_country(tmp_path):
    path = written(tmp_path, ['country,age', 'NA,1', ',2', 'null,3'])
    assert read_table(path).country.isna().tolist() == [False, True, False]
    told = read_table(path, missing=['NA', 'null'])
    assert told.country.isna().all()


def test_a_guest_after_400_000_numbers_is_a_user(tmp_path):
    numbers = [*map(str, range(100_000))] * 4
    path = written(tmp_path, ['user', *numbers, 'guest'])
    frame = read_table(path)
    assert frame.user.iloc[-1] == 'guest'
    assert ids_of([dict(user='guest')], frame.user) != [0]


def test_a_request_keeps_its_whole_numbers():
    rows = [dict(user=large[1]), dict(user=None)]
    assert ids_of(rows, list(large)) == [2, 0]


@pytest.mark.parametrize('column, said', {
    'sets': ([{1}], "Field 'user': expected a list. Received .1. in row 0"),
    'dicts': ([{'a': 1}], "Field 'user'.*.'a': 1. in row 0"),
    'uint64': (np.array([1, 2**63], 'uint64'),
               "Field 'user'.*9223372036854775808 in row 1"),
    'float32': (np.array([1, 2**24 + 2], 'float32'),
                "Field 'user'.*16777218.0 in row 1"),
    'mixed': ([1, 'a'], "Field 'user'.*'a' in row 1")}.values())
def test_what_is_no_key_is_refused_by_name(column, said):
    with pytest.raises(ValueError, match=said): ids_of([], pd.Series(column))


@pytest.mark.parametrize('user', [0, [0], None, '', [['user']]])
def test_a_column_has_a_name(user):
    with pytest.raises(ValueError, match='user= expects names of columns'):
        Schema.fit(pd.DataFrame(dict(user=[1])), user=user)


def test_two_columns_of_one_name_are_refused(tmp_path):
    frame = pd.DataFrame([[1, 2]], columns=['user', 'user'])
    with pytest.raises(ValueError, match="Received 'user' twice"):
        Schema.fit(frame, user='user')
    path = written(tmp_path, ['user,user', '1,2'])
    with pytest.raises(ValueError, match="Received 'user' twice"):
        read_table(path)


def trained(tmp_path, file, *words):
    "The artifact of a short `recofm train` on a file."
    out = tmp_path/f'run-{Path(file).suffix[1:]}'
    main(['train', '--data', str(file), '--target', 'liked', '--user', 'user',
          '--item', 'film', '--model', 'FM', '--epochs', '1', '--dim', '2',
          '--out', str(out), *words])
    return Artifact.load(out)


def test_a_csv_and_a_parquet_file_train_alike_but_for_their_types(tmp_path):
    "What the table of the columns' page says, through the command."
    rng, rows = np.random.default_rng(0), 400
    frame = pd.DataFrame(dict(
        user=rng.choice([*large, 7], rows), film=rng.integers(1, 9, rows),
        age=rng.integers(18, 60, rows), liked=rng.integers(0, 2, rows)))
    typed = frame.assign(age=frame.age.where(frame.age > 20))
    typed.to_csv(tmp_path/'views.csv', index=False)
    typed.to_parquet(tmp_path/'views.parquet')
    words = '--context', 'age', '--numeric', 'age'
    text, whole = (trained(tmp_path, tmp_path/f'views.{kind}', *words)
                   for kind in ('csv', 'parquet'))
    known = set(map(str, (*large, 7)))
    assert set(text.catalogue.users.values) == known
    assert set(map(str, whole.catalogue.users.values)) == known
    assert text.schema.columns[2].mean == whole.schema.columns[2].mean
    for key in (str(large[0]), large[0]):
        assert len(whole.recommend(key, seen=True)) == 8
    assert len(text.recommend(str(large[0]), seen=True)) == 8
    with pytest.raises(ValueError, match='Received 7'): text.recommend(7)


def test_the_first_cell_that_is_no_number_is_named_with_its_line(tmp_path):
    lines = ['user,film,age,liked', *['1,2,30,1', '2,3,40,0'] * 50,
             '1,2,forty,1']
    file = written(tmp_path, lines)
    with pytest.raises(SystemExit) as stopped:
        trained(tmp_path, file, '--context', 'age', '--numeric', 'age')
    said = str(stopped.value)
    assert "views.csv, line 102: expected a number in 'age'" in said
    assert "Received 'forty'" in said and not (tmp_path/'run-csv').exists()


formats = sorted((Path(__file__).parent/'format_1').glob('*.json'))


@pytest.mark.parametrize('kept', formats, ids=[p.stem for p in formats])
def test_artifacts_of_the_format_before_are_read(kept):
    "They score, and recommend, what they did when they were saved."
    expected = json.loads(kept.read_text())
    artifact = Artifact.load(kept.with_suffix(''))
    scores = artifact.score(expected['rows'])
    np.testing.assert_allclose(scores, expected['scores'], rtol=1e-6)
    best = artifact.recommend('u1', k=3, context=dict(hour=9))
    assert best.item.tolist() == expected['best']
