"""Run the jobs, their competitors in turns, and write results.json.

python benchmarks/run.py [JOB ...]      all jobs, or those named
python benchmarks/run.py --fresh [JOB]  forget what runs.jsonl holds of them
python benchmarks/run.py --summary      only write results.json from runs.jsonl

What runs.jsonl already holds is not run again."""
import json, os, platform, subprocess, sys
from argparse import ArgumentParser
from datetime import date
from importlib.metadata import version
from pathlib import Path
from competitors import LABELS
from jobs import jobs, ratios
from summary import results, rounded

here = Path(__file__).parent
runs, logs = here/'runs.jsonl', here.parent/'.bench'/'logs'
PACKAGES = ('recofm', 'tensorflow', 'keras', 'torch', 'deepctr', 'tf-keras',
            'modern-fm', 'numpy')


class Process:
    "A worker that is ready, or says what went wrong."
    def __init__(self, job, label, spec):
        logs.mkdir(parents=True, exist_ok=True)
        self.log = logs/f'{job}-{label}.log'.replace(' ', '-')
        command = [sys.executable, here/'worker.py', json.dumps(spec)]
        quiet = os.environ | dict(TF_CPP_MIN_LOG_LEVEL='3')
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=open(self.log, 'w'), text=True, env=quiet)
        self.failed = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if line: return json.loads(line)
        said = self.log.read_text().strip().splitlines()
        if said: return dict(error=said[-1][-300:])
        return dict(error=f'ended with {self.process.wait()}')

    def turn(self):
        if self.failed: return self.failed
        print('turn', file=self.process.stdin, flush=True)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def turns_so_far():
    if not runs.exists(): return []
    return [json.loads(line) for line in runs.read_text().splitlines()]


def keep(turn):
    with open(runs, 'a') as file: print(json.dumps(turn), file=file)


def say(turn):
    "A line about a turn."
    line = f"{turn['job']:16} {turn['label']:22} round {turn['round']}   "
    line += turn.get('error') or format(turn['value'], ',.4g')
    if 'auc' in turn: line += f"   AUC {turn['auc']:.4f}"
    print(line, flush=True)


def lacking(name, job):
    "The rounds and labels that are not known, but for workers that failed."
    known = [t for t in turns_so_far() if t['job'] == name]
    done = {(t['round'], t['label']) for t in known}
    failed = {t['label'] for t in known if 'error' in t}
    labels = [label for label in job.named() if label not in failed]
    turns = [(r, label) for r in range(job.rounds) for label in labels]
    return [turn for turn in turns if turn not in done]


def run(name, job):
    "The rounds of a job that are still lacking."
    running, failed = {}, set()
    for r, label in lacking(name, job):
        if label in failed: continue
        spec = job.named()[label]
        process = running.get(label) or Process(name, label, spec)
        if not job.apart: running[label] = process
        turn = dict(job=name, label=label, round=r, load=os.getloadavg()[0])
        turn |= process.turn()
        if job.apart: process.close()
        if 'error' in turn: failed.add(label)
        keep(turn)
        say(turn)
    for process in running.values(): process.close()


def cpu():
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    named = [line for line in lines if line.startswith('model name')]
    return named[0].split(':')[1].strip() if named else platform.processor()


def machine():
    "What the figures were measured on."
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    system = f'{platform.system()} {platform.machine()}'
    packages = {p: version(p) for p in PACKAGES}
    return dict(cpu=cpu(), cores=os.cpu_count(), memory_gb=round(memory),
                system=system, python=platform.python_version(),
                packages=packages, date=str(date.today()))


def obtainable(job):
    "Whether the job's real data can be had; says so where not."
    if not job.real: return True
    from data import stored
    real = {w.data for w in job.workers} & {'movielens', 'frappe'}
    try:
        for name in real or {'movielens'}: stored(name)
        return True
    except OSError as error:
        advice = 'set RECOFM_DATA to the folder that holds the data'
        print(f'Skipped, {job.title}: {advice}. {error}')


def asked():
    "The command line: names, fresh, summary."
    command = ArgumentParser(description='Measure recofm beside its peers.')
    add = command.add_argument
    add('names', nargs='*', metavar='JOB', help=', '.join(jobs))
    add('--fresh', action='store_true', help='measure anew')
    add('--summary', action='store_true', help='only write results.json')
    a = command.parse_args()
    wrong = sorted(set(a.names) - set(jobs))
    expected = f'expected jobs among {list(jobs)}'
    if wrong: command.error(f'{expected}. Received: {wrong}')
    return a


def main():
    a = asked()
    names = a.names or list(jobs)
    if a.fresh and runs.exists():
        left = [t for t in turns_so_far() if t['job'] not in names]
        runs.write_text(''.join(json.dumps(t) + '\n' for t in left))
    for name in names:
        if not a.summary and obtainable(jobs[name]): run(name, jobs[name])
    write()


def ratio_line(r):
    bars = [f'{k} {r[k]:g}' for k in ('must', 'aim') if r[k] is not None]
    line = f"{r['title']:62} {r['median']:12,.3f}"
    line += f"  ({r['low']:,.3f} to {r['high']:,.3f})  {' '.join(bars)}"
    return line if r['reached'] in (True, None) else f'{line}   NOT REACHED'


def write():
    "Write results.json, and print what disagrees and each ratio."
    path = here/'results.json'
    before = json.loads(path.read_text()) if path.exists() else None
    measured = results(turns_so_far(), jobs, ratios, before)
    found = dict(machine=machine(), labels=LABELS, **measured)
    path.write_text(json.dumps(rounded(found), indent=1) + '\n')
    for job in found['jobs'].values():
        if job['auc_agrees']: continue
        print(f"AUC DISAGREES by {job['auc_spread']:.3f}: {job['title']}")
    for r in found['ratios']: print(ratio_line(r))


if __name__ == '__main__': main()
