"""One competitor in a process of its own.

It makes itself ready, then takes a turn for each line on its input and answers
with a line of JSON. The keys of its argument are those of `jobs.Worker`:

python worker.py '{"competitor": "recofm", "measure": "train", ...}'"""
import json, os, resource, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
import numpy as np
from competitors import make
from data import examples_of, uniform


def seconds(function, *args):
    start = perf_counter()
    function(*args)
    return perf_counter() - start


def peak():
    "The most memory this process ever took, bytes."
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def model_of(spec, sizes):
    return make(spec['competitor'], spec['model'], sizes, spec['dim'],
                spec['batch'])


def fit_first(spec, model, ids, y):
    "Train where a model that has not been trained cannot score."
    if spec['competitor'] == 'modern-fm': model.fit(model.prepare(ids, y))


def steps_in(
    model, ids, y,
    batch,  # examples a step
    box     # seconds that a turn may take
):
    "Warm up, and say how many steps fit into the box: 5 to one whole pass."
    def some(n): return model.prepare(ids[:n * batch], y[:n * batch])
    def step(n): return seconds(model.fit, some(n)) / n
    if hasattr(model, 'tune'): model.tune(some(16))
    step(2)
    least = step(4)
    for n in (16, 64, 128):
        if least * n < box: least = min(least, step(n))
    return int(np.clip(box / least, 5, -(-len(y) // batch)))


def train(spec):
    "Examples a second, and the AUC where a turn is a whole pass."
    from sklearn.metrics import roc_auc_score
    asked = spec['data'], spec['sizes'], spec['examples']
    sizes, (ids, y), test = examples_of(*asked)
    model, epochs = model_of(spec, sizes), spec['epochs']
    steps = steps_in(model, ids, y, spec['batch'], spec['box'])
    n = min(steps * spec['batch'], len(y))
    data = model.prepare(ids[:n], y[:n])
    yield
    while True:
        took = seconds(model.fit, data, epochs)
        found = dict(value=n * epochs / took, steps=steps * epochs,
                     seconds=took, sizes=sizes)
        if test and n == len(y):
            auc = roc_auc_score(test[1], model.predict(test[0]))
            found['auc'] = float(auc)
        yield found


def predict(spec):
    "Rows scored a second, of a million."
    ids, y = uniform(spec['sizes'], spec['examples'])
    model = model_of(spec, spec['sizes'])
    fit_first(spec, model, ids[:4096], y[:4096])
    model.predict(ids[:8192])
    yield
    while True: yield dict(value=len(ids) / seconds(model.predict, ids))


def latency(spec):
    "Milliseconds for one user against 1,000 candidates, median of 200 calls."
    model = model_of(spec, spec['sizes'])
    fit_first(spec, model, *uniform(spec['sizes'], 4096))
    candidates = np.arange(1000, dtype='int32')
    def request(user):
        users = np.full(1000, user, 'int32')
        return np.stack([users, candidates], axis=1)
    for user in range(20): model.score(request(user))
    yield
    while True:
        took = [seconds(model.score, request(user)) for user in range(200)]
        yield dict(value=float(np.median(took)) * 1000)


def memory(spec):
    """The most memory that making the model and 50 steps take, in one turn.

    It is counted beyond what the imports had taken, and over the bytes of the
    table and its two slots."""
    sizes = spec['sizes']
    model_of(spec, [8] * len(sizes))
    imported = peak()
    model = model_of(spec, sizes)
    data = model.prepare(*uniform(sizes, 50 * spec['batch']))
    needed = sum(sizes) * (1 + spec['dim']) * 4 * 3
    yield
    while True:
        model.fit(data)
        yield dict(value=(peak() - imported) / needed, peak=peak(),
                   imported=imported, needed=needed)


def imports(spec):
    "Seconds that a fresh interpreter takes to import something."
    command = [sys.executable, '-c', spec['code']]
    def run():
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    run()
    yield
    while True: yield dict(value=seconds(run))


def copy(spec):
    "Bytes read and written a second: 512 MB, a half in each of two threads."
    source, target = np.ones(2**26), np.zeros(2**26)
    halves = [slice(0, 2**25), slice(2**25, None)]
    def copy_half(half): np.copyto(target[half], source[half])
    yield
    with ThreadPoolExecutor(2) as pool:
        def copy_all(): list(pool.map(copy_half, halves))
        while True:
            took = min(seconds(copy_all) for _ in range(3))
            yield dict(value=2 * source.nbytes / took)


def quality(spec):
    "A whole training from recipes.py: its test AUC."
    import recipes
    yield
    while True: yield getattr(recipes, spec['recipe'])()


if __name__ == '__main__':
    answer = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)                                # libraries print into the log
    spec = json.loads(sys.argv[1])
    turns = globals()[spec['measure']](spec)
    print(json.dumps(next(turns)), file=answer)  # null: ready
    for line in sys.stdin: print(json.dumps(next(turns)), file=answer)
