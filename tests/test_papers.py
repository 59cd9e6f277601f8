"The published tables: what is written down is well formed and agrees with itself, and a run goes on where it was. One model is trained, on made-up rows."
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recofm.cli.train import given, parser, settings_of
from recofm.runs.run import check_numbers, check_settings, model_class

root = Path(__file__).parents[1]
folder = root/'papers'
recipes = sorted((root/'recipes').rglob('*.toml'))


@pytest.fixture(scope='module', autouse=True)
def papers_importable():
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in ('run', 'tasks', 'searches', 'pages'): sys.modules.pop(name, None)


def test_published_figures_are_well_formed():
    from tasks import tasks
    published = json.loads((folder/'published.json').read_text())
    places = [(f['task'], f['model'], f['source']) for f in published['figures']]
    assert len(set(places)) == len(places) and {source for *_, source in places} == set(published['sources'])
    for source in published['sources'].values(): assert set(source) == {'url', 'protocol'} and (source['url'].startswith('https://') or not source['url'])
    for f in published['figures']:
        assert f['task'] in tasks and 0 < f[tasks[f['task']].metric] < 1.2
        assert set(f) <= {'task', 'model', 'source', 'auc', 'auc_spread', 'logloss', 'logloss_spread', 'rmse', 'parameters', 'epochs', 'epoch_seconds'}


def test_results_are_of_the_searches():
    from run import results
    from searches import searches
    from tasks import tasks
    lines = results()
    for line in lines:
        task = tasks[line['task']]
        assert line['options'] in searches[line['task']][line['model']], f"Expected settings of searches.py (python papers/run.py --prune drops others). Received {line['task']}, {line['model']}: {line['options']}"
        assert line['seed'] in task.seeds and line['seconds'] > 0 and line['epochs'] > 0 and line['parameters'] > 0
        assert {task.quoted, 'valid'} <= set(line) and all(np.isfinite(line[part][task.metric]) for part in (task.quoted, 'valid'))
    keys = [json.dumps([line[k] for k in ('task', 'model', 'options', 'seed')], sort_keys=True) for line in lines]
    assert len(set(keys)) == len(keys)


def test_recipes_are_the_settings_that_were_best(tmp_path, monkeypatch):
    import run
    monkeypatch.setattr(run, 'recipes', tmp_path/'recipes')
    run.write_recipes()
    assert {p.relative_to(root): p.read_text() for p in recipes} == {p.relative_to(tmp_path): p.read_text() for p in (tmp_path/'recipes').rglob('*.toml')}


def settings_in(recipe, tmp_path):
    "As `recofm train --config` has them before it reads data."
    data = recipe.parent.name[:7] if recipe.parent.name.startswith('ml-100k') else recipe.parent.name[:5]
    data = ('--data', data) if data.startswith('ml-') else ('--data', 'train.csv.gz', '--valid', 'valid.csv.gz')
    return settings_of(given(parser().parse_args(['train', '--config', str(recipe), *data, '--out', str(tmp_path/'out')])))


@pytest.mark.parametrize('recipe', recipes, ids=[str(p.relative_to(root)) for p in recipes])
def test_a_recipe_is_what_was_run(recipe, tmp_path):
    from run import chosen, file_of
    from searches import classes, searches
    from tasks import tasks
    name = recipe.parent.name
    model = next(model for model in searches[name] if file_of(name, model) == recipe)
    best, settings = chosen(name, model), settings_in(recipe, tmp_path)
    assert settings.model == classes.get(model, model) and settings.arguments == best['options']['arguments'] and settings.seed == best['seed'] and settings.task == tasks[name].task
    assert all(getattr(settings, k) == v for k, v in best['options'].items() if k not in ('arguments', 'dim'))
    assert {k: v for k, v in settings.columns.items() if v} == tasks[name].columns | dict(dim=best['options']['dim'])
    check_numbers(settings)
    model_class(settings)


@pytest.mark.parametrize('recipe', [p for p in recipes if p.parent.name == 'frappe' and p.stem in ('fm', 'deepfm', 'finalmlp')], ids=lambda p: p.stem)
def test_the_command_takes_a_recipe(recipe, tmp_path): check_settings(settings_in(recipe, tmp_path), tmp_path/'out')


def test_model_pages_show_the_results():
    from pages import changes
    assert [file.name for file in changes()] == [], 'make papers, or python papers/pages.py, fills them'


def test_filling_a_page_touches_its_table_only_and_once(tmp_path):
    from pages import added, changes, page_text, rows
    for page in rows: shutil.copy(root/'nbs'/'models'/f'{page}.ipynb', tmp_path)
    first = {file: file.read_text() for file in tmp_path.iterdir()}
    for file, text in changes(tmp_path).items(): file.write_text(text)
    assert changes(tmp_path) == {}
    for file, text in first.items():
        was, now = (t.splitlines() for t in (text, file.read_text()))
        new = [line for line in now if line not in was]
        assert len(now) - len(was) <= len(added[file.stem]) and all(line.lstrip().startswith('"| ') or 'The column *here*' in line for line in new)
        assert len(new) <= len(rows[file.stem]) + len(added[file.stem]) + 1
    (tmp_path/'20_fm.ipynb').write_text('{}')
    with pytest.raises(ValueError, match='as nbdev_clean leaves it'): page_text(tmp_path/'20_fm.ipynb')


@pytest.fixture
def frappe(tmp_path, monkeypatch):
    "A folder with parts as Frappe's are, and a small search beside empty results."
    import run, searches, tasks
    rng, n = np.random.default_rng(0), 1_500
    table = pd.DataFrame({name: 10 * i + rng.integers(0, 8, n) for i, name in enumerate(['user', 'item', 'daytime', 'weekday', 'isweekend', 'homework', 'cost', 'weather', 'country', 'city'])})
    table.insert(0, 'label', (rng.normal(size=n) + table.user % 2 + table.item % 2 > 1).astype(int))
    (tmp_path/'frappe').mkdir()
    for part, rows in dict(train=table[:1000], valid=table[1000:]).items(): rows.to_csv(tmp_path/'frappe'/f'{part}.csv.gz', index=False)
    options = searches.options(2, 256, .05, .3, 1, 1, epochs=2)
    monkeypatch.setattr(tasks.tasks['frappe'], 'seeds', (42, 43))
    monkeypatch.setitem(searches.searches, 'frappe', {'LR': searches.search(options, lambda w: dict(w_reg=w), [(0., 1e-3)])})
    monkeypatch.setenv('RECOFM_DATA', str(tmp_path))
    monkeypatch.setattr(run, 'kept', tmp_path/'results.jsonl')
    monkeypatch.setattr(run, 'recipes', tmp_path/'recipes')
    return tmp_path


def test_a_run_goes_on_where_it_was(frappe, capsys):
    import run
    todo = run.missing(['frappe'], [])
    assert [(name, model, seed) for name, model, _, seed in todo] == [('frappe', 'LR', 42)] * 2
    name, model, options, seed = todo[0]
    run.keep(run.trial(*todo[0]) | dict(options=options, command=''))           # and here it is stopped
    first = run.results()
    assert run.missing(['frappe'], []) == todo[1:] and first[0]['valid']['auc'] > .6 and 'test' not in first[0] and run.missing(['frappe'], ['FM']) == []
    run.learn(['frappe'], [], 1)                                                # the other setting, then the better one with the other seed
    lines = run.results()
    assert lines[:1] == first and [line['seed'] for line in lines] == [42, 42, 43] and run.missing(['frappe'], []) == []
    best = run.chosen('frappe', 'LR')
    assert best['valid']['auc'] == max(line['valid']['auc'] for line in lines[:2]) and all(line['options'] == best['options'] for line in lines[2:])
    run.write_recipes()
    assert settings_in(frappe/'recipes'/'frappe'/'lr.toml', frappe).arguments == best['options']['arguments']
    assert capsys.readouterr().out.count('frappe          LR        seed') == 3


def test_a_table_without_its_data_is_skipped_and_says_so(frappe, capsys):
    import run
    (frappe/'frappe'/'valid.csv.gz').unlink()
    run.learn(['frappe'], [], 1)
    assert run.results() == [] and 'frappe: skipped. Expected Frappe_x1 under RECOFM_DATA' in capsys.readouterr().out
