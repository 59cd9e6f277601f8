"What is measured: jobs, the competitors that take turns in each, and the ratios that matter."
from dataclasses import asdict, dataclass
from competitors import LABELS

ML_1M = (6040, 3706)  # users and movies of MovieLens 1M


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
    box: float = 4.             # seconds that a turn may take; it has at least 5 steps
    code: str = ''              # for imports
    recipe: str = ''            # for quality
    label: str = ''             # name in the tables; '': the competitor's


@dataclass
class Job:
    "Workers that take turns: A B C A B C ..."
    title: str
    workers: list
    unit: str = 'examples/s'
    rounds: int = 3
    apart: bool = False         # each turn in a fresh process: where all together would not fit into memory, or where a process's luck weighs more than what is measured
    real: bool = False          # needs MovieLens 1M or Frappe

    def named(self): return {w.label or w.competitor: asdict(w) for w in self.workers}


def side_by_side(names, **options): return [Worker('copy', 'copy')] + [Worker(name, **options) for name in names]

def vocabulary(rows): return f"{rows / 1e6:g}M" if rows >= 10**6 else f"{rows // 1000}k"

DEEP = 'recofm', 'torch-dense', 'torch-sparse', 'keras', 'deepctr-legacy'
SHALLOW = 'recofm', 'modern-fm', 'torch-dense', 'torch-sparse', 'keras'

jobs = {
    'deepfm-6k': Job('DeepFM, 6k rows a field, batch 1,024', side_by_side((*DEEP, 'deepctr', 'keras-bare'), data='planted', sizes=(6000, 6000), box=12), rounds=5),
    'deepfm-ml-1m': Job('DeepFM, MovieLens 1M, batch 1,024', side_by_side(DEEP, data='movielens', box=15), real=True),
    'deepfm-100k': Job('DeepFM, 100k rows a field, batch 1,024', side_by_side(DEEP, sizes=(10**5,) * 2)),
    'deepfm-1M': Job('DeepFM, 1M rows a field, batch 1,024', side_by_side((*DEEP, 'deepctr'), sizes=(10**6,) * 2)),
    'deepfm-10M': Job('DeepFM, 10M rows a field, batch 1,024', side_by_side(DEEP, sizes=(10**7,) * 2), apart=True, rounds=1),
    'deepfm-6k-4096': Job('DeepFM, 6k rows a field, batch 4,096', side_by_side(DEEP, sizes=(6000,) * 2, batch=4096)),
    'deepfm-1M-4096': Job('DeepFM, 1M rows a field, batch 4,096', side_by_side(DEEP, sizes=(10**6,) * 2, batch=4096)),
    'vocabulary': Job('recofm\'s DeepFM by rows a field, batch 1,024',
                      [Worker('recofm', sizes=(n, n), label=f'{vocabulary(n)} rows') for n in (10**4, 10**5, 10**6, 4 * 10**6, 10**7)], rounds=9),
    'auc': Job('What counting an AUC costs, DeepFM, 6k rows a field', [Worker(n, sizes=(6000, 6000)) for n in ('recofm', 'recofm-bare')], rounds=9, apart=True),
    'fm-6k': Job('FM, 6k rows a field, batch 4,096', side_by_side(SHALLOW, model='FM', data='planted', sizes=(6000, 6000), batch=4096, box=8)),
    'fm-ml-1m': Job('FM, MovieLens 1M, batch 4,096', side_by_side(SHALLOW, model='FM', data='movielens', batch=4096, box=8), rounds=5, real=True),
    'fm-frappe': Job('FM, Frappe (10 fields), batch 4,096', side_by_side(SHALLOW, model='FM', data='frappe', batch=4096, epochs=5, box=8), rounds=5, real=True),
    'fm-1M': Job('FM, 1M rows a field, batch 4,096', side_by_side(SHALLOW, model='FM', sizes=(10**6,) * 2, batch=4096)),
    'ffm-ml-1m': Job('FFM, MovieLens 1M, batch 4,096', side_by_side(('recofm', 'modern-fm'), model='FFM', data='movielens', batch=4096, box=8), rounds=5, real=True),
    'ffm-frappe': Job('FFM, Frappe (10 fields), dim 4, batch 4,096', side_by_side(('recofm', 'modern-fm'), model='FFM', data='frappe', dim=4, batch=4096, epochs=2, box=8), rounds=3, real=True),
    'predict': Job('Scoring a million rows, DeepFM', side_by_side(('recofm', 'torch-dense', 'keras', 'deepctr-legacy'), measure='predict', sizes=ML_1M, examples=10**6),
                   'rows/s', 5),
    'latency': Job('One user against 1,000 candidates, DeepFM', [Worker(n, 'latency', sizes=ML_1M) for n in ('recofm', 'torch-dense', 'keras', 'deepctr-legacy')], 'ms', 5),
    'memory': Job('Memory at 10M rows a field, DeepFM', [Worker(n, 'memory', sizes=(10**7,) * 2) for n in ('recofm', 'torch-sparse')], 'times the table and its two slots',
                  apart=True, rounds=3),
    'import': Job('Start-up: `python -c ...`', [Worker('', 'imports', code=c, label=c) for c in
                  ('pass', 'import recofm', 'import recofm.models.fm', 'import keras', 'import tensorflow', 'import torch', 'import modern_fm')], 's', 5),
    'quality': Job('Test AUC on MovieLens 1M', [Worker('', 'quality', recipe=r, label=r.replace('_', ' ')) for r in ('notebook', 'notebook_torch', 'side_features')],
                   'test AUC', 1, apart=True, real=True),
}


@dataclass
class Ratio:
    "How many times better one result of a job is than another, or than 1 where `than` is empty."
    title: str
    job: str
    of: str
    than: str = ''
    must: float|None = None
    aim: float|None = None
    smaller: bool = False   # whether a small number is good
    key: str = 'value'

    def reached(self, x): return None if self.must is None else (x <= self.must if self.smaller else x >= self.must)


def over(job, words, **peers):
    "recofm over each of its peers in a job, with what must be reached and what is aimed at."
    return [Ratio(f'{words}: recofm over {LABELS[peer]}', job, 'recofm', peer, *bar) for peer, bar in ((p.replace('_', '-'), bar) for p, bar in peers.items())]

ratios = [
    *over('deepfm-6k', 'DeepFM, 6k rows', torch_dense=(1.25, 2.5), torch_sparse=(), deepctr_legacy=(3, 6), deepctr=(3, 6), keras=(1.8, 4), keras_bare=()),
    *over('deepfm-1M', 'DeepFM, 1M rows', torch_dense=(50, 100), deepctr_legacy=(50, 100), deepctr=(50, 100), keras=(50, 100), torch_sparse=(1, 2)),
    Ratio('A step at 4M rows a field over one at 10k', 'vocabulary', '10k rows', '4M rows', 1.6, 1.3, smaller=True),
    Ratio('A step at 10M rows a field over one at 1M', 'vocabulary', '1M rows', '10M rows', 1.15, 1.05, smaller=True),
    Ratio('A step that counts an AUC over one that does not', 'auc', 'recofm-bare', 'recofm', 1.05, smaller=True),
    Ratio('Memory over the table and its two slots, 10M rows a field', 'memory', 'recofm', must=1.2, aim=1.05, smaller=True),
    *over('fm-ml-1m', 'FM, MovieLens 1M', modern_fm=(.6, 1)),
    *over('fm-frappe', 'FM, Frappe', modern_fm=(.3, .8)),
    *over('ffm-ml-1m', 'FFM, MovieLens 1M', modern_fm=()),
    *over('ffm-frappe', 'FFM, Frappe', modern_fm=()),
    Ratio('Rows scored a second, ML-1M sized', 'predict', 'recofm', aim=5e6),
    Ratio('One user against 1,000 candidates, ms', 'latency', 'recofm', must=5, aim=1.5, smaller=True),
    Ratio('The notebook\'s job: test AUC', 'quality', 'notebook', must=.792),
    Ratio('The notebook\'s job: seconds', 'quality', 'notebook', must=130, aim=43, smaller=True, key='seconds'),
    Ratio('With side features: test AUC', 'quality', 'side features', must=.814),
]
