"""Runs that are killed at random moments, resumed, and held against one that
was not: `python tests/kills.py` writes the figures to `kills.json`."""
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import pandas as pd

from recofm.datasets.synthetic import planted
from recofm.training.states import read_state

figures = Path(__file__).parent/'kills.json'
start = 'from recofm.cli import main; main()'
words = ('--target', 'label', '--user', 'user', '--item', 'film',
         '--model', 'DeepFM', '--epochs', '60', '--learning-rate', '0.002',
         '--patience', '4', '--set', 'hidden_units=[16]', 'dnn_dropout=0.3',
         'bn_use=true')


def write_table(folder) -> Path:
    "A small table of clicks."
    file, names = Path(folder, 'clicks.csv'), ('user', 'film')
    data = planted(n=3_000, sizes=(60, 40), strength=2., rank=2, names=names)
    data.frame.to_csv(file, index=False)
    return file


def train_words(table, out):
    return ['train', '--data', str(table), *words, '--out', str(out),
            '--resume']


def begin(table, out, *more) -> subprocess.Popen:
    "A run in a process of its own, whose lines come as it says them."
    command = [sys.executable, '-u', '-c', start, *train_words(table, out),
               *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def finish(run) -> list:
    "The lines of a run, which must end well."
    lines = run.communicate(timeout=300)[0].splitlines()
    if run.returncode: raise RuntimeError('\n'.join(lines))
    return lines


def killed(table, out, lines, seconds) -> bool:
    "Kill a run after so many lines and seconds; whether it still ran."
    run = begin(table, out)
    for _ in range(lines): run.stdout.readline()
    try: run.wait(seconds)
    except subprocess.TimeoutExpired: run.kill()
    run.communicate()
    return run.returncode < 0


def killed_within(table, out, *more, seconds=120) -> dict:
    "Kill a run once it has kept a state within its second epoch; the state."
    run, state = begin(table, out, *more), out.with_name(f'.{out.name}.recofm')
    ends = monotonic() + seconds
    try:
        while run.poll() is None and monotonic() < ends:
            sleep(.05)
            if not (state/'state.npz').exists(): continue
            kept = read_state(state/'state.npz')
            if kept['epochs'] and kept['within']: return kept
    finally:
        run.kill()
        run.communicate()
    raise RuntimeError(f'Expected a state within an epoch of {out}')


def left_by(out) -> dict:
    "What a run leaves, but for its seconds."
    metrics = json.loads((out/'metrics.json').read_text())
    history = pd.read_csv(out/'history.csv', dtype=str)
    settings = json.loads((out/'settings.json').read_text())
    metrics.pop('seconds', None)
    return dict(
        model=(out/'model.keras').read_bytes(), metrics=metrics,
        settings=settings, epochs=len(history),
        history=history.drop(columns='seconds').to_dict('list'))


def kill_often(folder, times=20, seed=0, say=print) -> dict:
    """How many runs were killed, resumed, and ended as the unbroken run.

    Those that are killed before anything is kept begin anew."""
    draw, table, folder = random.Random(seed), write_table(folder), Path(folder)
    lines = len(finish(begin(table, folder/'whole')))
    whole = left_by(folder/'whole')
    found = dict(killed=0, resumed=0, anew=0, equal=0,
                 epochs=whole['epochs'])
    while found['killed'] < times:
        out = folder/f'run_{found["killed"]}'
        moment = draw.randrange(lines), draw.uniform(0, .3)
        if killed(table, out, *moment):
            found['killed'] += 1
            said = finish(begin(table, out))
            kept = any('oing on after' in line for line in said)
            found['resumed' if kept else 'anew'] += 1
            again = left_by(out)
            odd = [n for n in whole if again[n] != whole[n]]
            found['equal'] += not odd
            say('line %d + %.2f s' % moment, odd or 'equal')
        elif out.exists(): shutil.rmtree(out)
    return found


if __name__ == '__main__':
    with TemporaryDirectory() as folder: found = kill_often(folder)
    figures.write_text(json.dumps(found, indent=1) + '\n')
    print(found)
