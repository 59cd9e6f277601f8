"""Run the jobs, their competitors in turns, and write results.json.

python benchmarks/run.py [JOB ...]      all jobs, or those named; what runs.jsonl already holds is not run again
python benchmarks/run.py --fresh [JOB]  forget what runs.jsonl holds of them
python benchmarks/run.py --summary      only write results.json from runs.jsonl"""
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


class Process:
    "A worker that is ready, or says what went wrong."
    def __init__(self, job, label, spec):
        logs.mkdir(parents=True, exist_ok=True)
        self.log = logs/f'{job}-{label}.log'.replace(' ', '-')
        self.process = subprocess.Popen([sys.executable, here/'worker.py', json.dumps(spec)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=open(self.log, 'w'), env=os.environ | dict(TF_CPP_MIN_LOG_LEVEL='3'))
        self.failed = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if line: return json.loads(line)
        said = self.log.read_text().strip().splitlines()
        return dict(error=said[-1][-300:] if said else f'ended with {self.process.wait()}')

    def turn(self):
        if self.failed: return self.failed
        print('turn', file=self.process.stdin, flush=True)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def turns_so_far(): return [json.loads(line) for line in runs.read_text().splitlines()] if runs.exists() else []


def keep(turn):
    with open(runs, 'a') as file: print(json.dumps(turn), file=file)


def run(name, job):
    "The rounds of a job that are still lacking."
    known = turns_so_far()
    done = {(t['label'], t['round']) for t in known if t['job'] == name}
    missing = [(r, label) for r in range(job.rounds) for label in job.named() if (label, r) not in done]
    failed = {t['label'] for t in known if t['job'] == name and 'error' in t}
    open_ = {}
    for r, label in missing:
        if label in failed: continue
        process = open_.get(label) or Process(name, label, job.named()[label])
        if not job.apart: open_[label] = process
        turn = dict(job=name, label=label, round=r, load=os.getloadavg()[0]) | process.turn()
        if job.apart: process.close()
        if 'error' in turn: failed.add(label)
        keep(turn)
        print(f"{name:16} {label:22} round {r}   {turn.get('error') or format(turn['value'], ',.4g')}" + (f"   AUC {turn['auc']:.4f}" if 'auc' in turn else ''), flush=True)
    for process in open_.values(): process.close()


def machine():
    "What the figures were measured on."
    cpu = next((l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name')), platform.processor())
    packages = {p: version(p) for p in ('recofm', 'tensorflow', 'keras', 'torch', 'deepctr', 'tf-keras', 'modern-fm', 'numpy')}
    return dict(cpu=cpu, cores=os.cpu_count(), memory_gb=round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30),
                system=f'{platform.system()} {platform.machine()}', python=platform.python_version(), packages=packages, date=str(date.today()))


def obtainable(job):
    "Whether the job's real data can be had; says so where not."
    if not job.real: return True
    from data import stored
    try:
        for name in {w.data for w in job.workers} & {'movielens', 'frappe'} or {'movielens'}: stored(name)
        return True
    except OSError as error: print(f'Skipped, {job.title}: set RECOFM_DATA to the folder that holds the data. {error}')


def main():
    arguments = ArgumentParser(description='Measure recofm beside its peers.')
    arguments.add_argument('names', nargs='*', metavar='JOB', help=', '.join(jobs))
    arguments.add_argument('--fresh', action='store_true', help='measure anew')
    arguments.add_argument('--summary', action='store_true', help='only write results.json')
    a = arguments.parse_args()
    if wrong := set(a.names) - set(jobs): arguments.error(f'expected jobs among {list(jobs)}. Received: {sorted(wrong)}')
    names = a.names or list(jobs)
    if a.fresh and runs.exists():
        left = [t for t in turns_so_far() if t['job'] not in names]
        runs.write_text(''.join(json.dumps(t) + '\n' for t in left))
    for name in names:
        if not a.summary and obtainable(jobs[name]): run(name, jobs[name])
    write()


def write():
    path = here/'results.json'
    before = json.loads(path.read_text()) if path.exists() else None
    found = dict(machine=machine(), labels=LABELS, **results(turns_so_far(), jobs, ratios, before))
    path.write_text(json.dumps(rounded(found), indent=1) + '\n')
    for job in found['jobs'].values():
        if not job['auc_agrees']: print(f"AUC DISAGREES by {job['auc_spread']:.3f}: {job['title']}")
    for r in found['ratios']:
        bar = ' '.join(f'{k} {r[k]:g}' for k in ('must', 'aim') if r[k] is not None)
        print(f"{r['title']:62} {r['median']:12,.3f}  ({r['low']:,.3f} to {r['high']:,.3f})  {bar}{'' if r['reached'] in (True, None) else '   NOT REACHED'}")


if __name__ == '__main__': main()
