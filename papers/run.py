"""Train every model on every table with each of its settings, choose by the
validation part, and write results.jsonl and the recipes.

python papers/run.py [TASK ...] [--model M ...]
    what results.jsonl lacks; a run that was stopped goes on where it was
python papers/run.py --recipes
    only write the recipes from results.jsonl
python papers/run.py --prune
    the same, after dropping the lines of settings that searches.py no longer
    has"""
import json, os, sys
from argparse import ArgumentParser
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from time import process_time

folder = Path(__file__).parent
kept, recipes = folder/'results.jsonl', folder.parent/'recipes'


def one_thread():
    "A worker has a core to itself, and says nothing."
    os.environ |= dict(TF_CPP_MIN_LOG_LEVEL='3')
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    from tensorflow.config import threading
    threading.set_intra_op_parallelism_threads(1)
    threading.set_inter_op_parallelism_threads(1)


def measured(task, target, prediction):
    "What is written down of a part."
    from recofm.evaluation.metrics import auc, logloss, rmse
    if task.metric == 'rmse':
        cut = prediction.clip(target.min(), target.max())
        return dict(rmse=task.scale * rmse(target, cut))
    loss = logloss(target, prediction)
    return dict(auc=auc(target, prediction), logloss=loss)


def settings_of(name, model, options, seed):
    "The settings of a training as a run has them."
    from recofm.runs.settings import Settings
    from searches import classes
    from tasks import tasks
    task, options = tasks[name], dict(options)
    columns = task.columns | dict(dim=options.pop('dim'))
    arguments = options.pop('arguments')
    more = dict(seed=seed, task=task.task)
    return Settings(
        classes.get(model, model), columns, arguments, **options, **more)


def scored(task, trained, batches, target):
    "The metrics of a part and how fast it is predicted."
    trained.predict(batches, verbose=0)
    start = process_time()
    prediction = trained.predict(batches, verbose=0).ravel()
    found = measured(task, target, prediction)
    speed = round(len(target) / (process_time() - start))
    rounded = {metric: round(float(v), 6) for metric, v in found.items()}
    return rounded | dict(rows_per_second=speed)


def trial(name, model, options, seed):
    "Train once; returns a line of results.jsonl."
    from recofm.runs.run import fitted
    from recofm.runs.settings import versions
    from tasks import tasks
    task, settings = tasks[name], settings_of(name, model, options, seed)
    parts = task.parts(seed)
    # Of the processor: other programs on the machine do not count
    start = process_time()
    trained, schema, history, _ = fitted(parts, settings, verbose=False)
    seconds = round(process_time() - start, 1)
    line = dict(task=name, model=model, parameters=trained.count_params())
    for part in ('valid', 'test'):
        if part not in parts: continue
        batches = schema.batches(parts[part])
        target = schema.target(parts[part])
        line[part] = scored(task, trained, batches, target)
    effort = dict(seed=seed, epochs=len(history), seconds=seconds)
    return line | effort | dict(date=str(date.today()), versions=versions())


def results():
    "The lines so far."
    if not kept.exists(): return []
    return [json.loads(line) for line in kept.read_text().splitlines()]


def is_searched(line):
    "Whether a line's settings are among those that are tried."
    from searches import searches
    models = searches.get(line['task'], {})
    return line['options'] in models.get(line['model'], [])


def prune():
    "Drop the lines that `is_searched` no longer finds, and their recipes."
    from searches import searches
    # As text, so that the other lines keep every byte
    texts = kept.read_text().splitlines(keepends=True)
    kept.write_text(''.join(t for t in texts if is_searched(json.loads(t))))
    for name, models in searches.items():
        run = {file_of(name, m) for m in models if chosen(name, m)}
        for file in set((recipes/name).glob('*.toml')) - run: file.unlink()


def better(task, lines):
    "The line with the best validation metric."
    best = min if task.metric == 'rmse' else max
    return best(lines, key=lambda line: line['valid'][task.metric])


def chosen(name, model):
    "The line that validated best with the first seed, if there is one."
    from tasks import tasks
    task = tasks[name]
    place = name, model, task.seeds[0]
    lines = [line for line in results()
             if (line['task'], line['model'], line['seed']) == place]
    tried = [line for line in lines if is_searched(line)]
    return better(task, tried) if tried else None


def key(name, model, options, seed):
    "What a trial is known by."
    return name, model, json.dumps(options, sort_keys=True), seed


def missing_of(name, model, settings, known):
    "The trials of a model: each setting with one seed, then the best with all."
    from tasks import tasks
    first, *others = tasks[name].seeds
    new = [(name, model, s, first) for s in settings]
    new = [trial for trial in new if key(*trial) not in known]
    if new: return new
    best = chosen(name, model)['options']
    new = [(name, model, best, seed) for seed in others]
    return [trial for trial in new if key(*trial) not in known]


def missing(names, models):
    "Trials that results.jsonl lacks, of some tables and of some or all models."
    from searches import searches
    places = 'task', 'model', 'options', 'seed'
    known = {key(*(line[k] for k in places)) for line in results()}
    todo = []
    for name in names:
        for model, settings in searches[name].items():
            if models and model not in models: continue
            todo += missing_of(name, model, settings, known)
    return todo


def to_run(names, models):
    "The tables that lack something; it is said whose data cannot be had."
    from tasks import tasks
    for name in names:
        if not missing([name], models): continue
        try: tasks[name].parts(tasks[name].seeds[0])
        except OSError as error: print(f'{name}: skipped. {error}', flush=True)
        else: yield name


def short(options):
    "Settings on one line."
    flat = options | options['arguments']
    return ' '.join(f'{k}={v}' for k, v in flat.items() if k != 'arguments')


def figures(line):
    "The metrics of a line's parts, as they are printed."
    for part in ('valid', 'test'):
        for metric, value in line.get(part, {}).items():
            if metric == 'rows_per_second': continue
            yield f'{part} {metric} {value:.5f}'


def keep(line):
    "Add a line to results.jsonl and print it."
    text = json.dumps(line) + '\n'
    # In one piece, so that a run that is killed leaves whole lines
    with open(kept, 'ab', buffering=0) as file: file.write(text.encode())
    what = f"{line['task']:15} {line['model']:9} seed {line['seed']}"
    effort = f"{line['epochs']} epochs {line['seconds']:.0f} s"
    shown = [what, *figures(line), effort, short(line['options'])]
    print('  '.join(shown), flush=True)


def line_of(one):
    "A line of results.jsonl from a training of `missing`."
    name, model, options, seed = one
    command = f'python papers/run.py {name} --model {model}'
    found = trial(name, model, options, seed)
    return found | dict(options=options, command=command)


def learn(names, models, jobs):
    "Run what is missing, a few at a time, and keep each result as it comes."
    names = list(to_run(names, models))
    if not names: return
    # The memory of many graphs goes with its worker
    workers = get_context('spawn').Pool(jobs, one_thread, maxtasksperchild=8)
    # When one fails, those that wait are called off
    with workers as pool:
        while todo := missing(names, models):
            for line in pool.imap_unordered(line_of, todo): keep(line)


def file_of(name, model):
    "The file of a recipe."
    return recipes/name/f"{model.lower().replace('+', '-plus')}.toml"


def recipe(task, line):
    "The text of a recipe file."
    from recofm.cli.options import recipe_of
    name, model, seed = (line[k] for k in ('task', 'model', 'seed'))
    file = file_of(name, model)
    part = dict(valid='validation', test='test')[task.quoted]
    metric = f'{task.metric.upper()} {line[task.quoted][task.metric]:.4f}'
    command = f'recofm train --config {file.relative_to(recipes.parent)}'
    head = [
        f'# {model} on {task.title}: {metric} on the {part} part '
        f'with seed {seed}',
        f'# {command} --data {task.data} --out runs/{file.stem}']
    if task.note: head.append(f'# {task.note}')
    settings = settings_of(name, model, line['options'], seed)
    return '\n'.join(head) + '\n' + recipe_of(settings)


def write_recipes():
    "For each table and model, the settings that `chosen` finds."
    from searches import searches
    from tasks import tasks
    for name, models in searches.items():
        for model in models:
            line, file = chosen(name, model), file_of(name, model)
            if not line: continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(recipe(tasks[name], line))


def parser():
    "The options of the command."
    from tasks import tasks
    options = ArgumentParser(description='Reproduce the published tables.')
    add = options.add_argument
    add('tasks', nargs='*', metavar='TASK', help=', '.join(tasks))
    add('--model', nargs='+', default=[], help='only these models')
    add('--jobs', type=int, default=os.cpu_count(),
        help='how many trainings at a time, each on one core (all cores)')
    add('--recipes', action='store_true', help='only write the recipes')
    add('--prune', action='store_true',
        help='only drop the results of settings that are no longer searched, '
             'and write the recipes')
    return options


def main():
    from searches import searches
    from tasks import tasks
    options = parser()
    given = options.parse_args()
    def check(what, names, known):
        wrong = sorted(set(names) - set(known))
        expected = f'expected {what} among {list(known)}'
        if wrong: options.error(f'{expected}. Received: {wrong}')
    check('tasks', given.tasks, tasks)
    names = given.tasks or list(tasks)
    models = {model for name in names for model in searches[name]}
    check('models', given.model, sorted(models))
    if given.prune: prune()
    elif not given.recipes: learn(names, given.model, given.jobs)
    write_recipes()
    print(f'{len(results())} trainings in papers/results.jsonl, '
          f'a recipe for each model in recipes/')


if __name__ == '__main__': main()
