"""Rows of any number: predictions in files, figures by group, both as the
training read its rows."""
import json
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pandas as pd
import pytest

from recofm.cli import main


def said(*words):
    "What a command prints."
    with redirect_stdout(StringIO()) as shown: main(list(map(str, words)))
    return shown.getvalue()


def clicks(rows, seed):
    rng = np.random.default_rng(seed)
    user, film = rng.integers(0, 40, rows), rng.integers(0, 30, rows)
    odds = 2 * np.sin(film * 5.) + np.sin(user * 3.)
    return pd.DataFrame(dict(
        user=[f'{u:03d}' for u in user], film=[f'{f}' for f in film],
        note=['a;b' if n else '' for n in rng.integers(0, 2, rows)],
        click=(rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(int)))


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    "A model that was trained on text with semicolons and without a header."
    folder = tmp_path_factory.mktemp('predictions')
    clicks(3_000, 0).to_csv(folder/'may.txt', sep=';', header=False,
                            index=False)
    clicks(500, 1).to_csv(folder/'june.txt', sep=';', header=False,
                          index=False)
    said('train', '--data', folder/'may.txt', '--delimiter', ';', '--names',
         'user,film,note,click', '--target', 'click', '--user', 'user',
         '--item', 'film', '--model', 'FM', '--epochs', '3', '--stream',
         '--learning-rate', '.02', '--out', folder/'run')
    return folder


def test_rows_are_read_as_the_training_read_them(place):
    from recofm.serving.artifact import Artifact
    out = place/'june.parquet'
    shown = said('predict', place/'run', '--data', place/'june.txt', '--out',
                 out, '--keep', 'user,note,user')
    assert shown == f'500 predictions in {out}\n'
    found, rows = pd.read_parquet(out), clicks(500, 1)
    assert list(found) == ['user', 'note', 'prediction']
    assert found.user.tolist() == rows.user.tolist()         # 007 stays 007
    expected = Artifact.load(place/'run').predict(rows)
    assert np.array_equal(found.prediction, expected)


def test_rows_without_a_target_are_predicted_and_not_evaluated(place):
    rows = clicks(100, 2).drop(columns=['click', 'note'])
    rows.to_parquet(place/'july.parquet')
    said('predict', place/'run', '--data', place/'july.parquet', '--out',
         place/'july.csv')
    assert list(pd.read_csv(place/'july.csv')) == ['user', 'film', 'prediction']
    with pytest.raises(SystemExit, match="lacks 'click'"):
        said('evaluate', place/'run', '--data', place/'july.parquet')


def test_figures_are_those_of_the_report_and_of_each_group(place):
    from sklearn.metrics import roc_auc_score
    from recofm.serving.artifact import Artifact
    out, rows = place/'figures.csv', clicks(500, 1)
    shown = said('evaluate', place/'run', '--data', place/'june.txt', '--by',
                 'film', '--out', out)
    found = pd.read_csv(out, index_col=0)
    p = Artifact.load(place/'run').predict(rows)
    assert found.auc['all'] == pytest.approx(roc_auc_score(rows.click, p))
    one = (rows.film == '7').to_numpy()
    assert found.auc['7'] == pytest.approx(
        roc_auc_score(rows.click[one], p[one]))
    assert found.rows.iloc[2:].sum() == found.rows['all'] == 500
    assert f'and {len(found) - 22} groups of fewer rows' in shown


def test_the_test_part_has_the_figures_of_the_report(place):
    rows = clicks(4_000, 3)
    parts = dict(train=rows[:3000], valid=rows[3000:3500], test=rows[3500:])
    for name, part in parts.items(): part.to_parquet(place/f'{name}.parquet')
    said('train', '--data', place/'train.parquet', '--valid',
         place/'valid.parquet', '--test', place/'test.parquet', '--target',
         'click', '--user', 'user', '--item', 'film', '--model', 'FM',
         '--epochs', '2', '--out', place/'own')
    said('evaluate', place/'own', '--data', place/'test.parquet', '--out',
         place/'own.csv')
    report = json.loads((place/'own/metrics.json').read_text())['test']
    found = pd.read_csv(place/'own.csv', index_col=0).loc['all']
    assert found[list(report)].to_dict() == pytest.approx(report, abs=1e-7)


@pytest.mark.parametrize('words, message', [
    (['--data', 'june.txt'], 'Expected --out. Received none'),
    (['--out', 'x.csv'], 'Expected --data. Received none'),
    (['--data', 'june.txt', '--out', 'x.xlsx'], 'Expected a file that ends in'),
    (['--data', 'june.txt', '--out', 'no/x.csv'], 'Expected --out in a folder'),
    (['--data', 'june.txt', '--out', 'x.csv', '--keep', 'usr'],
     "lacks 'usr' .did you mean 'user'"),
    (['--data', 'june.txt', '--out', 'x.csv', '--keep', 'prediction'],
     'lacks'),
    (['--data', 'nowhere.txt', '--out', 'x.csv'], 'No such file'),
    (['--data', 'june.txt', '--out', 'run.csv'], "Received the folder run.csv"),
    (['--data', 'june.txt', '--out', 'x.csv', '--delim', ';'], '2')])
def test_mistakes_are_named_and_leave_nothing(
        words, message, place, monkeypatch):
    monkeypatch.chdir(place)
    (place/'run.csv').mkdir(exist_ok=True)
    before = sorted(place.rglob('*'))
    with pytest.raises(SystemExit, match=message):
        said('predict', 'run', *words)
    assert sorted(place.rglob('*')) == before


def test_a_row_that_cannot_be_read_leaves_the_former_file(place):
    rows = clicks(50, 5)
    rows.to_parquet(place/'good.parquet')
    out = place/'kept.csv'
    said('predict', place/'run', '--data', place/'good.parquet', '--out', out)
    before = out.read_bytes()
    (place/'bad.txt').write_text('001;3;;1\n001;3\n')
    with pytest.raises(SystemExit, match='bad.txt.*line 2'):
        said('predict', place/'run', '--data', place/'bad.txt', '--out', out)
    assert out.read_bytes() == before
    assert not [f for f in place.iterdir() if f.name.endswith('.part')]


def test_groups_of_numbers_texts_and_nothing(place):
    from recofm.serving.artifact import Artifact
    artifact = Artifact.load(place/'run')
    rows = clicks(300, 6)
    rows['age'] = np.where(np.arange(300) % 3, np.arange(300) % 2, np.nan)
    found = artifact.evaluate(rows, by='age')
    assert found.rows.tolist() == [300, 300, 100, 100, 100]
    whole = artifact.evaluate(rows)
    assert whole.index.tolist() == ['all']
    rows['weight'] = 0.
    with pytest.raises(ValueError, match="lacks 'colour'"):
        artifact.evaluate(rows, by='colour')


@pytest.mark.parametrize('command', ['predict', 'evaluate'])
def test_the_rows_that_are_read_are_not_written_over(command, place):
    file = place/f'own-{command}.csv'
    clicks(100, 7).to_csv(file, index=False)
    link, before = place/f'link-{command}.csv', file.read_bytes()
    link.symlink_to(file)
    for out in file, link:
        with pytest.raises(SystemExit, match='to write another file than'):
            said(command, place/'run', '--data', file, '--out', out,
                 '--delimiter', ',')
    assert file.read_bytes() == before
