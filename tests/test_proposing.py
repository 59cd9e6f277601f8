"`recofm infer`: what it proposes is what `recofm train` takes."
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from test_run import mistake, said

from recofm.cli.options import recipe


@pytest.fixture
def here(tmp_path, monkeypatch):
    rng, n = np.random.default_rng(0), 1200
    views = pd.DataFrame({
        'user_id': rng.integers(0, 60, n), 'film_id': rng.integers(0, 40, n),
        'price': rng.lognormal(2, 1.5, n).round(2),
        'last, first': rng.choice(['Orson Welles', 'Agnes Varda'], n),
        'genres': rng.choice(['Drama', 'Comedy|Drama', 'Crime'], n),
        'session': [f's{i:05}' for i in range(n)]})
    views['liked'] = (views.user_id + views.film_id) % 2
    views['stars'] = rng.integers(1, 6, n)
    views.drop(columns='stars').to_csv(tmp_path/'views.csv', index=False)
    views.drop(columns='liked').to_parquet(tmp_path/'stars.parquet')
    semicolons = views.assign(genres=views.genres.str.replace('|', ';'))
    semicolons.to_csv(tmp_path/'semi.csv', index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


sides = '--user', 'user_id', '--item', 'film_id'
quick = '--model', 'FM', '--epochs', 1


def test_the_command_that_is_printed_trains(here):
    shown = said('infer', '--data', 'views.csv', '--target', 'liked', *sides)
    command = shlex.split(shown.splitlines()[-1])
    assert command[:2] == ['recofm', 'train'] and 'session' in shown
    assert '--task' in command and command[command.index('--task') + 1] \
        == 'click'
    trained = said(*command[1:], *quick)
    for name in ('user_id', 'film_id', 'price', 'last, first', 'genres'):
        assert f'\n{name} ' in trained, trained
    assert '\nsession ' not in trained


@pytest.mark.slow
def test_the_recipe_that_is_written_trains(here):
    words = '--data', 'stars.parquet', '--target', 'stars', *sides
    shown = said('infer', *words, '--out', 'stars.toml')
    command = shlex.split(shown.splitlines()[-1])
    found = recipe('stars.toml')
    assert (found['task'], found['user'][0]) == ('rating', 'user_id')
    assert found['data'] == str(here/'stars.parquet')
    said(*command[1:], *quick)
    again = said('infer', '--data', 'views.csv', '--target', 'liked', *sides,
                 '--out', 'views.toml')
    assert 'recofm train --config views.toml' in again
    assert 'last, first' in str(recipe('views.toml')['context']
                                + recipe('views.toml')['item']
                                + recipe('views.toml')['user'])


def test_what_no_command_can_say_is_a_recipe(here):
    shown = said('infer', '--data', 'semi.csv', '--target', 'liked', *sides)
    lines = shown.partition('# a recipe')[2].splitlines()[1:]
    if not lines: pytest.skip('a command can say it')
    (here/'semi.toml').write_text('\n'.join(lines))
    assert 'separator' in recipe('semi.toml')


def test_slips_are_one_line(here):
    ask = 'infer', '--data', 'views.csv'
    assert "lacks 'like' (did you mean 'liked'?)" in mistake(
        *ask, '--target', 'like', *sides)
    assert "'genres'" in mistake(*ask, '--target', 'genres', *sides)
    assert 'Expected --item too' in mistake(*ask, '--user', 'user_id')
    assert "lacks 'usr'" in mistake(*ask, '--target', 'liked', '--user',
                                    'usr', '--item', 'film_id')
    assert 'nowhere.csv' in mistake('infer', '--data', 'nowhere.csv')
    shown = said(*ask)
    assert 'Add --target' in shown


def test_it_needs_no_tensorflow(here):
    code = ("import sys; from recofm.cli import main; main(sys.argv[1:])\n"
            "print('tensorflow' in sys.modules)")
    words = ['infer', '--data', 'views.csv', '--target', 'liked', *sides]
    done = subprocess.run([sys.executable, '-c', code, *words],
                          capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == 'False', done.stderr
