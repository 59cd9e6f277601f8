"The main job as a user does it: the two commands of `make run`."
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recofm.cli import main, parser
from recofm.cli.ends import Signals, Terminated
from recofm.cli.train import all_settled, checked, overridden
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


def once_for_all(folder, make):
    "Make a folder in the first process of the tests that wants it."
    try: folder.mkdir()
    except FileExistsError:
        until = time.monotonic() + 300
        while not (folder/'done').exists() and time.monotonic() < until:
            time.sleep(.2)
    else:
        make()
        (folder/'done').touch()


@pytest.fixture(scope='module')
def trained(movielens, tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    if 'PYTEST_XDIST_WORKER' in os.environ: base = base.parent
    place = base/'ml-100k'

    def make():
        words = '--data', 'ml-100k', '--model', 'DeepFM', '--out', place/'run'
        done = recofm('train', *words)
        told = done.returncode, done.stdout, done.stderr
        (place/'told.json').write_text(json.dumps(told))
    once_for_all(place, make)
    status, *printed = read(place, 'told.json')
    assert status == 0, printed
    return place/'run', *printed


def test_the_run_reaches_its_figure(trained):
    out, printed, errors = trained
    metrics = read(out, 'metrics.json')
    test = metrics['test']
    assert test['auc'] >= .785 and set(test) == {'auc', 'logloss', 'accuracy'}
    simple = {n: m['test']['auc'] for n, m in metrics['baselines'].items()}
    assert test['auc'] > simple['logistic regression'] > simple['item mean']
    assert errors == '' and 'epoch   1' in printed
    assert 'logistic regression' in printed


def test_the_folder_holds_the_report(trained):
    out, *_ = trained
    assert (out/'curves.png').read_bytes().startswith(b'\x89PNG')
    settings = read(out, 'settings.json')
    assert settings['model'] == 'DeepFM' and settings['seed'] == 42
    assert 'tensorflow' in settings['versions']
    history = pd.read_csv(out/'history.csv')
    waited = history.val_auc.idxmax() + settings['patience'] + 1
    assert len(history) in (waited, settings['epochs'])


def test_films_are_recommended_that_the_user_has_not_rated(trained, movielens):
    lines = said('recommend', trained[0], '--user', 42, '-k', 10).splitlines()
    assert len(lines) == 1 + 10
    rated = movielens[movielens.user_id == 42]
    films = {f'{t} ({y})' for t, y in zip(rated.title, rated.year)}
    assert not any(film in line for film in films for line in lines)
    # sensible: films that those who rated them liked above the average
    best = [int(line.split()[1]) for line in lines[1:]]
    liked = (movielens.rating > 3).groupby(movielens.movie_id).mean()
    assert liked[best].mean() > liked.mean() + .2


def test_an_unknown_user_is_named(trained):
    found = mistake('recommend', trained[0], '--user', 'Anna')
    assert found.startswith('recofm: Expected the key of a known user')
    assert "Received 'Anna'" in found


@pytest.mark.parametrize('words, message', [
    ('--data ml-10k', "Did you mean 'ml-100k'?"),
    ('--data ml-100k --model DeepMF', "Did you mean 'DeepFM'?"),
    ('--data ml-100k --set hiden_units=[8]', "Did you mean 'hidden_units'?"),
    ('--data ml-100k --set hidden_units=64', 'Received hidden_units=64'),
    ('--data ml-100k --set embed_reg="a"', "Received embed_reg='a'"),
    ('--data ml-100k --set output_activation=null', 'Received None'),
    ('--data ml-100k --epochs 0',
     '--epochs must be a whole number of at least 1. Received: 0'),
    ('--data ml-100k --learning-rate nan', 'Received nan'),
    ('--data ml-100k --numeric age', 'Expected --user and --item too'),
    ('--data mine.csv --user a --item b --bucket a', "Received 'a'"),
])
def test_a_mistake_is_one_line_and_writes_nothing(words, message, tmp_path,
                                                  capsys):
    assert message in mistake('train', *words.split(), '--out', tmp_path/'out')
    assert capsys.readouterr() == ('', '') and os.listdir(tmp_path) == []


def test_a_mistake_ends_a_process_with_one_line_and_1(tmp_path):
    words = '--data', 'ml-100k', '--set', 'hidden_units=64'
    done = recofm('train', *words, '--out', tmp_path/'out')
    assert done.returncode == 1 and done.stdout == ''
    assert 'Received hidden_units=64' in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('words, message', [
    ('--data ml-100k --task ratings', "Did you mean 'rating'?"),
    ('--data ml-100k --task rating --above 3',
     'Expected no --above with --task rating'),
    ('--data ml-100k --decay 1',
     'Expected a --decay above 0 and below 1. Received 1.0'),
    ('--data ml-100k --decay-after 0',
     '--decay-after must be a whole number of at least 1. Received: 0'),
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
     "recipe.toml: expected epochs to be a whole number. Received 'many'"),
    ('user = ["a", 1]',
     "recipe.toml: expected user to be a list of strings. Received ['a', 1]"),
    ('data = "ml-100k"\n[set]\nhiden_units = [8]',
     "Did you mean 'hidden_units'?"),
    ('data = "ml-100k"\n[set]\nhiden_units = [8]',
     'recipe.toml: Expected an argument of DeepFM among'),
    ('data = "ml-100k"\nmodel = "DepFM"', 'recipe.toml: Expected a model'),
    ('data = "ml-10k"', 'recipe.toml: Expected one of ml-100k, ml-1m'),
    ('data = "ml-100k"\nepochs = 0', 'recipe.toml: A run: epochs must be a'),
    ('data = "ml-100k"\nlearning_rate = -1',
     'Expected a learning-rate above 0 that is finite in float32. Received -'),
    ('data = "ml-100k"\nmin-count = 0',
     "recipe.toml: Column 'user_id': min-count must be"),
    ('resume = true', 'recipe.toml: expected no resume, which is said on the'),
    ('record = 7', 'recipe.toml: [record]: expected a table. Received 7'),
    ('[record]\nspilt = ""', "[record]: expected keys among split, machine"),
    ('[record.data]\nsha256 = "a"',
     'recipe.toml: [record.data] sha256: expected 64 hexadecimal digits'),
    ('[record.rows]\ntrain = -1',
     'recipe.toml: [record.rows] train: expected a count of rows'),
    ('[record.versions]\nkeras = 3',
     'recipe.toml: [record.versions] keras: expected a short text'),
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
     "valid.csv: expected finite numbers"),
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


@contextmanager
def changed(file, content):
    "A file holds something else for a while, and was written at the same time."
    before, when = file.read_bytes(), os.stat(file)
    file.write_bytes(content)
    try: yield
    finally:
        file.write_bytes(before)
        os.utime(file, ns=(when.st_atime_ns, when.st_mtime_ns))


short = '--target', 'label', '--epochs', 2


def test_a_recipe_by_itself_gives_the_same_metrics(parts, tmp_path, capsys):
    "It is not split again, and the columns and the seed are the same."
    first, again = tmp_path/'first', tmp_path/'again'
    train(parts, *short, '--test', parts/'test.csv', '--out', first)
    said('train', '--config', first/'recipe.toml', '--out', again)
    assert capsys.readouterr().err == ''
    both = [read(folder, 'metrics.json') for folder in (first, again)]
    for metrics in both: del metrics['seconds']
    assert both[0] == both[1]
    assert read(again, 'settings.json') == read(first, 'settings.json')
    text = (first/'recipe.toml').read_text()
    assert (again/'recipe.toml').read_text() == text
    for name in ('train.csv', 'valid.csv.gz', 'test.csv'):
        assert f'= "{parts/name}"' in text
    assert 'split = "as given"' in text and 'train = 2400' in text


@pytest.fixture
def untrained(monkeypatch):
    "A run does no more than write what the command gives it for its folder."
    def run(rows, settings, out, report, resume, keep_every=None):
        Path(out).mkdir()
        for name, content in report.items():
            Path(out, name).write_bytes(content)
    monkeypatch.setattr('recofm.runs.run.run', run)


def replayed(capsys, recipe, out, *words):
    "What a run of a recipe says of differences, a line each."
    capsys.readouterr()
    main([*map(str, ('train', '--config', recipe, '--out', out, *words))])
    return capsys.readouterr().err.splitlines()


def test_a_replay_says_what_differs(parts, tmp_path, capsys, untrained):
    train(parts, *short, '--out', tmp_path/'first')
    recipe, data = tmp_path/'first/recipe.toml', parts/'train.csv'
    fewer = b'\n'.join(data.read_bytes().splitlines()[:-3]) + b'\n'
    with changed(data, fewer):
        told = replayed(capsys, recipe, tmp_path/'fewer')
    assert [line.split()[1] for line in told] == ['data:', 'rows:']
    assert all(line.endswith(f'in the run of {recipe}') for line in told)
    assert 'train 2,397' in told[1] and 'train 2,400' in told[1]
    more = '--epochs', 1, '--set', 'k=4', '--valid', parts/'test.csv'
    told = replayed(capsys, recipe, tmp_path/'other', *more)
    assert [line.split()[1] for line in told] == ['epochs:', 'k:', 'valid:']
    copy = tmp_path/'copy.csv'                  # another name, the same rows
    copy.write_bytes(data.read_bytes())
    older = recipe.read_text().replace('keras = "', 'keras = "0')
    (tmp_path/'older.toml').write_text(older)
    told = replayed(capsys, tmp_path/'older.toml', tmp_path/'copied',
                    '--data', copy)
    assert [line.split(': ')[1] for line in told] == ['version of keras']


def test_a_file_that_a_recipe_names_may_have_moved(
        parts, tmp_path, capsys, untrained):
    data, first = tmp_path/'views.csv', tmp_path/'first'
    data.write_bytes((parts/'train.csv').read_bytes())
    said('train', '--data', data, *columns, *short, '--out', first)
    moved, recipe = data.rename(tmp_path/'moved.csv'), first/'recipe.toml'
    error = mistake('train', '--config', recipe, '--out', tmp_path/'again')
    assert f'{recipe}: expected data to be a file. Received {str(data)!r}, ' \
           'which is not there; --data can say where it lies now' in error
    again = recipe, tmp_path/'again', '--data', moved
    assert replayed(capsys, *again) == []


def test_a_parquet_file_is_known_by_footer_size_and_time(
        parts, tmp_path, capsys, untrained):
    data, first = tmp_path/'views.parquet', tmp_path/'first'
    pd.read_csv(parts/'train.csv').to_parquet(data)
    said('train', '--data', data, *columns, *short, '--out', first)
    recipe, when = first/'recipe.toml', os.stat(data)
    assert replayed(capsys, recipe, tmp_path/'again') == []
    os.utime(data, ns=(when.st_atime_ns, when.st_mtime_ns + 10**9))
    told, = replayed(capsys, recipe, tmp_path/'later')
    assert told.startswith('recofm: data: footer ')


def test_an_old_recipe_still_runs(parts, tmp_path, capsys, untrained):
    "Written by hand or by a recofm before, it knows of no files."
    old = tmp_path/'old.toml'
    old.write_text(recipe.replace('data = {data}\nvalid = {valid}', ''))
    words = '--data', parts/'train.csv', '--epochs', 1
    assert replayed(capsys, old, tmp_path/'out', *words) == []


values = ('1', '-1', '"x"', '[1]', '["a", "a"]', '{a = 1}', 'true', 'nan', '""',
          '1e400', '[]', '{}', '[[1]]', '1979-05-27', '{"" = -1}', '"/tmp"')


def spoilt(lines, draw):
    "The lines of a recipe after somebody's slip of the hand."
    n = draw.randrange(len(lines))
    key, sign, _ = lines[n].partition('=')
    other = [f'{key}= {draw.choice(values)}'] if sign else [f'[{lines[n]}']
    cut = lines[n][:draw.randrange(1 + len(lines[n]))]
    slip = draw.choice([other, [], [cut], [lines[n], '[record.rows]'],
                        ['[' * 3_000], [cut + chr(draw.randrange(300))]])
    return [*lines[:n], *slip, *lines[n + 1:]] or ['']


def test_a_spoilt_recipe_is_one_line_or_a_recipe(parts, tmp_path, untrained):
    train(parts, *short, '--out', tmp_path/'first')
    lines = (tmp_path/'first/recipe.toml').read_text().splitlines()
    file, draw, refused = tmp_path/'spoilt.toml', random.Random(7), 0
    for _ in range(200):
        text = '\n'.join(spoilt(spoilt(lines, draw), draw))
        file.write_text(text, encoding='utf-8')
        words = parser().parse_args(['train', '--config', str(file),
                                     '--out', str(tmp_path/'out')])
        try: overridden(found := all_settled(words), checked(found))
        except (ValueError, OSError) as e:
            refused += 1
            assert len(str(e).splitlines()) == 1, text
    assert 100 < refused < 200


def test_a_data_set_is_known_by_its_content(movielens, tmp_path):
    from recofm.cli.records import content_of
    before = content_of(movielens)
    assert content_of(movielens.copy()) == before
    other = movielens.copy()
    other.loc[0, 'rating'] = other.loc[0, 'rating'] % 5 + 1
    assert content_of(other) != before


def test_a_parquet_file_of_text_is_what_a_csv_is(tmp_path):
    names = 'user', 'film'
    data = planted(n=2_000, sizes=(60, 40), strength=2., rank=2, names=names)
    data.frame.to_csv(tmp_path/'views.csv', index=False)
    texts = data.frame.astype(dict.fromkeys(names, str))
    texts.to_parquet(tmp_path/'views.parquet')
    words = '--target', 'label', *columns[:4], '--model', 'FM', '--epochs', 2
    for kind in ('csv', 'parquet'):
        table, out = tmp_path/f'views.{kind}', tmp_path/kind
        said('train', '--data', table, '--out', out, *words)
    both = [read(tmp_path/kind, 'metrics.json') for kind in ('csv', 'parquet')]
    assert both[0]['test'] == both[1]['test']


def test_an_unwritable_folder_is_refused_before_any_work(tmp_path):
    Path(tmp_path, 'file').touch()
    out = tmp_path/'file'/'run'
    done = recofm('train', '--data', 'ml-100k', '--out', out)
    assert done.returncode == 1 and done.stdout == ''
    assert 'folder that can be written' in done.stderr
    assert os.listdir(tmp_path) == ['file']


slips = {
    '--item fil': "lacks 'fil' (did you mean 'film'?)",
    '--item film --model DepFM': "Did you mean 'DeepFM'?",
    '--item film --set hiden_units=[8]': "Did you mean 'hidden_units'?",
    '--item film --learning-rate 0': 'a --learning-rate above 0 that is fini',
    '--item film --bucket film': 'Expected --bucket name=value',
    '--item film --test train.csv': 'Expected --valid too',
    '--config slip.toml': "Received 'lerning-rate' (did you mean 'learning-",
    '--config nowhere.toml': "No such file or directory: 'nowhere.toml'",
    '--item film --out train.csv/run': 'folder that can be written',
    '--item film --out .': 'Expected a new folder, an empty one or that of'}
slow_to_import = {'tensorflow', 'keras', 'pandas', 'sklearn', 'matplotlib'}
then_loaded = f"""
import sys
from recofm.cli import main
try: main()
except SystemExit as e: print(e.code, file=sys.stderr)
print(sorted({slow_to_import} & set(sys.modules)))"""


@pytest.mark.parametrize('words', slips)
def test_a_slip_is_found_before_anything_slow_is_imported(
        words, parts, tmp_path):
    (tmp_path/'train.csv').write_bytes((parts/'train.csv').read_bytes())
    (tmp_path/'slip.toml').write_text('lerning-rate = 1')
    given = '--data train.csv --target label --user user --out run'
    command = [sys.executable, '-c', then_loaded, 'train', *given.split()]
    done = subprocess.run([*command, *words.split()], capture_output=True,
                          text=True, cwd=tmp_path)
    assert slips[words] in done.stderr and done.stdout == '[]\n'
    assert len(done.stderr.splitlines()) == 1
    assert sorted(os.listdir(tmp_path)) == ['slip.toml', 'train.csv']


@pytest.mark.parametrize('words, message', [
    ('nowhere --user 7', 'Expected an artifact in'),
    ('nowhere --user 7 -k 0', '-k must be a whole number of at least 1.'),
    ('nowhere --user 7 --context 20', "name=value, such as hour=20. Received")])
def test_a_slip_in_a_question_is_found_as_soon(words, message):
    command = [sys.executable, '-c', then_loaded, 'recommend', *words.split()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert message in done.stderr and done.stdout == '[]\n'


def test_the_status_of_a_wrong_option_is_that_of_argparse():
    with pytest.raises(SystemExit) as e: main(['train', '--lerning-rate', '1'])
    assert e.value.code == 2


def failing(monkeypatch, error):
    "Make `recofm recommend` fail, once it is under way."
    def recommend(args): raise error
    recommend.__doc__ = 'Fail.'
    monkeypatch.setattr('recofm.cli.recommend.recommend', recommend)
    return 'recommend', 'runs/none', '--user', '7'


class ResourceExhaustedError(Exception): "As TensorFlow names it."


@pytest.mark.parametrize('error, message', [
    (ValueError('Expected a\n  b= here. Received c'), 'Expected a b= here'),
    (FileNotFoundError(2, 'No such file', 'a.csv'), "No such file: 'a.csv'"),
    (ConnectionError('Expected one of\n  a\n  b'), 'Expected one of a b'),
    (MemoryError('Unable to allocate 9 GiB'), 'Expected enough memory for the'),
    (ValueError('Received \x1b[1mResourceExhaustedError'),
     'Received: a ResourceExhaustedError'),
    (ResourceExhaustedError('OOM when\nallocating'), 'Received: OOM when all'),
    (ModuleNotFoundError("No module named 'tf2onnx'", name='tf2onnx'),
     "Expected the package 'tf2onnx'"),
])
def test_an_error_of_the_callers_is_one_line(error, message, monkeypatch):
    assert message in mistake(*failing(monkeypatch, error))


def test_an_error_of_ours_is_two_lines(monkeypatch, capsys):
    words = failing(monkeypatch, KeyError('k'))
    with pytest.raises(SystemExit) as e: main([*words])
    first, second = e.value.code.splitlines()
    assert first == "recofm: KeyError: 'k'"
    assert 'run again with RECOFM_TRACEBACK=1 to see all of it' in second
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize('error', [KeyError('k'), ValueError('v'),
                                   KeyboardInterrupt('Stopped')])
def test_a_traceback_is_there_for_the_asking(error, monkeypatch, capsys):
    monkeypatch.setenv('RECOFM_TRACEBACK', '1')
    with pytest.raises(SystemExit): main([*failing(monkeypatch, error)])
    said_so = capsys.readouterr().err
    assert 'Traceback (most recent call last)' in said_so
    assert type(error).__name__ in said_so


def test_a_warning_is_one_line(monkeypatch, capsys):
    def recommend(args): warnings.warn('numeric= is\n odd')
    recommend.__doc__ = 'Warn.'
    monkeypatch.setattr('recofm.cli.recommend.recommend', recommend)
    main(['recommend', 'runs/none', '--user', '7'])
    assert capsys.readouterr().err == 'recofm: --numeric is odd\n'


@pytest.mark.parametrize('number', [
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_handlers_are_given_back(number, monkeypatch, capsys):
    before = signal.getsignal(number), sys.unraisablehook, sys.stdout
    def recommend(args): signal.raise_signal(number)
    recommend.__doc__ = 'End.'
    monkeypatch.setattr('recofm.cli.recommend.recommend', recommend)
    with pytest.raises(SystemExit) as e:
        main(['recommend', 'runs/none', '--user', '7'])
    assert e.value.code == 128 + number
    assert len(capsys.readouterr().err.splitlines()) == 1
    now = signal.getsignal(number), sys.unraisablehook, sys.stdout
    assert now == before


def test_an_interrupt_that_python_drops_comes_again():
    "As in the callback by which an import gives its lock back."
    class Finalized:
        def __del__(self): os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Terminated), Signals():
        Finalized()
        time.sleep(5)


@pytest.mark.parametrize('kind', [ImportError, RuntimeError, AttributeError])
def test_an_error_made_out_of_an_interrupt_is_one_line(kind, monkeypatch,
                                                       capsys):
    "As modules in C make one, and TensorFlow while it traces."
    def recommend(args):
        try: signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt: raise kind('initialization failed')
    recommend.__doc__ = 'End.'
    monkeypatch.setattr('recofm.cli.recommend.recommend', recommend)
    with pytest.raises(SystemExit) as e:
        main(['recommend', 'runs/none', '--user', '7'])
    assert e.value.code == 143
    assert capsys.readouterr().err == 'recofm: Ended by SIGTERM\n'


def test_an_error_with_a_message_is_said_after_an_interrupt(monkeypatch):
    def recommend(args):
        try: signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt: raise ValueError('Expected more room')
    recommend.__doc__ = 'End.'
    monkeypatch.setattr('recofm.cli.recommend.recommend', recommend)
    assert 'Expected more room' in mistake('recommend', 'x', '--user', '7')


@pytest.mark.slow
def test_a_signal_when_all_is_done_changes_nothing(parts, tmp_path):
    "TensorFlow takes a second to go."
    with Running(parts, tmp_path/'out', '--epochs', 1) as run:
        run.wait_for('Saved in ')
        time.sleep(.2)
        status, errors = run.end(signal.SIGTERM)
    assert (status, errors) == (0, '')


def test_what_is_ignored_stays_ignored():
    "So does `nohup` in a shell, and every job in the background of one."
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Signals(): signal.raise_signal(signal.SIGINT)
    finally: signal.signal(signal.SIGINT, former)


class Full(StringIO):
    "Standard output on a disk that is full."
    def write(self, text): raise OSError(28, 'No space left on device')


def test_a_full_disk_behind_the_output_loses_no_model(parts, tmp_path):
    words = 'train', '--data', parts/'train.csv', *columns, '--model', 'FM'
    with redirect_stdout(Full()), pytest.raises(SystemExit) as e:
        main([*map(str, (*words, *short, '--out', tmp_path/'run'))])
    assert e.value.code == ('recofm: Expected an output that can be written. '
                            'Received: No space left on device')
    assert 'valid' in read(tmp_path/'run', 'metrics.json')


class Running:
    "A run in a process of its own, which is ended in any case."
    def __init__(self, parts, out, *words, before=''):
        code = f'{before}\nfrom recofm.cli import main; main()'
        files = '--data', parts/'train.csv', '--valid', parts/'valid.csv.gz'
        more = '--model', 'FM', '--target', 'label', '--out', out
        words = 'train', *files, *columns, *more, '--patience', 99, *words
        command = [sys.executable, '-u', '-c', code, *map(str, words)]
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.process = subprocess.Popen(command, **pipes)

    def __enter__(self): return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def wait_for(self, words):
        "Read the output as far as a line that begins with the words."
        for line in self.process.stdout:
            if line.startswith(words): return

    def end(self, *signals):
        "Send signals, a second apart; the status and the errors."
        for n, number in enumerate(signals):
            if n: time.sleep(1)
            self.process.send_signal(number)
        self.printed, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.mark.parametrize('number, status', [
    (signal.SIGINT, 130),
    pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
    pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow)])
def test_a_run_that_was_asked_to_end_saves_and_goes_on(
        number, status, parts, tmp_path):
    "Gone on with, it is the run that was not ended, bit for bit."
    whole, out = tmp_path/'whole', tmp_path/'out'
    words = '--target', 'label', '--patience', 99, '--epochs', 30
    train(parts, *words, '--out', whole)
    with Running(parts, out, '--epochs', 30) as run:
        run.wait_for('epoch   3')
        found, errors = run.end(number)
    assert found == status and len(errors.splitlines()) == 1
    assert errors.startswith('recofm: Stopped in epoch ')
    assert '--resume' in errors and str(out) in errors
    assert {'model.keras', 'metrics.json', 'recipe.toml'} <= {*os.listdir(out)}
    printed = train(parts, *words, '--resume', '--out', out)
    assert 'Going on after epoch' in printed
    for a, b in zip(weights(whole), weights(out), strict=True):
        np.testing.assert_array_equal(a, b)
    both = [read(folder, 'metrics.json') for folder in (whole, out)]
    for metrics in both: del metrics['seconds']
    assert both[0] == both[1]


def test_without_a_state_resuming_begins(parts, tmp_path):
    "So that the same command can be given again and again."
    printed = train(parts, *short, '--resume', '--out', tmp_path/'new')
    assert 'a new start' in printed


no_end = """
import time
from recofm.cli.ends import quiet
with quiet(): import recofm.runs.run
def reported(*_): time.sleep(60)
recofm.runs.run.reported = reported"""


def test_a_second_signal_ends_at_once_and_leaves_the_state(parts, tmp_path):
    "Here while the report of the first one's end is being made."
    with Running(parts, tmp_path/'out', before=no_end) as run:
        run.wait_for('epoch   2')
        status, errors = run.end(signal.SIGINT, signal.SIGINT)
    assert status == 130 and len(errors.strip().splitlines()) == 1
    assert 'recofm: Ended at once; with --resume' in errors
    assert (tmp_path/'.out.recofm'/'state.npz').exists()


begun = 'import recofm.cli.commands; print("begun")'    # Python itself is up


@pytest.mark.parametrize('seconds, number', [
    (.1, signal.SIGTERM), (1.5, signal.SIGINT),
    pytest.param(.4, signal.SIGINT, marks=pytest.mark.slow),
    pytest.param(2.5, signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_end_while_modules_are_imported_is_one_line(
        seconds, number, parts, tmp_path):
    with Running(parts, tmp_path/'out', before=begun) as run:
        run.wait_for('begun')
        time.sleep(seconds)
        status, errors = run.end(number)
    assert status == 128 + number and len(errors.splitlines()) == 1
    assert errors.startswith('recofm: Ended ') and not run.printed
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(20))
def test_an_end_at_any_moment_is_one_line(seed, parts, tmp_path):
    draw = random.Random(seed)
    number = draw.choice([signal.SIGINT, signal.SIGTERM])
    with Running(parts, tmp_path/'out', '--epochs', 60, before=begun) as run:
        run.wait_for('begun')
        time.sleep(draw.uniform(.05, 14))
        status, errors = run.end(number)
    if status == 0: return                      # it was done before
    assert status == 128 + number and len(errors.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_error(parts, tmp_path):
    "As `recofm recommend ... | head -1`."
    train(parts, *short, '--out', tmp_path/'run')
    code = 'from recofm.cli import main; main()'
    words = 'recommend', tmp_path/'run', '--user', 7
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([sys.executable, '-c', code, *map(str, words)],
                              stdout=writing, stderr=subprocess.PIPE, text=True)
    finally: os.close(writing)
    assert done.returncode == 0 and done.stderr == ''
