"The main job as a user does it: the two commands of `make run`, on MovieLens 100K where it can be had, and what they refuse."
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from recofm.data.movielens import load
from recofm.data.synthetic import planted


def recofm(*words, **kwargs):
    "A command in a process of its own."
    return subprocess.run([sys.executable, '-c', 'from recofm.cli import main; main()', *map(str, words)], capture_output=True, text=True, **kwargs)


@pytest.fixture(scope='module')
def movielens():
    try: return load('ml-100k')
    except ConnectionError as e: pytest.skip(f'MovieLens 100K cannot be had here: {e}')


@pytest.fixture(scope='module')
def trained(movielens, tmp_path_factory):
    out = tmp_path_factory.mktemp('runs')/'ml-100k'
    done = recofm('train', '--data', 'ml-100k', '--model', 'DeepFM', '--out', out)
    assert done.returncode == 0, done.stderr
    return out, done


def test_the_run_reaches_its_figure(trained):
    out, done = trained
    metrics = json.loads((out/'metrics.json').read_text())
    assert metrics['test']['auc'] >= .785
    assert metrics['test']['auc'] > metrics['baselines']['logistic regression']['test']['auc'] > metrics['baselines']['item mean']['test']['auc']
    assert set(metrics['test']) == {'auc', 'logloss', 'accuracy'}
    assert done.stderr == '' and 'epoch   1' in done.stdout and 'logistic regression' in done.stdout


def test_the_folder_holds_the_report(trained):
    out, _ = trained
    history, settings = pd.read_csv(out/'history.csv'), json.loads((out/'settings.json').read_text())
    assert (out/'curves.png').read_bytes().startswith(b'\x89PNG')
    assert history.val_auc.idxmax() + settings['patience'] + 1 == len(history) or len(history) == settings['epochs']
    assert settings['model'] == 'DeepFM' and settings['seed'] == 42 and 'tensorflow' in settings['versions']


def test_films_are_recommended_that_the_user_has_not_rated(trained, movielens):
    done = recofm('recommend', trained[0], '--user', 42, '-k', 10)
    assert done.returncode == 0 and done.stderr == ''
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + 10
    rated = {f'{t} ({y})' for t, y in movielens[movielens.user_id == 42][['title', 'year']].itertuples(index=False)}
    assert not any(film in line for film in rated for line in lines)
    # sensible: films that those who rated them liked, more than the average film
    best = [int(line.split()[1]) for line in lines[1:]]
    liked = (movielens.rating > 3).groupby(movielens.movie_id).mean()
    assert liked[best].mean() > liked.mean() + .2


def test_an_unknown_user_is_named(trained):
    done = recofm('recommend', trained[0], '--user', 'Anna')
    assert done.returncode == 1 and done.stdout == '' and done.stderr.startswith('recofm: Expected the key of a known user')
    assert "Received 'Anna'" in done.stderr and 'Traceback' not in done.stderr


@pytest.mark.parametrize('words, message', [
    (('--data', 'ml-10k'), "Did you mean 'ml-100k'?"),
    (('--data', 'ml-100k', '--model', 'DeepMF'), "Did you mean 'DeepFM'?"),
    (('--data', 'ml-100k', '--set', 'hiden_units=[8]'), "Did you mean 'hidden_units'?"),
    (('--data', 'ml-100k', '--set', 'hidden_units=64'), 'Received hidden_units=64'),
    (('--data', 'ml-100k', '--set', 'embed_reg="a"'), "Received embed_reg='a'"),
    (('--data', 'ml-100k', '--set', 'output_activation=null'), 'Received None'),
    (('--data', 'ml-100k', '--epochs', '0'), 'epochs must be a whole number of at least 1. Received: 0'),
    (('--data', 'ml-100k', '--learning-rate', 'nan'), 'Received nan'),
    (('--data', 'ml-100k', '--numeric', 'age'), 'Expected --user and --item too'),
    (('--data', 'mine.csv', '--user', 'a', '--item', 'b', '--bucket', 'a'), "Received 'a'"),
])
def test_a_mistake_is_one_line_and_writes_nothing(words, message, tmp_path):
    done = recofm('train', *words, '--out', tmp_path/'out')
    assert done.returncode == 1 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path/'out').exists()


def test_a_parquet_file_is_as_good_as_a_csv(tmp_path):
    table = planted(n=2_000, sizes=(60, 40), strength=2., rank=2, names=('user', 'film')).frame
    table.to_csv(tmp_path/'views.csv', index=False); table.to_parquet(tmp_path/'views.parquet')
    words = '--target', 'label', '--user', 'user', '--item', 'film', '--model', 'FM', '--epochs', 2
    for kind in ('csv', 'parquet'):
        done = recofm('train', '--data', tmp_path/f'views.{kind}', '--out', tmp_path/kind, *words)
        assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path/kind/'metrics.json').read_text())['test'] for kind in ('csv', 'parquet'))
    assert first == second


def test_an_unwritable_folder_is_refused_before_any_work(tmp_path):
    Path(tmp_path, 'file').touch()
    done = recofm('train', '--data', 'ml-100k', '--out', tmp_path/'file'/'run')
    assert done.returncode == 1 and 'folder that can be written' in done.stderr and done.stdout == ''
    assert os.listdir(tmp_path) == ['file']
