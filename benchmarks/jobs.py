"What is measured: jobs, the competitors that take turns, and the ratios."
from dataclasses import asdict, dataclass
from competitors import LABELS


@dataclass
class Worker:
    "A process: a competitor, and what it is given."
    competitor: str             # see competitors/__init__.py
    measure: str = 'train'      # a function of worker.py
    model: str = 'DeepFM'       # 'DeepFM', 'FM' or 'FFM'
    sizes: tuple|None = None    # ids of each field; None: what the data has
    data: str = 'uniform'       # see data.examples_of
    dim: int = 16
    batch: int = 1024
    examples: int = 819_200     # of a pass; 800 batches of 1,024
    epochs: int = 1             # passes in a turn
    box: float = 4.             # seconds a turn may take, of 5 steps at least
    code: str = ''              # for imports
    recipe: str = ''            # for quality
    label: str = ''             # name in the tables; '': the competitor's


@dataclass
class Job:
    """Workers that take turns: A B C A B C ...

    A turn is in a fresh process (apart) where all together would not fit into
    memory, or where a process's luck weighs more than what is measured."""
    title: str
    workers: list
    unit: str = 'examples/s'
    rounds: int = 3
    apart: bool = False         # whether each turn is in a fresh process
    real: bool = False          # whether it needs MovieLens 1M or Frappe

    def named(self):
        return {w.label or w.competitor: asdict(w) for w in self.workers}


ML_1M = 6040, 3706  # users and movies of MovieLens 1M
DEEP = 'recofm', 'torch-dense', 'torch-sparse', 'keras', 'deepctr-legacy'
SHALLOW = 'recofm', 'modern-fm', 'torch-dense', 'torch-sparse', 'keras'
SCORING = 'recofm', 'torch-dense', 'keras', 'deepctr-legacy'


def each(names, **options):
    "Competitors that are given the same."
    return [Worker(name, **options) for name in names]


def beside_copy(names, **options):
    "The same, and a plain copy that tells what memory allows."
    return [Worker('copy', 'copy'), *each(names, **options)]


def vocabulary(rows):
    return f'{rows / 1e6:g}M' if rows >= 10**6 else f'{rows // 1000}k'


def training(title, names, rounds=3, apart=False, **options):
    "Competitors that train on the same."
    workers = beside_copy(names, **options)
    real = options.get('data') in ('movielens', 'frappe')
    return Job(title, workers, rounds=rounds, apart=apart, real=real)


def deepfm(rows, names=DEEP, batch=1024, **options):
    "DeepFM on two fields of so many rows."
    title = f'DeepFM, {vocabulary(rows)} rows a field, batch {batch:,}'
    return training(title, names, sizes=(rows, rows), batch=batch, **options)


def shallow(words, model='FM', **options):
    "FM or FFM, in batches of 4,096."
    names = SHALLOW if model == 'FM' else ('recofm', 'modern-fm')
    title = f'{model}, {words}, batch 4,096'
    return training(title, names, model=model, batch=4096, **options)


def by_rows(rows):
    "recofm on two fields of so many rows."
    label = f'{vocabulary(rows)} rows'
    return Worker('recofm', sizes=(rows, rows), label=label)


def start_up(code):
    "An interpreter that runs the code."
    return Worker('', 'imports', code=code, label=code)


def whole(recipe):
    "A training from recipes.py."
    label = recipe.replace('_', ' ')
    return Worker('', 'quality', recipe=recipe, label=label)


jobs = {
    'deepfm-6k': deepfm(6000, (*DEEP, 'deepctr', 'keras-bare'), data='planted',
                        box=12, rounds=5),
    'deepfm-ml-1m': training('DeepFM, MovieLens 1M, batch 1,024', DEEP,
                             data='movielens', box=15),
    'deepfm-100k': deepfm(10**5),
    'deepfm-1M': deepfm(10**6, (*DEEP, 'deepctr')),
    'deepfm-10M': deepfm(10**7, apart=True, rounds=1),
    'deepfm-6k-4096': deepfm(6000, batch=4096),
    'deepfm-1M-4096': deepfm(10**6, batch=4096),
    'vocabulary': Job(
        "recofm's DeepFM by rows a field, batch 1,024",
        [by_rows(n) for n in (10**4, 10**5, 10**6, 4 * 10**6, 10**7)],
        rounds=9),
    'auc': Job(
        'What counting an AUC costs, DeepFM, 6k rows a field',
        each(('recofm', 'recofm-bare'), sizes=(6000, 6000)),
        rounds=9, apart=True),
    'fm-6k': shallow('6k rows a field', data='planted', sizes=(6000, 6000),
                     box=8),
    'fm-ml-1m': shallow('MovieLens 1M', data='movielens', box=8, rounds=5),
    'fm-frappe': shallow('Frappe (10 fields)', data='frappe', epochs=5, box=8,
                         rounds=5),
    'fm-1M': shallow('1M rows a field', sizes=(10**6, 10**6)),
    'ffm-ml-1m': shallow('MovieLens 1M', 'FFM', data='movielens', box=8,
                         rounds=5),
    'ffm-frappe': shallow('Frappe (10 fields), dim 4', 'FFM', data='frappe',
                          dim=4, epochs=2, box=8),
    'predict': Job(
        'Scoring a million rows, DeepFM',
        beside_copy(SCORING, measure='predict', sizes=ML_1M, examples=10**6),
        'rows/s', rounds=5),
    'latency': Job(
        'One user against 1,000 candidates, DeepFM',
        each(SCORING, measure='latency', sizes=ML_1M),
        'ms', rounds=5),
    'memory': Job(
        'Memory at 10M rows a field, DeepFM',
        each(('recofm', 'torch-sparse'), measure='memory', sizes=(10**7,) * 2),
        'times the table and its two slots', apart=True),
    'import': Job(
        'Start-up: `python -c ...`',
        [start_up('pass'), start_up('import recofm'),
         start_up('import recofm.models.fm'), start_up('import keras'),
         start_up('import tensorflow'), start_up('import torch'),
         start_up('import modern_fm')],
        's', rounds=5),
    'quality': Job(
        'Test AUC on MovieLens 1M',
        [whole('notebook'), whole('notebook_torch'), whole('side_features')],
        'test AUC', rounds=1, apart=True, real=True),
}


@dataclass
class Ratio:
    "How many times better one result of a job is than another, or than 1."
    title: str
    job: str
    of: str
    than: str = ''          # '': there is nothing to compare with
    must: float|None = None
    aim: float|None = None
    smaller: bool = False   # whether a small number is good
    key: str = 'value'

    def reached(self, x):
        if self.must is None: return None
        return x <= self.must if self.smaller else x >= self.must


def over(job, words, **peers):
    "recofm over peers, each with what must be reached and what is aimed at."
    for name, bar in peers.items():
        peer = name.replace('_', '-')
        title = f'{words}: recofm over {LABELS[peer]}'
        yield Ratio(title, job, 'recofm', peer, *bar)


ratios = [
    *over('deepfm-6k', 'DeepFM, 6k rows', torch_dense=(1.25, 2.5),
          torch_sparse=(), deepctr_legacy=(3, 6), deepctr=(3, 6),
          keras=(1.8, 4), keras_bare=()),
    *over('deepfm-1M', 'DeepFM, 1M rows', torch_dense=(50, 100),
          deepctr_legacy=(50, 100), deepctr=(50, 100), keras=(50, 100),
          torch_sparse=(1, 2)),
    Ratio('A step at 4M rows a field over one at 10k', 'vocabulary',
          '10k rows', '4M rows', must=1.6, aim=1.3, smaller=True),
    Ratio('A step at 10M rows a field over one at 1M', 'vocabulary',
          '1M rows', '10M rows', must=1.15, aim=1.05, smaller=True),
    Ratio('A step that counts an AUC over one that does not', 'auc',
          'recofm-bare', 'recofm', must=1.05, smaller=True),
    Ratio('Memory over the table and its two slots, 10M rows a field',
          'memory', 'recofm', must=1.2, aim=1.05, smaller=True),
    *over('fm-ml-1m', 'FM, MovieLens 1M', modern_fm=(.6, 1)),
    *over('fm-frappe', 'FM, Frappe', modern_fm=(.3, .8)),
    *over('ffm-ml-1m', 'FFM, MovieLens 1M', modern_fm=()),
    *over('ffm-frappe', 'FFM, Frappe', modern_fm=()),
    Ratio('Rows scored a second, ML-1M sized', 'predict', 'recofm', aim=5e6),
    Ratio('One user against 1,000 candidates, ms', 'latency', 'recofm',
          must=5, aim=1.5, smaller=True),
    Ratio("The notebook's job: test AUC", 'quality', 'notebook', must=.792),
    Ratio("The notebook's job: seconds", 'quality', 'notebook', must=130,
          aim=43, smaller=True, key='seconds'),
    Ratio('With side features: test AUC', 'quality', 'side features',
          must=.814),
]
