"The main job as a user does it: the two commands of `make run`, on MovieLens 100K where it can be had, and what they refuse."
import gzip
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recofm.cli import main
from recofm.datasets.movielens import load
from recofm.datasets.synthetic import planted


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


def mistake(*words):
    "What a command in this process ends with."
    with pytest.raises(SystemExit) as e: main([*map(str, words)])
    assert len(e.value.code.splitlines()) == 1
    return e.value.code


@pytest.mark.parametrize('words, message', [
    (('--data', 'ml-100k', '--task', 'ratings'), "Did you mean 'rating'?"),
    (('--data', 'ml-100k', '--task', 'rating', '--above', '3'), 'Expected no --above with --task rating'),
    (('--data', 'ml-100k', '--decay', '1'), 'Expected a decay above 0 and below 1. Received 1.0'),
    (('--data', 'ml-100k', '--decay-after', '0'), 'decay_after must be a whole number of at least 1. Received: 0'),
    (('--data', 'mine.csv', '--user', 'a', '--item', 'b', '--test', 'test.csv'), 'Expected --valid too'),
    (('--data', 'ml-100k', '--valid', 'valid.csv'), "Expected files, as --valid asks for. Received 'ml-100k'"),
    (('--config', 'nowhere.toml'), "No such file or directory: 'nowhere.toml'"),
    ((), 'Expected --data, on the command line or in the file of --config'),
])
def test_tasks_parts_and_recipes_are_checked_too(words, message, tmp_path):
    assert message in mistake('train', *words, '--out', tmp_path/'out')
    assert not (tmp_path/'out').exists()


@pytest.mark.parametrize('text, message', [
    ('lerning-rate = 0.1', "Received: 'lerning-rate'. Did you mean 'learning-rate'?"),
    ('epochs: 3', 'Expected TOML in '),
    ('epochs = "many"', "Expected epochs to be a whole number. Received 'many'"),
    ('user = ["a", 1]', "Expected user to be a list of strings. Received ['a', 1]"),
    ('data = "ml-100k"\n[set]\nhiden_units = [8]', "Did you mean 'hidden_units'?"),
])
def test_a_mistake_in_a_recipe_is_one_line_too(text, message, tmp_path):
    (tmp_path/'recipe.toml').write_text(text)
    assert message in mistake('train', '--config', tmp_path/'recipe.toml', '--out', tmp_path/'out')
    assert not (tmp_path/'out').exists()


@pytest.fixture(scope='module')
def parts(tmp_path_factory):
    "A folder with three parts of whole numbers in every column, as many published tables are, and with stars."
    folder = tmp_path_factory.mktemp('parts')
    data = planted(n=3_000, sizes=(60, 40), strength=2., rank=2, names=('user', 'film'))
    table = data.frame.assign(hour=100 + data.frame.user % 3, stars=(1 + 4*data.probability).round())
    for name, rows in dict(train=table[:2400], valid=table[2400:2700], test=table[2700:]).items(): rows.to_csv(folder/f'{name}.csv', index=False)
    (folder/'valid.csv.gz').write_bytes(gzip.compress((folder/'valid.csv').read_bytes()))
    return folder


def said(*words):
    "What a command in this process prints."
    with redirect_stdout(StringIO()) as printed: main([*map(str, words)])
    return printed.getvalue()


def train(parts, *words):
    return said('train', '--data', parts/'train.csv', '--valid', parts/'valid.csv.gz', '--user', 'user', '--item', 'film', '--context', 'hour', '--model', 'FM', *words)


def weights(folder):
    from recofm.serving.artifact import Artifact
    return Artifact.load(folder).model.get_weights()


def test_parts_are_taken_as_they_are(parts, tmp_path):
    printed = train(parts, '--target', 'label', '--epochs', 2, '--out', tmp_path/'two')
    assert '2,400 rows to learn from' in printed and 'test' not in printed.partition('Saved in')[0]
    train(parts, '--target', 'label', '--epochs', 2, '--test', parts/'test.csv', '--out', tmp_path/'three')
    two, three = (json.loads((tmp_path/name/'metrics.json').read_text()) for name in ('two', 'three'))
    assert set(two) & {'train', 'valid', 'test'} == {'train', 'valid'} and three['valid'] == two['valid'] and 'test' in three
    assert len(said('recommend', tmp_path/'three', '--user', 7, '-k', 3, '--context', 'hour=101').splitlines()) == 1 + 3
    assert len(said('recommend', tmp_path/'three', '--user', 7, '-k', 3).splitlines()) == 1 + 3    # an hour that nobody told is missing


def test_ratings_are_learned_and_predicted(parts, tmp_path):
    printed = train(parts, '--task', 'rating', '--target', 'stars', '--epochs', 12, '--learning-rate', .03, '--test', parts/'test.csv', '--out', tmp_path/'stars')
    assert 'RMSE' in printed and 'ridge regression' in printed and 'AUC' not in printed
    metrics = json.loads((tmp_path/'stars'/'metrics.json').read_text())
    assert set(metrics['test']) == {'rmse', 'mae'} and metrics['test']['rmse'] < metrics['baselines']['ridge regression']['test']['rmse'] - .1
    history = pd.read_csv(tmp_path/'stars'/'history.csv')
    np.testing.assert_allclose(history.val_rmse.min(), metrics['valid']['rmse'], rtol=1e-4)
    lines = said('recommend', tmp_path/'stars', '--user', 7, '-k', 3, '--context', 'hour=101').splitlines()
    assert lines[0].endswith('predicted stars') and 3 < float(lines[1].split()[-1]) < 6


@pytest.mark.parametrize('column, value, message', [
    ('stars', 'good', "Target 'stars' in the valid part: expected numbers. Received 'good'"),
    ('stars', None, "Target 'stars' in the valid part: expected finite numbers"),
    ('film', 'Alien', "Field 'film': "),
])
def test_a_part_that_does_not_fit_is_refused_before_training(parts, tmp_path, column, value, message, capsys):
    pd.read_csv(parts/'valid.csv').assign(**{column: value}).to_csv(tmp_path/'valid.csv', index=False)
    assert message in mistake('train', '--data', parts/'train.csv', '--valid', tmp_path/'valid.csv', '--user', 'user', '--item', 'film', '--task', 'rating', '--target', 'stars', '--out', tmp_path/'out')
    assert capsys.readouterr().out == ''


def test_a_recipe_is_the_options_and_the_run_that_left_it(parts, tmp_path):
    train(parts, '--target', 'label', '--epochs', 3, '--learning-rate', .02, '--decay', .5, '--decay-after', 1, '--set', 'k=4', 'v_reg=1e-3', '--out', tmp_path/'options')
    (tmp_path/'mine.toml').write_text(f"""
        data = {json.dumps(str(parts/'train.csv'))}
        valid = {json.dumps(str(parts/'valid.csv'))}
        target = "label"
        user = ["user"]
        item = ["film"]
        context = ["hour"]
        model = "FM"
        epochs = 9
        learning_rate = 0.02
        decay = 0.5
        decay-after = 1
        [set]
        k = 8
        v_reg = 1e-3""")
    for recipe, words in ((tmp_path/'mine.toml', ('--epochs', 3, '--set', 'k=4')),
                          (tmp_path/'options'/'recipe.toml', ('--data', parts/'train.csv', '--valid', parts/'valid.csv'))):
        said('train', '--config', recipe, *words, '--out', tmp_path/'recipe')
        for a, b in zip(weights(tmp_path/'options'), weights(tmp_path/'recipe'), strict=True): np.testing.assert_array_equal(a, b)
        assert json.loads((tmp_path/'recipe'/'settings.json').read_text()) == json.loads((tmp_path/'options'/'settings.json').read_text())


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
