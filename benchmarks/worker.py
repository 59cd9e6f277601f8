"""One competitor in a process of its own. It makes itself ready, then takes a turn for each line on its input and answers with a line of JSON.

python worker.py '{"competitor": "recofm", "measure": "train", ...}'; the keys are those of `jobs.Worker`."""
import json, os, resource, subprocess, sys
from time import perf_counter
import numpy as np
from competitors import make
from data import examples_of, uniform


def seconds(function, *args):
    start = perf_counter()
    function(*args)
    return perf_counter() - start


def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def steps_in(
    model, ids, y,
    batch,  # examples a step
    box     # seconds that a turn may take
):
    "Warm up, and say how many steps fit into the box: at least 5, at most one pass of the data."
    if hasattr(model, 'tune'): model.tune(model.prepare(ids[:16 * batch], y[:16 * batch]))
    def step(n): return seconds(model.fit, model.prepare(ids[:n * batch], y[:n * batch])) / n
    step(2)
    least = step(4)
    for n in (16, 64, 128):
        if least * n < box: least = min(least, step(n))
    return int(np.clip(box / least, 5, -(-len(y) // batch)))


def train(spec):
    "Turns of training: examples a second, and the AUC where a turn is a whole pass."
    from sklearn.metrics import roc_auc_score
    sizes, (ids, y), test = examples_of(spec['data'], spec['sizes'], spec['examples'])
    model = make(spec['competitor'], spec['model'], sizes, spec['dim'], spec['batch'])
    steps = steps_in(model, ids, y, spec['batch'], spec['box'])
    n = min(steps * spec['batch'], len(y))
    data = model.prepare(ids[:n], y[:n])
    yield
    while True:
        took = seconds(model.fit, data, spec['epochs'])
        found = {'auc': float(roc_auc_score(test[1], model.predict(test[0])))} if test and n == len(y) else {}
        yield dict(value=n * spec['epochs'] / took, steps=steps * spec['epochs'], seconds=took, sizes=sizes, **found)


def predict(spec):
    "Turns of scoring a million rows: rows a second."
    ids, y = uniform(spec['sizes'], spec['examples'])
    model = make(spec['competitor'], spec['model'], spec['sizes'], spec['dim'], spec['batch'])
    if spec['competitor'] == 'modern-fm': model.fit(model.prepare(ids[:4096], y[:4096]))
    model.predict(ids[:8192])
    yield
    while True: yield dict(value=len(ids) / seconds(model.predict, ids))


def latency(spec):
    "Turns of 200 calls: the median of the milliseconds that one user against 1,000 candidates takes."
    model = make(spec['competitor'], spec['model'], spec['sizes'], spec['dim'], spec['batch'])
    ids, y = uniform(spec['sizes'], 4096)
    if spec['competitor'] == 'modern-fm': model.fit(model.prepare(ids, y))
    candidates = np.arange(1000, dtype='int32')
    request = lambda user: np.stack([np.full(1000, user, 'int32'), candidates], axis=1)
    for user in range(20): model.score(request(user))
    yield
    while True: yield dict(value=float(np.median([seconds(model.score, request(user)) for user in range(200)])) * 1000)


def memory(spec):
    "One turn: the most memory that making the model and 50 steps took beyond what the imports had taken, over the bytes of the table and its two slots."
    make(spec['competitor'], spec['model'], [8] * len(spec['sizes']), spec['dim'], spec['batch'])
    imported = peak()
    model = make(spec['competitor'], spec['model'], spec['sizes'], spec['dim'], spec['batch'])
    data = model.prepare(*uniform(spec['sizes'], 50 * spec['batch']))
    needed = sum(spec['sizes']) * (1 + spec['dim']) * 4 * 3
    yield
    while True:
        model.fit(data)
        yield dict(value=(peak() - imported) / needed, peak=peak(), imported=imported, needed=needed)


def imports(spec):
    "Turns of starting a fresh interpreter that imports something: seconds."
    run = lambda: subprocess.run([sys.executable, '-c', spec['code']], check=True, stderr=subprocess.DEVNULL)
    run()
    yield
    while True: yield dict(value=seconds(run))


def copy(spec):
    "Turns of copying 512 MB, a half in each of two threads: bytes read and written a second."
    from concurrent.futures import ThreadPoolExecutor
    source, target = np.ones(2**26), np.zeros(2**26)
    halves = [slice(0, 2**25), slice(2**25, None)]
    yield
    with ThreadPoolExecutor(2) as pool:
        while True:
            took = min(seconds(lambda: list(pool.map(lambda h: np.copyto(target[h], source[h]), halves))) for _ in range(3))
            yield dict(value=2 * source.nbytes / took)


def quality(spec):
    import recipes
    yield
    while True: yield getattr(recipes, spec['recipe'])()


if __name__ == '__main__':
    answer, spec = os.fdopen(os.dup(1), 'w', buffering=1), json.loads(sys.argv[1])
    os.dup2(2, 1)                                   # what libraries print goes to the log
    turns = globals()[spec['measure']](spec)
    print(json.dumps(next(turns)), file=answer)     # null: ready
    for line in sys.stdin: print(json.dumps(next(turns)), file=answer)
