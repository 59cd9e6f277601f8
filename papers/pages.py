"""Fill the column *here* of the model pages from results.jsonl; nothing else
in them changes.

python papers/pages.py           write the pages
python papers/pages.py --check   say what would change, and end with status 1
                                 if anything would"""
import json
import sys
from difflib import unified_diff
from pathlib import Path
from statistics import mean
from run import chosen, results
from tasks import tasks

models = Path(__file__).parents[1]/'nbs'/'models'
heading = '## What the papers report'
empty = 'an empty cell has not been run.'
runs = "[this package's own runs](../tutorials/60_papers.ipynb)"
before = f"is filled from this package's own runs; {empty}"
after = f'is filled from {runs} (Frappe: validation part); {empty}'

# From a page to its rows: table, model, and a word of the row's source
rows = {
    '17_linear': [('frappe', 'LR', 'BARS')],
    '20_fm': [
        ('frappe', 'FM', 'BARS'),
        ('frappe-rmse', 'FM', 'He & Chua')],
    '22_hofm': [
        ('frappe', 'HOFM', 'BARS'),
        ('frappe-rmse', 'HOFM', 'He & Chua')],
    '25_ffm': [
        ('frappe', 'FFM', ', FFM'),
        ('frappe-rmse', 'FFM', 'Hong')],
    '26_fwfm': [('frappe', 'FwFM', 'FwFM')],
    '27_fmfm': [('frappe', 'FmFM', 'FmFM')],
    '30_nfm': [
        ('frappe', 'NFM', 'BARS'),
        ('frappe-rmse', 'NFM', 'He & Chua'),
        ('frappe-rmse', 'NFM', 'Hong')],
    '35_afm': [
        ('frappe', 'AFM', 'BARS'),
        ('frappe-rmse', 'AFM', 'Xiao'),
        ('frappe-rmse', 'AFM', 'Hong')],
    '40_wide_deep': [('frappe', 'WideDeep', 'BARS')],
    '45_deepfm': [('frappe', 'DeepFM', 'BARS')],
    '50_dcn': [
        ('frappe', 'DCN', 'DCN (2017)'),
        ('frappe', 'DCNv2', 'DCN V2')],
    '55_xdeepfm': [('frappe', 'xDeepFM', 'xDeepFM')],
    '65_self_attention': [
        ('frappe', 'AutoInt', 'AutoInt,'),
        ('frappe', 'AutoInt+', 'AutoInt+')],
    '70_final_mlp': [('frappe', 'FinalMLP', 'BARS')]}


def likes(name):
    "The start of a row of MovieLens 1M."
    model = f'{name}, ids and side features, test part'
    return f'| MovieLens 1M, likes, 8 : 1 : 1 | AUC / log loss | {model} | |'


he = '[He & Chua 2017](https://doi.org/10.1145/3077136.3080777)'
hong = '[Hong et al. 2019](https://doi.org/10.1609/aaai.v33i01.33013804)'
he_row = f'{he}, table 3, $k$ = 128 / 256 | .3621 / .3661 |'
hong_row = f'{hong}, table 2, $k$ = 256 | .3308 |'

# Rows that no paper has, or that the page has not: what stands before *here*
added = {
    '17_linear': [
        ('frappe', 'Poly2', '| Frappe | AUC / log loss | Poly2 | |'),
        ('ml-1m', 'LR', likes('LR')),
        ('ml-1m', 'Poly2', likes('Poly2'))],
    '20_fm': [('ml-1m', 'FM', likes('FM'))],
    '22_hofm': [('ml-1m', 'HOFM', likes('order 3'))],
    '25_ffm': [('ml-1m', 'FFM', likes('FFM'))],
    '26_fwfm': [('ml-1m', 'FwFM', likes('FwFM'))],
    '27_fmfm': [('ml-1m', 'FmFM', likes('FmFM'))],
    '30_nfm': [('ml-1m', 'NFM', likes('NFM'))],
    '35_afm': [('ml-1m', 'AFM', likes('AFM'))],
    '40_wide_deep': [
        ('frappe-rmse', 'WideDeep', f'| Frappe | RMSE | {he_row}'),
        ('ml-1m', 'WideDeep', likes('without crosses'))],
    '45_deepfm': [
        ('frappe-rmse', 'DeepFM', f'| Frappe | RMSE | {hong_row}'),
        ('ml-1m', 'DeepFM', likes('DeepFM'))],
    '50_dcn': [
        ('ml-1m', 'DCN', likes('DCN (2017)')),
        ('ml-1m', 'DCNv2', likes('DCN V2'))],
    '55_xdeepfm': [('ml-1m', 'xDeepFM', likes('xDeepFM'))],
    '65_self_attention': [('ml-1m', 'AutoInt+', likes('AutoInt+'))],
    '70_final_mlp': [('ml-1m', 'FinalMLP', likes('FinalMLP'))]}


def with_setting(best):
    "The lines of results.jsonl with this one's setting, of all seeds."
    keys = 'task', 'model', 'options'
    return [l for l in results() if all(l[key] == best[key] for key in keys)]


def here(name, model):
    "What the cell says: the mean over the seeds; nothing, if nothing was run."
    best, task = chosen(name, model), tasks[name]
    if not best: return ''
    parts = [line[task.quoted] for line in with_setting(best)]
    def value(metric):
        figure = f'{mean(part[metric] for part in parts):.4f}'
        return figure.removeprefix('0')
    if task.metric == 'auc': return f"{value('auc')} / {value('logloss')}"
    return f"{value('rmse')} ($k$ = {best['options']['dim']})"


def is_row(line):
    return line.startswith('|') and not line.startswith(('| data', '|--'))


def ended(start, cell): return f'{start} {cell} |' if cell else f'{start} |'


def filled(page, text):
    "The text of a cell whose section of that heading has its table filled."
    above, found, below = text.partition(heading)
    if not found: return text
    section, *later = below.split('\n## ', 1)
    first = above + heading + filled_section(page, section)
    return '\n## '.join([first, *later])


def filled_section(page, text):
    "The section with every row filled, and those added that it lacks."
    lines, data, metric = text.replace(before, after).split('\n'), '', ''
    for i, line in enumerate(lines):
        if not is_row(line): continue
        _, *cells = (cell.strip() for cell in line.split('|'))
        data, metric = cells[0] or data, cells[1] or metric
        lines[i] = filled_row(page, line, data, metric)
    last = max(i for i, line in enumerate(lines) if is_row(line))
    lines[last + 1:last + 1] = lacking(page, lines)
    return '\n'.join(lines)


def filled_row(page, line, data, metric):
    "A row with its last cell filled, if it is one of the page's."
    start = line.removesuffix(' |').rsplit('|', 1)[0] + '|'
    source = start.split('|')[3]
    for name, model, word in rows.get(page, ()):
        same_metric = metric.startswith(tasks[name].metric.upper())
        if not (data.startswith('Frappe') and same_metric and word in source):
            continue
        cell = here(name, model)
        if cell and 'tags' in data: cell = f'Frappe: {cell}'
        line = ended(start, cell)
    for name, model, own in added.get(page, ()):
        if start == own: line = ended(own, here(name, model))
    return line


def lacking(page, lines):
    "The rows to add that have something to say and are not there."
    def there(own): return any(line.startswith(own) for line in lines)
    new = [(own, here(name, model)) for name, model, own in added.get(page, ())]
    return [ended(own, cell) for own, cell in new if cell and not there(own)]


def as_json(notebook):
    text = json.dumps(notebook, sort_keys=True, indent=1, ensure_ascii=False)
    return text + '\n'


def page_text(file):
    "The text of the notebook file as it should be."
    text = file.read_text(encoding='utf-8')
    notebook = json.loads(text)
    if as_json(notebook) != text:
        expected = 'Expected a notebook as nbdev_clean leaves it'
        raise ValueError(f'{expected}. Received {file}')
    for cell in notebook['cells']:
        if cell['cell_type'] != 'markdown': continue
        source = filled(file.stem, ''.join(cell['source']))
        cell['source'] = source.splitlines(keepends=True)
    return as_json(notebook)


def changes(folder=models):
    "From each page that is not as it should be to its text."
    texts = {f: page_text(f) for f in (folder/f'{page}.ipynb' for page in rows)}
    return {file: text for file, text in texts.items()
            if text != file.read_text(encoding='utf-8')}


def difference(file, text):
    "What would change in a file."
    was = file.read_text(encoding='utf-8').splitlines(True)
    now = text.splitlines(True)
    return ''.join(unified_diff(was, now, file.name, file.name, n=0))


def write(file, text):
    file.write_text(text, encoding='utf-8')
    print(f'{file.name} filled')


def main():
    check, found = '--check' in sys.argv, changes()
    for file, text in found.items():
        if check: print(difference(file, text))
        else: write(file, text)
    sys.exit(check and len(found) > 0)


if __name__ == '__main__': main()
