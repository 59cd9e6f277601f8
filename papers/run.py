"""Train every model on every table with each of its settings, choose by the validation part, and write results.jsonl and the recipes.

python papers/run.py [TASK ...] [--model M ...]   what results.jsonl lacks; a run that was stopped goes on where it was
python papers/run.py --recipes                    only write the recipes from results.jsonl
python papers/run.py --prune                      the same, after dropping the lines of settings that searches.py no longer has"""
import json, os, sys
from argparse import ArgumentParser
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from time import process_time

here = Path(__file__).parent
kept, recipes = here/'results.jsonl', here.parent/'recipes'


def one_thread():
    "A worker has a core to itself, and says nothing."
    os.environ |= dict(TF_CPP_MIN_LOG_LEVEL='3')
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def measured(task, target, prediction):
    "What is written down of a part."
    import numpy as np
    from recofm.evaluation.metrics import auc, logloss, rmse
    if task.metric == 'rmse': return dict(rmse=task.scale * rmse(target, np.clip(prediction, target.min(), target.max())))
    return dict(auc=auc(target, prediction), logloss=logloss(target, prediction))


def settings_of(name, model, options, seed):
    "The settings of a training as a run has them."
    from recofm.runs.run import Settings
    from searches import classes
    from tasks import tasks
    task, options = tasks[name], dict(options)
    columns = task.columns | dict(dim=options.pop('dim'))
    return Settings(classes.get(model, model), columns, options.pop('arguments'), **options, seed=seed, task=task.task)


def trial(name, model, options, seed):
    "Train once; returns a line of results.jsonl."
    from importlib.metadata import version
    from recofm.runs.run import fitted
    from tasks import tasks
    task, settings = tasks[name], settings_of(name, model, options, seed)
    parts = task.parts(seed)
    start = process_time()
    trained, schema, history, _ = fitted(parts, settings, verbose=False)
    seconds = process_time() - start   # of the processor: other programs on the machine do not count
    found = {}
    for part in ('valid', 'test'):
        if part not in parts: continue
        batches, target = schema.batches(parts[part]), schema.target(parts[part])
        trained.predict(batches, verbose=0)
        start = process_time()
        prediction = trained.predict(batches, verbose=0).ravel()
        found[part] = {k: round(float(v), 6) for k, v in measured(task, target, prediction).items()} | dict(rows_per_second=round(len(target) / (process_time() - start)))
    return dict(task=name, model=model, parameters=trained.count_params(), **found, seed=seed, epochs=len(history), seconds=round(seconds, 1), date=str(date.today()),
                versions={p: version(p) for p in ('recofm', 'tensorflow', 'keras', 'numpy')})


def results():
    "The lines so far."
    return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []


def prune():
    "Drop the lines of settings that are no longer searched, and recipes without a line; the other lines keep every byte."
    from searches import searches
    of_a_search = lambda line: line['options'] in searches.get(line['task'], {}).get(line['model'], [])
    kept.write_text(''.join(text for text in kept.read_text().splitlines(keepends=True) if of_a_search(json.loads(text))))
    for name in searches:
        run = {file_of(name, model) for model in searches[name] if chosen(name, model)}
        for file in set((recipes/name).glob('*.toml')) - run: file.unlink()


def better(task, lines):
    "The line with the best validation metric."
    value = lambda line: line['valid'][task.metric] * (1 if task.metric == 'rmse' else -1)
    return min(lines, key=value)


def chosen(name, model):
    "Of the settings tried, the line that was best on the validation part with the first seed; None, where nothing has been run."
    from searches import searches
    from tasks import tasks
    lines = [l for l in results() if (l['task'], l['model'], l['seed']) == (name, model, tasks[name].seeds[0]) and l['options'] in searches[name][model]]
    return better(tasks[name], lines) if lines else None


def missing(names, models):
    "Trials that results.jsonl lacks: first each setting with the first seed, then the best setting with the others."
    from searches import searches
    from tasks import tasks
    todo, known = [], {(l['task'], l['model'], json.dumps(l['options'], sort_keys=True), l['seed']) for l in results()}
    lacks = lambda name, model, options, seed: (name, model, json.dumps(options, sort_keys=True), seed) not in known
    for name in names:
        for model, settings in searches[name].items():
            if models and model not in models: continue
            first = tasks[name].seeds[0]
            new = [(name, model, s, first) for s in settings if lacks(name, model, s, first)]
            if not new:
                best = chosen(name, model)['options']
                new = [(name, model, best, seed) for seed in tasks[name].seeds[1:] if lacks(name, model, best, seed)]
            todo += new
    return todo


def to_run(names, models):
    "The tables that lack something and whose data can be had; of the others it is said why."
    from tasks import tasks
    for name in names:
        if not missing([name], models): continue
        try: tasks[name].parts(tasks[name].seeds[0])
        except OSError as error: print(f'{name}: skipped. {error}', flush=True)
        else: yield name


def keep(line):
    "Add a line to results.jsonl in one piece, so that a run that is killed leaves whole lines."
    with open(kept, 'ab', buffering=0) as file: file.write((json.dumps(line) + '\n').encode())
    value = '  '.join(f'{part} {metric} {value:.5f}' for part in ('valid', 'test') if part in line for metric, value in line[part].items() if metric != 'rows_per_second')
    print(f"{line['task']:15} {line['model']:9} seed {line['seed']}  {value}  {line['epochs']} epochs {line['seconds']:.0f} s  {short(line['options'])}", flush=True)


def line_of(one):
    "A line of results.jsonl from a training of `missing`."
    name, model, options, seed = one
    return trial(name, model, options, seed) | dict(options=options, command=f'python papers/run.py {name} --model {model}')


def learn(names, models, jobs):
    "Run what is missing, a few at a time, and keep each result as it comes. When one fails, those that wait are called off."
    names = list(to_run(names, models))
    if not names: return
    with get_context('spawn').Pool(jobs, one_thread, maxtasksperchild=8) as pool:   # the memory of many graphs goes with its worker
        while todo := missing(names, models):
            for line in pool.imap_unordered(line_of, todo): keep(line)


def short(options):
    "Settings on one line."
    return ' '.join(f'{k}={v}' for k, v in (options | options['arguments']).items() if k != 'arguments')


def file_of(name, model): return recipes/name/f"{model.lower().replace('+', '-plus')}.toml"


def recipe(task, line):
    "The text of a recipe file."
    from recofm.cli.train import recipe_of
    value = line[task.quoted][task.metric]
    head = [f"# {line['model']} on {task.title}: {task.metric.upper()} {value:.4f} on the {dict(valid='validation', test='test')[task.quoted]} part with seed {line['seed']}",
            f"# recofm train --config {file_of(line['task'], line['model']).relative_to(recipes.parent)} --data {task.data} --out runs/{file_of(line['task'], line['model']).stem}"]
    if task.note: head.append(f'# {task.note}')
    return '\n'.join(head) + '\n' + recipe_of(settings_of(*(line[k] for k in ('task', 'model', 'options', 'seed'))))


def write_recipes():
    "For each model and task, the settings that were best on the validation part."
    from searches import searches
    from tasks import tasks
    for name, model in ((name, model) for name in searches for model in searches[name]):
        if not (line := chosen(name, model)): continue
        file = file_of(name, model)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(recipe(tasks[name], line))


def main():
    from searches import searches
    from tasks import tasks
    arguments = ArgumentParser(description='Reproduce the published tables.')
    arguments.add_argument('tasks', nargs='*', metavar='TASK', help=', '.join(tasks))
    arguments.add_argument('--model', nargs='+', default=[], help='only these models')
    arguments.add_argument('--jobs', type=int, default=os.cpu_count(), help='how many trainings at a time, each on one core (all cores)')
    arguments.add_argument('--recipes', action='store_true', help='only write the recipes')
    arguments.add_argument('--prune', action='store_true', help='only drop the results of settings that are no longer searched, and write the recipes')
    a = arguments.parse_args()
    if wrong := set(a.tasks) - set(tasks): arguments.error(f'expected tasks among {list(tasks)}. Received: {sorted(wrong)}')
    models = {model for name in a.tasks or tasks for model in searches[name]}
    if wrong := set(a.model) - models: arguments.error(f'expected models among {sorted(models)}. Received: {sorted(wrong)}')
    if a.prune: prune()
    if not a.recipes and not a.prune: learn(a.tasks or list(tasks), a.model, a.jobs)
    write_recipes()
    print(f'{len(results())} trainings in papers/results.jsonl, a recipe for each model in recipes/')


if __name__ == '__main__': main()
