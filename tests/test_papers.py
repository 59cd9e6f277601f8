"""The published tables: what is written down is well formed and agrees with
itself, and a run goes on where it was. One model is trained, on made-up rows.
"""
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recofm.cli import parser
from recofm.cli.train import all_settled, settings_of
from recofm.runs.run import check_all, model_class
from recofm.runs.settings import check_numbers

root = Path(__file__).parents[1]
folder = root/'papers'
recipes = sorted((root/'recipes').rglob('*.toml'))
columns = {'task', 'model', 'source', 'auc', 'auc_spread', 'logloss',
           'logloss_spread', 'rmse', 'parameters', 'epochs', 'epoch_seconds'}


def name_of(recipe): return str(recipe.relative_to(root))


def texts(recipes, root):
    "Recipes by their place below a folder."
    return {recipe.relative_to(root): recipe.read_text() for recipe in recipes}


@pytest.fixture(scope='module', autouse=True)
def papers_importable():
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in ('run', 'tasks', 'searches', 'pages'):
        sys.modules.pop(name, None)


def test_published_figures_are_well_formed():
    from tasks import tasks
    published = json.loads((folder/'published.json').read_text())
    figures, sources = published['figures'], published['sources']
    places = [(f['task'], f['model'], f['source']) for f in figures]
    assert len(set(places)) == len(places)
    assert {f['source'] for f in figures} == set(sources)
    for source in sources.values():
        assert set(source) == {'url', 'protocol'}
        assert source['url'].startswith('https://') or not source['url']
    for f in figures:
        assert set(f) <= columns and f['task'] in tasks
        assert 0 < f[tasks[f['task']].metric] < 1.2


def key_of(line):
    return [line[k] for k in ('task', 'model', 'options', 'seed')]


def test_results_are_of_the_searches():
    from run import results
    from searches import searches
    from tasks import tasks
    lines = results()
    for line in lines:
        name, model, options, seed = key_of(line)
        assert options in searches[name][model], (
            'Expected settings of searches.py (python papers/run.py --prune '
            f'drops others). Received {name}, {model}: {options}')
        assert seed in tasks[name].seeds
        costs = [line[k] for k in ('seconds', 'epochs', 'parameters')]
        assert min(costs) > 0
        for part in (tasks[name].quoted, 'valid'):
            assert np.isfinite(line[part][tasks[name].metric])
    keys = [json.dumps(key_of(line), sort_keys=True) for line in lines]
    assert len(set(keys)) == len(keys)


def test_recipes_are_the_settings_that_were_best(tmp_path, monkeypatch):
    import run
    monkeypatch.setattr(run, 'recipes', tmp_path/'recipes')
    run.write_recipes()
    written = (tmp_path/'recipes').rglob('*.toml')
    assert texts(recipes, root) == texts(written, tmp_path)


def settings_in(recipe, tmp_path):
    "As `recofm train --config` has them before it reads data."
    data = ['--data', 'train.csv.gz', '--valid', 'valid.csv.gz']
    for name in ('ml-100k', 'ml-1m'):
        if recipe.parent.name.startswith(name):
            data = ['--data', name]
    command = ['train', '--config', str(recipe), *data]
    command += ['--out', str(tmp_path/'out')]
    return settings_of(all_settled(parser().parse_args(command)))


@pytest.mark.parametrize('recipe', recipes, ids=name_of)
def test_a_recipe_is_what_was_run(recipe, tmp_path):
    from run import chosen, file_of
    from searches import classes, searches
    from tasks import tasks
    name = recipe.parent.name
    model = next(m for m in searches[name] if file_of(name, m) == recipe)
    best, settings = chosen(name, model), settings_in(recipe, tmp_path)
    dim = dict(dim=best['options']['dim'])
    options = {k: v for k, v in best['options'].items() if k != 'dim'}
    assert {k: getattr(settings, k) for k in options} == options
    assert settings.model == classes.get(model, model)
    assert (settings.seed, settings.task) == (best['seed'], tasks[name].task)
    used = {k: v for k, v in settings.columns.items() if v}
    assert used == tasks[name].columns | dim
    check_numbers(settings)
    model_class(settings)


@pytest.mark.parametrize('name', ['deepfm', 'finalmlp', 'fm'])
def test_the_command_takes_a_recipe(name, tmp_path):
    recipe = root/'recipes'/'frappe'/f'{name}.toml'
    check_all(settings_in(recipe, tmp_path), tmp_path/'out')


def test_model_pages_show_the_results():
    from pages import changes
    changed = [file.name for file in changes()]
    assert not changed, 'make papers, or python papers/pages.py, fills them'


def test_filling_a_page_touches_its_table_only_and_once(tmp_path):
    from pages import added, changes, page_text, rows
    for page in rows:
        shutil.copy(root/'nbs'/'models'/f'{page}.ipynb', tmp_path)
    first = {file: file.read_text() for file in tmp_path.iterdir()}
    for file, text in changes(tmp_path).items():
        file.write_text(text)
    assert changes(tmp_path) == {}
    for file, text in first.items():
        was, now = text.splitlines(), file.read_text().splitlines()
        new, more = [line for line in now if line not in was], added[file.stem]
        assert len(now) - len(was) <= len(more)
        assert len(new) <= len(rows[file.stem]) + len(more) + 1
        for line in map(str.lstrip, new):
            assert line.startswith('"| ') or 'The column *here*' in line
    page = tmp_path/'20_fm.ipynb'
    page.write_text('{}')
    with pytest.raises(ValueError, match='as nbdev_clean leaves it'):
        page_text(page)


@pytest.fixture
def frappe(tmp_path, monkeypatch):
    "A folder with parts like Frappe's, a small search, and no results."
    import run, searches, tasks
    rng, n = np.random.default_rng(0), 1_500
    names = ['user', 'item', 'daytime', 'weekday', 'isweekend', 'homework',
             'cost', 'weather', 'country', 'city']
    ids = {name: 10 * i + rng.integers(0, 8, n) for i, name in enumerate(names)}
    table = pd.DataFrame(ids)
    score = rng.normal(size=n) + table.user % 2 + table.item % 2
    table.insert(0, 'label', (score > 1).astype(int))
    (tmp_path/'frappe').mkdir()
    for part, rows in dict(train=table[:1000], valid=table[1000:]).items():
        rows.to_csv(tmp_path/'frappe'/f'{part}.csv.gz', index=False)
    options = searches.options(2, 256, .05, .3, 1, 1, epochs=2)
    lr = searches.search(options, lambda w: dict(w_reg=w), [(0., 1e-3)])
    monkeypatch.setattr(tasks.tasks['frappe'], 'seeds', (42, 43))
    monkeypatch.setitem(searches.searches, 'frappe', {'LR': lr})
    monkeypatch.setenv('RECOFM_DATA', str(tmp_path))
    monkeypatch.setattr(run, 'kept', tmp_path/'results.jsonl')
    monkeypatch.setattr(run, 'recipes', tmp_path/'recipes')
    return tmp_path


def test_a_run_goes_on_where_it_was(frappe, capsys):
    import run
    todo = run.missing(['frappe'], [])
    for name, model, options, seed in todo:
        assert (name, model, seed) == ('frappe', 'LR', 42)
    assert len(todo) == 2
    options = todo[0][2]
    run.keep(run.trial(*todo[0]) | dict(options=options, command=''))
    first = run.results()                             # and here it is stopped
    assert first[0]['valid']['auc'] > .6 and 'test' not in first[0]
    assert run.missing(['frappe'], []) == todo[1:]
    assert run.missing(['frappe'], ['FM']) == []
    run.learn(['frappe'], [], 1)
    lines = run.results()    # the other setting, then the better one's new seed
    assert lines[:1] == first and run.missing(['frappe'], []) == []
    assert [line['seed'] for line in lines] == [42, 42, 43]
    best = run.chosen('frappe', 'LR')
    aucs = [line['valid']['auc'] for line in lines[:2]]
    assert best['valid']['auc'] == max(aucs)
    assert lines[2]['options'] == best['options']
    run.write_recipes()
    settings = settings_in(frappe/'recipes'/'frappe'/'lr.toml', frappe)
    assert settings.arguments == best['options']['arguments']
    assert capsys.readouterr().out.count('frappe          LR        seed') == 3


def test_a_table_without_its_data_is_skipped_and_says_so(frappe, capsys):
    import run
    (frappe/'frappe'/'valid.csv.gz').unlink()
    run.learn(['frappe'], [], 1)
    said = 'frappe: skipped. Expected Frappe_x1 under RECOFM_DATA'
    assert run.results() == [] and said in capsys.readouterr().out
