"""From single turns to results.json.

Medians with their spread, ratios by round, and how near a figure is to what
memory allows."""
from statistics import median

AGREEMENT = .02  # how far apart the AUC of two competitors may lie on one job


def middle(values):
    "The median with the smallest and the largest."
    low, high = min(values), max(values)
    return dict(median=median(values), low=low, high=high, n=len(values))


def bytes_per_example(fields, dim):
    """What Adam has to move for an example with rows that no other one shares.

    A row is read, then row and both slots are read and written."""
    return fields * (1 + dim) * 4 * 7 + fields * 4 + 4


def bytes_per_step_dense(rows, dim):
    """What an Adam over the whole table moves in a step besides.

    Table, gradient and both slots read; table and both slots written."""
    return rows * (1 + dim) * 4 * 7


def share_of_limit(rate, fields, dim, bandwidth):
    "Examples a second, over those that the bandwidth of the same run allows."
    return rate * bytes_per_example(fields, dim) / bandwidth


def by_round(turns, label, key='value'):
    "Round -> value."
    mine = [t for t in turns if t['label'] == label and key in t]
    return {t['round']: t[key] for t in mine}


def ratio(turns, of, than='', key='value'):
    """The ratio in each round, or the values where there is nothing to compare.

    None where a round is lacking."""
    a, b = by_round(turns, of, key), by_round(turns, than, key)
    values = [a[r] / b[r] for r in a if r in b] if than else list(a.values())
    return middle(values) if values else None


def chosen(found, *keys):
    "Those of the keys that are there."
    return {key: found[key] for key in keys if key in found}


def row_of(
    worker,   # what it was given
    turns,    # its own
    bandwidth # bytes a second, or None
):
    "What a table says of a competitor."
    done = [t for t in turns if 'value' in t]
    if not done: return dict(error=turns[-1]['error'])
    last = done[-1]
    row = middle([t['value'] for t in done])
    row |= chosen(last, 'steps', 'auc', 'seconds', 'epochs', 'valid', 'peak',
                  'needed')
    if bandwidth and 'sizes' in last:
        of = len(last['sizes']), worker['dim'], bandwidth
        row['share'] = share_of_limit(row['median'], *of)
    given = chosen(worker, 'competitor', 'measure', 'model', 'dim', 'batch',
                   'data')
    return row | dict(worker=given, sizes=last.get('sizes', worker['sizes']))


def job_result(job, turns):
    "The turns of a job, a row a competitor."
    copies = by_round(turns, 'copy').values()
    bandwidth, rows = median(copies) if copies else None, {}
    for label, worker in job.named().items():
        mine = [t for t in turns if t['label'] == label]
        if label == 'copy' or not mine: continue
        rows[label] = row_of(worker, mine, bandwidth)
    aucs = [r['auc'] for r in rows.values() if 'auc' in r]
    spread = max(aucs) - min(aucs) if aucs else None
    agrees = spread is None or spread <= AGREEMENT
    load = max(t['load'] for t in turns)
    return dict(title=job.title, unit=job.unit, rows=rows, bandwidth=bandwidth,
                auc_spread=spread, auc_agrees=agrees, load=load)


def rounded(found):
    "The same with five significant digits."
    if isinstance(found, dict): return {k: rounded(v) for k, v in found.items()}
    if isinstance(found, (list, tuple)): return [rounded(v) for v in found]
    return float(f'{found:.5g}') if isinstance(found, float) else found


def ratio_row(r, turns):
    "What the table says of a ratio; None where its job has no turns."
    found = ratio(turns, r.of, r.than, r.key) if turns else None
    if not found: return None
    row = dict(title=r.title, job=r.job, must=r.must, aim=r.aim)
    row |= dict(smaller=r.smaller, **found)
    return row | dict(reached=r.reached(found['median']))


def results(turns, jobs, ratios, before=None):
    "What results.json holds. Jobs without turns keep what they had before."
    before = before or dict(jobs={}, ratios=[])
    of = {name: [t for t in turns if t['job'] == name] for name in jobs}
    found = dict(before['jobs'])
    found |= {n: job_result(jobs[n], mine) for n, mine in of.items() if mine}
    kept = {r['title']: r for r in before['ratios']}
    rows = [ratio_row(r, of[r.job]) or kept.get(r.title) for r in ratios]
    return dict(jobs={name: found[name] for name in jobs if name in found},
                ratios=[row for row in rows if row])
