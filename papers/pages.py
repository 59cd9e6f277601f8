"""Fill the column *here* of the model pages from results.jsonl; nothing else in them changes.

python papers/pages.py           write the pages
python papers/pages.py --check   say what would change, and end with status 1 if anything would"""
import json
import sys
from difflib import unified_diff
from pathlib import Path
from statistics import mean
from run import chosen, results
from tasks import tasks

models = Path(__file__).parents[1]/'nbs'/'models'
heading = '## What the papers report'
before = "is filled from this package's own runs; an empty cell has not been run."
after = "is filled from [this package's own runs](../tutorials/60_papers.ipynb) (Frappe: validation part); an empty cell has not been run."

# From a page to its rows: table, model, and a word of the row's source
rows = {
    '17_linear': [('frappe', 'LR', 'BARS')],
    '20_fm': [('frappe', 'FM', 'BARS'), ('frappe-rmse', 'FM', 'He & Chua')],
    '22_hofm': [('frappe', 'HOFM', 'BARS'), ('frappe-rmse', 'HOFM', 'He & Chua')],
    '25_ffm': [('frappe', 'FFM', ', FFM'), ('frappe-rmse', 'FFM', 'Hong')],
    '26_fwfm': [('frappe', 'FwFM', 'FwFM')],
    '27_fmfm': [('frappe', 'FmFM', 'FmFM')],
    '30_nfm': [('frappe', 'NFM', 'BARS'), ('frappe-rmse', 'NFM', 'He & Chua'), ('frappe-rmse', 'NFM', 'Hong')],
    '35_afm': [('frappe', 'AFM', 'BARS'), ('frappe-rmse', 'AFM', 'Xiao'), ('frappe-rmse', 'AFM', 'Hong')],
    '40_wide_deep': [('frappe', 'WideDeep', 'BARS')],
    '45_deepfm': [('frappe', 'DeepFM', 'BARS')],
    '50_dcn': [('frappe', 'DCN', 'DCN (2017)'), ('frappe', 'DCNv2', 'DCN V2')],
    '55_xdeepfm': [('frappe', 'xDeepFM', 'xDeepFM')],
    '65_self_attention': [('frappe', 'AutoInt', 'AutoInt,'), ('frappe', 'AutoInt+', 'AutoInt+')],
    '70_final_mlp': [('frappe', 'FinalMLP', 'BARS')]}

# Rows that no paper has, or that the page has not: what stands before *here*
likes = lambda name: f'| MovieLens 1M, likes, 8 : 1 : 1 | AUC / log loss | {name}, ids and side features, test part | |'
added = {
    '17_linear': [('frappe', 'Poly2', '| Frappe | AUC / log loss | Poly2 | |'), ('ml-1m', 'LR', likes('LR')), ('ml-1m', 'Poly2', likes('Poly2'))],
    '20_fm': [('ml-1m', 'FM', likes('FM'))],
    '22_hofm': [('ml-1m', 'HOFM', likes('order 3'))],
    '25_ffm': [('ml-1m', 'FFM', likes('FFM'))],
    '26_fwfm': [('ml-1m', 'FwFM', likes('FwFM'))],
    '27_fmfm': [('ml-1m', 'FmFM', likes('FmFM'))],
    '30_nfm': [('ml-1m', 'NFM', likes('NFM'))],
    '35_afm': [('ml-1m', 'AFM', likes('AFM'))],
    '40_wide_deep': [('frappe-rmse', 'WideDeep', '| Frappe | RMSE | [He & Chua 2017](https://doi.org/10.1145/3077136.3080777), table 3, $k$ = 128 / 256 | .3621 / .3661 |'),
                     ('ml-1m', 'WideDeep', likes('without crosses'))],
    '45_deepfm': [('frappe-rmse', 'DeepFM', '| Frappe | RMSE | [Hong et al. 2019](https://doi.org/10.1609/aaai.v33i01.33013804), table 2, $k$ = 256 | .3308 |'),
                  ('ml-1m', 'DeepFM', likes('DeepFM'))],
    '50_dcn': [('ml-1m', 'DCN', likes('DCN (2017)')), ('ml-1m', 'DCNv2', likes('DCN V2'))],
    '55_xdeepfm': [('ml-1m', 'xDeepFM', likes('xDeepFM'))],
    '65_self_attention': [('ml-1m', 'AutoInt+', likes('AutoInt+'))],
    '70_final_mlp': [('ml-1m', 'FinalMLP', likes('FinalMLP'))]}


def here(name, model):
    "What the cell says: the mean over the seeds with the chosen setting; nothing, where nothing was run."
    if not (best := chosen(name, model)): return ''
    task, same = tasks[name], [line for line in results() if all(line[key] == best[key] for key in ('task', 'model', 'options'))]
    value = lambda metric: f'{mean(line[task.quoted][metric] for line in same):.4f}'.removeprefix('0')
    return f"{value('rmse')} ($k$ = {best['options']['dim']})" if task.metric == 'rmse' else f"{value('auc')} / {value('logloss')}"


def is_row(line): return line.startswith('|') and not line.startswith(('| data', '|--'))


def filled(page, text):
    "The text of a cell whose section of that heading has its table filled."
    above, found, below = text.partition(heading)
    if not found: return text
    section, *later = below.split('\n## ', 1)
    return '\n## '.join([above + heading + filled_section(page, section), *later])


def filled_section(page, text):
    lines, data, metric = text.replace(before, after).split('\n'), '', ''
    for i, line in enumerate(lines):
        if not is_row(line): continue
        start, cell = line.removesuffix(' |').rsplit('|', 1)
        _, *cells = (c.strip() for c in start.split('|'))
        data, metric = cells[0] or data, cells[1] or metric
        for name, model, word in rows.get(page, ()):
            if data.startswith('Frappe') and metric.startswith(tasks[name].metric.upper()) and word in cells[2]:
                lines[i] = ended(start + '|', ('Frappe: ' if 'tags' in data and here(name, model) else '') + here(name, model))
        for name, model, own in added.get(page, ()):
            if start + '|' == own: lines[i] = ended(own, here(name, model))
    last = max(i for i, line in enumerate(lines) if is_row(line))
    new = [ended(own, here(name, model)) for name, model, own in added.get(page, ()) if here(name, model) and not any(line.startswith(own) for line in lines)]
    return '\n'.join(lines[:last + 1] + new + lines[last + 1:])


def ended(start, cell): return f'{start} {cell} |' if cell else f'{start} |'


def as_json(notebook): return json.dumps(notebook, sort_keys=True, indent=1, ensure_ascii=False) + '\n'


def page_text(file):
    "The text of the notebook file as it should be."
    text = file.read_text(encoding='utf-8')
    notebook = json.loads(text)
    if as_json(notebook) != text: raise ValueError(f'Expected a notebook as nbdev_clean leaves it. Received {file}')
    for cell in notebook['cells']:
        if cell['cell_type'] == 'markdown': cell['source'] = filled(file.stem, ''.join(cell['source'])).splitlines(keepends=True)
    return as_json(notebook)


def changes(folder=models):
    "From each page that is not as it should be to its text."
    return {file: text for file in (folder/f'{page}.ipynb' for page in rows) if (text := page_text(file)) != file.read_text(encoding='utf-8')}


def main():
    found = changes()
    for file, text in found.items():
        if '--check' in sys.argv: print(''.join(unified_diff(file.read_text(encoding='utf-8').splitlines(True), text.splitlines(True), file.name, file.name, n=0)))
        else: file.write_text(text, encoding='utf-8'); print(f'{file.name} filled')
    sys.exit('--check' in sys.argv and len(found) > 0)


if __name__ == '__main__': main()
