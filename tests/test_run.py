"The main job as a user does it: the two commands of `make run`."
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


def recofm(*words):
    "A command in a process of its own."
    code = 'from recofm.cli import main; main()'
    command = [sys.executable, '-c', code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def said(*words):
    "What a command in this process prints."
    with redirect_stdout(StringIO()) as printed: main([*map(str, words)])
    return printed.getvalue()


def mistake(*words):
    "What a command in this process ends with."
    with pytest.raises(SystemExit) as e: main([*map(str, words)])
    assert len(e.value.code.splitlines()) == 1
    return e.value.code


def read(folder, name):
    "One of the JSON files that a run leaves."
    return json.loads((folder/name).read_text())


@pytest.fixture(scope='module')
def movielens():
    try:
        return load('ml-100k')
    except ConnectionError as e:
        pytest.skip(f'MovieLens 100K cannot be had here: {e}')


@pytest.fixture(scope='module')
def trained(movielens, tmp_path_factory):
    out = tmp_path_factory.mktemp('runs')/'ml-100k'
    done = recofm('train', '--data', 'ml-100k', '--model', 'DeepFM',
                  '--out', out)
    assert done.returncode == 0, done.stderr
    return out, done


def test_the_run_reaches_its_figure(trained):
    out, done = trained
    metrics = read(out, 'metrics.json')
    test = metrics['test']
    assert test['auc'] >= .785 and set(test) == {'auc', 'logloss', 'accuracy'}
    simple = {n: m['test']['auc'] for n, m in metrics['baselines'].items()}
    assert test['auc'] > simple['logistic regression'] > simple['item mean']
    assert done.stderr == '' and 'epoch   1' in done.stdout
    assert 'logistic regression' in done.stdout


def test_the_folder_holds_the_report(trained):
    out, _ = trained
    assert (out/'curves.png').read_bytes().startswith(b'\x89PNG')
    settings = read(out, 'settings.json')
    assert settings['model'] == 'DeepFM' and settings['seed'] == 42
    assert 'tensorflow' in settings['versions']
    history = pd.read_csv(out/'history.csv')
    waited = history.val_auc.idxmax() + settings['patience'] + 1
    assert len(history) in (waited, settings['epochs'])


def test_films_are_recommended_that_the_user_has_not_rated(trained, movielens):
    done = recofm('recommend', trained[0], '--user', 42, '-k', 10)
    assert done.returncode == 0 and done.stderr == ''
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + 10
    rated = movielens[movielens.user_id == 42]
    films = {f'{t} ({y})' for t, y in zip(rated.title, rated.year)}
    assert not any(film in line for film in films for line in lines)
    # sensible: films that those who rated them liked above the average
    best = [int(line.split()[1]) for line in lines[1:]]
    liked = (movielens.rating > 3).groupby(movielens.movie_id).mean()
    assert liked[best].mean() > liked.mean() + .2


def test_an_unknown_user_is_named(trained):
    done = recofm('recommend', trained[0], '--user', 'Anna')
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr.startswith('recofm: Expected the key of a known user')
    assert "Received 'Anna'" in done.stderr and 'Traceback' not in done.stderr


@pytest.mark.parametrize('words, message', [
    ('--data ml-10k', "Did you mean 'ml-100k'?"),
    ('--data ml-100k --model DeepMF', "Did you mean 'DeepFM'?"),
    ('--data ml-100k --set hiden_units=[8]', "Did you mean 'hidden_units'?"),
    ('--data ml-100k --set hidden_units=64', 'Received hidden_units=64'),
    ('--data ml-100k --set embed_reg="a"', "Received embed_reg='a'"),
    ('--data ml-100k --set output_activation=null', 'Received None'),
    ('--data ml-100k --epochs 0',
     'epochs must be a whole number of at least 1. Received: 0'),
    ('--data ml-100k --learning-rate nan', 'Received nan'),
    ('--data ml-100k --numeric age', 'Expected --user and --item too'),
    ('--data mine.csv --user a --item b --bucket a', "Received 'a'"),
])
def test_a_mistake_is_one_line_and_writes_nothing(words, message, tmp_path):
    done = recofm('train', *words.split(), '--out', tmp_path/'out')
    assert done.returncode == 1 and message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path/'out').exists()


@pytest.mark.parametrize('words, message', [
    ('--data ml-100k --task ratings', "Did you mean 'rating'?"),
    ('--data ml-100k --task rating --above 3',
     'Expected no --above with --task rating'),
    ('--data ml-100k --decay 1',
     'Expected a decay above 0 and below 1. Received 1.0'),
    ('--data ml-100k --decay-after 0',
     'decay_after must be a whole number of at least 1. Received: 0'),
    ('--data mine.csv --user a --item b --test test.csv',
     'Expected --valid too'),
    ('--data ml-100k --valid valid.csv',
     "Expected files, as --valid asks for. Received 'ml-100k'"),
    ('--config nowhere.toml', "No such file or directory: 'nowhere.toml'"),
    ('', 'Expected --data, on the command line or in the file of --config'),
])
def test_tasks_parts_and_recipes_are_checked_too(words, message, tmp_path):
    assert message in mistake('train', *words.split(), '--out', tmp_path/'out')
    assert not (tmp_path/'out').exists()


@pytest.mark.parametrize('text, message', [
    ('lerning-rate = 0.1',
     "Received 'lerning-rate' (did you mean 'learning-rate'?)"),
    ('epochs: 3', 'Expected TOML in '),
    ('epochs = "many"',
     "Expected epochs to be a whole number. Received 'many'"),
    ('user = ["a", 1]',
     "Expected user to be a list of strings. Received ['a', 1]"),
    ('data = "ml-100k"\n[set]\nhiden_units = [8]',
     "Did you mean 'hidden_units'?"),
])
def test_a_mistake_in_a_recipe_is_one_line_too(text, message, tmp_path):
    recipe, out = tmp_path/'recipe.toml', tmp_path/'out'
    recipe.write_text(text)
    assert message in mistake('train', '--config', recipe, '--out', out)
    assert not out.exists()


@pytest.fixture(scope='module')
def parts(tmp_path_factory):
    """A folder with three parts, every column of whole numbers, and stars.

    Many published tables are of this kind."""
    folder = tmp_path_factory.mktemp('parts')
    names = 'user', 'film'
    data = planted(n=3_000, sizes=(60, 40), strength=2., rank=2, names=names)
    table = data.frame.assign(hour=100 + data.frame.user % 3)
    table['stars'] = (1 + 4*data.probability).round()
    rows = dict(train=table[:2400], valid=table[2400:2700], test=table[2700:])
    for name, part in rows.items():
        part.to_csv(folder/f'{name}.csv', index=False)
    packed = gzip.compress((folder/'valid.csv').read_bytes())
    (folder/'valid.csv.gz').write_bytes(packed)
    return folder


columns = '--user', 'user', '--item', 'film', '--context', 'hour'


def train(parts, *words):
    "What a run on the parts prints."
    files = '--data', parts/'train.csv', '--valid', parts/'valid.csv.gz'
    return said('train', *files, *columns, '--model', 'FM', *words)


def recommended(folder, *words):
    "The three lines that a run recommends to user 7, below their heading."
    found = said('recommend', folder, '--user', 7, '-k', 3, *words)
    heading, *lines = found.splitlines()
    assert len(lines) == 3
    return heading, lines


def weights(folder):
    from recofm.serving.artifact import Artifact
    return Artifact.load(folder).model.get_weights()


def test_parts_are_taken_as_they_are(parts, tmp_path):
    clicks = '--target', 'label', '--epochs', 2
    printed = train(parts, *clicks, '--out', tmp_path/'two')
    assert '2,400 rows to learn from' in printed
    assert 'test' not in printed.partition('Saved in')[0]
    test = '--test', parts/'test.csv'
    train(parts, *clicks, *test, '--out', tmp_path/'three')
    two, three = (read(tmp_path/o, 'metrics.json') for o in ('two', 'three'))
    assert set(two) & {'train', 'valid', 'test'} == {'train', 'valid'}
    assert three['valid'] == two['valid'] and 'test' in three
    recommended(tmp_path/'three', '--context', 'hour=101')
    recommended(tmp_path/'three')       # an hour that nobody told is missing


def test_ratings_are_learned_and_predicted(parts, tmp_path):
    out, test = tmp_path/'stars', ('--test', parts/'test.csv')
    stars = '--task', 'rating', '--target', 'stars'
    how = '--epochs', 12, '--learning-rate', .03
    printed = train(parts, *stars, *how, *test, '--out', out)
    assert 'RMSE' in printed and 'ridge regression' in printed
    assert 'AUC' not in printed
    metrics = read(out, 'metrics.json')
    rmse, ridge = metrics['test'], metrics['baselines']['ridge regression']
    assert set(rmse) == {'rmse', 'mae'}
    assert rmse['rmse'] < ridge['test']['rmse'] - .1
    best = pd.read_csv(out/'history.csv').val_rmse.min()
    np.testing.assert_allclose(best, metrics['valid']['rmse'], rtol=1e-4)
    heading, lines = recommended(out, '--context', 'hour=101')
    assert heading.endswith('predicted stars')
    assert 3 < float(lines[0].split()[-1]) < 6


@pytest.mark.parametrize('column, value, message', [
    ('stars', 'good', "valid.csv, line 2: expected a number in 'stars'. "
                      "Received 'good'"),
    ('stars', None,
     "Target 'stars' in the valid part: expected finite numbers"),
    ('film', None, "valid.csv lacks 'film'"),
])
def test_a_part_that_does_not_fit_is_refused_before_training(
        parts, tmp_path, column, value, message, capsys):
    wrong, out = tmp_path/'valid.csv', tmp_path/'out'
    table = pd.read_csv(parts/'valid.csv').assign(**{column: value})
    if column == 'film': table = table.drop(columns='film')
    table.to_csv(wrong, index=False)
    files = '--data', parts/'train.csv', '--valid', wrong, '--out', out
    stars = '--task', 'rating', '--target', 'stars'
    assert message in mistake('train', *files, *columns[:4], *stars)
    assert capsys.readouterr().out == ''


recipe = '''
data = {data}
valid = {valid}
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
v_reg = 1e-3'''


def test_a_recipe_is_the_options_and_the_run_that_left_it(parts, tmp_path):
    options, mine = tmp_path/'options', tmp_path/'mine.toml'
    steps = '--learning-rate', .02, '--decay', .5, '--decay-after', 1
    settings = '--epochs', 3, '--set', 'k=4', 'v_reg=1e-3'
    train(parts, '--target', 'label', *steps, *settings, '--out', options)
    data, valid = parts/'train.csv', parts/'valid.csv'
    names = dict(data=json.dumps(str(data)), valid=json.dumps(str(valid)))
    mine.write_text(recipe.format(**names))
    runs = {mine: ('--epochs', 3, '--set', 'k=4'),
            options/'recipe.toml': ('--data', data, '--valid', valid)}
    for file, words in runs.items():
        out = tmp_path/'recipe'
        said('train', '--config', file, *words, '--out', out)
        for a, b in zip(weights(options), weights(out), strict=True):
            np.testing.assert_array_equal(a, b)
        assert read(out, 'settings.json') == read(options, 'settings.json')


def test_a_parquet_file_of_text_is_what_a_csv_is(tmp_path):
    names = 'user', 'film'
    data = planted(n=2_000, sizes=(60, 40), strength=2., rank=2, names=names)
    data.frame.to_csv(tmp_path/'views.csv', index=False)
    texts = data.frame.astype(dict.fromkeys(names, str))
    texts.to_parquet(tmp_path/'views.parquet')
    words = '--target', 'label', *columns[:4], '--model', 'FM', '--epochs', 2
    for kind in ('csv', 'parquet'):
        table, out = tmp_path/f'views.{kind}', tmp_path/kind
        done = recofm('train', '--data', table, '--out', out, *words)
        assert done.returncode == 0, done.stderr
    both = [read(tmp_path/kind, 'metrics.json') for kind in ('csv', 'parquet')]
    assert both[0]['test'] == both[1]['test']


def test_an_unwritable_folder_is_refused_before_any_work(tmp_path):
    Path(tmp_path, 'file').touch()
    out = tmp_path/'file'/'run'
    done = recofm('train', '--data', 'ml-100k', '--out', out)
    assert done.returncode == 1 and done.stdout == ''
    assert 'folder that can be written' in done.stderr
    assert os.listdir(tmp_path) == ['file']
