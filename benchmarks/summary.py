"From single turns to results.json: medians with their spread, ratios by round, and how near a figure is to what memory allows."
from statistics import median

AGREEMENT = .02  # how far apart the AUC of two competitors may lie on one job


def middle(values):
    "The median with the smallest and the largest."
    return dict(median=median(values), low=min(values), high=max(values), n=len(values))


def bytes_per_example(fields, dim):
    "What Adam has to move for an example whose rows no other example of the batch shares: a row is read, then row and both slots are read and written."
    return fields * (1 + dim) * 4 * 7 + fields * 4 + 4


def bytes_per_step_dense(rows, dim):
    "What an Adam over the whole table moves in a step besides: table, gradient and both slots read; table and both slots written."
    return rows * (1 + dim) * 4 * 7


def share_of_limit(rate, fields, dim, bandwidth):
    "Examples a second, over those that the bandwidth of the same run allows."
    return rate * bytes_per_example(fields, dim) / bandwidth


def by_round(turns, label, key='value'):
    "Round -> value."
    return {t['round']: t[key] for t in turns if t['label'] == label and key in t}


def ratio(turns, of, than='', key='value'):
    "The ratio in each round, or the values themselves where there is nothing to compare with; None where a round is lacking."
    a, b = by_round(turns, of, key), by_round(turns, than, key)
    values = [a[r] / b[r] for r in a if r in b] if than else list(a.values())
    return middle(values) if values else None


def job_result(job, turns):
    "The turns of a job, a row a competitor."
    bandwidth, rows = by_round(turns, 'copy'), {}
    for label, worker in job.named().items():
        mine = [t for t in turns if t['label'] == label]
        if label == 'copy' or not mine: continue
        done = [t for t in mine if 'value' in t]
        if not done: rows[label] = dict(error=mine[-1]['error']); continue
        row = middle([t['value'] for t in done]) | {k: done[-1][k] for k in ('steps', 'auc', 'seconds', 'epochs', 'valid', 'peak', 'needed') if k in done[-1]}
        if bandwidth and 'sizes' in done[-1]:
            row['share'] = share_of_limit(row['median'], len(done[-1]['sizes']), worker['dim'], median(bandwidth.values()))
        rows[label] = row | dict(worker={k: worker[k] for k in ('competitor', 'measure', 'model', 'dim', 'batch', 'data')}, sizes=done[-1].get('sizes', worker['sizes']))
    aucs = [r['auc'] for r in rows.values() if 'auc' in r]
    return dict(title=job.title, unit=job.unit, rows=rows, bandwidth=median(bandwidth.values()) if bandwidth else None,
                auc_spread=max(aucs) - min(aucs) if aucs else None, auc_agrees=not aucs or max(aucs) - min(aucs) <= AGREEMENT, load=max(t['load'] for t in turns))


def rounded(found):
    "The same with five significant digits."
    if isinstance(found, dict): return {k: rounded(v) for k, v in found.items()}
    if isinstance(found, (list, tuple)): return [rounded(v) for v in found]
    return float(f'{found:.5g}') if isinstance(found, float) else found


def results(turns, jobs, ratios, before=None):
    "What results.json holds. Jobs without turns keep what they had before."
    before = before or dict(jobs={}, ratios=[])
    of = {name: [t for t in turns if t['job'] == name] for name in jobs}
    measured = {name: job_result(job, of[name]) for name, job in jobs.items() if of[name]}
    kept = {r['title']: r for r in before['ratios']}
    rows = []
    for r in ratios:
        found = ratio(of[r.job], r.of, r.than, r.key) if of[r.job] else None
        if found: rows.append(dict(title=r.title, job=r.job, must=r.must, aim=r.aim, smaller=r.smaller, **found, reached=r.reached(found['median'])))
        elif r.title in kept: rows.append(kept[r.title])
    return dict(jobs={name: measured.get(name) or before['jobs'][name] for name in jobs if name in measured or name in before['jobs']}, ratios=rows)
