"""The promises that the tests keep, and the file of them that a page shows.

A test with a `@promise(...)` is a row. `python tests/promises.py` writes the
rows to `promises.json`."""
import inspect
import json
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

folder = Path(__file__).parent
file = folder/'promises.json'
groups = ('Loops', 'The model inside `fit`', 'Inputs', 'Callbacks',
          'Losses and metrics', 'Policies', 'Strategies', 'Formats', 'Copies',
          'Tuners')
family = ('LR', 'Poly2', 'FM', 'HOFM', 'FFM', 'FwFM', 'FmFM', 'NFM', 'AFM',
          'WideDeep', 'DeepFM', 'DCN', 'xDeepFM', 'GMF', 'MLP', 'NeuMF',
          'AutoInt', 'FinalMLP')


@dataclass
class Promise:
    "A row of the table."
    group: str    # One of `groups`
    text: str     # What of Keras is promised, Markdown
    checked: str  # What the test compares, Markdown
    models: list  # Names of those of every run
    slow: list    # Names of those that `--slow` adds
    needs: list   # Packages without which the test is skipped
    test: str     # Its file and name


def check_group(group):
    if group in groups: return
    raise ValueError(f'Expected a group of {groups}. Received {group!r}')


def cases_of(models, slow):
    "The test once for each model, those of the slow run marked."
    late = [pytest.param(name, marks=pytest.mark.slow) for name in slow]
    return pytest.mark.parametrize('case', [*models, *late], indirect=True)


def promise(group, text, checked, models='FM', each=False, needs=''):
    """Say what of Keras a test holds us to, and on which models.

    A test that asks for a `case` is run on each of them: on those of `models`
    always, and under `--slow` on the whole family, too, if `each` is true."""
    check_group(group)
    models, needs = models.split(', '), needs.split()
    slow = [name for name in family if each and name not in models]

    def noted(test):
        place = f'{Path(inspect.getfile(test)).name}::{test.__name__}'
        row = Promise(group, text, checked, models, slow, needs, place)
        if 'case' in inspect.signature(test).parameters:
            test = cases_of(models, slow)(test)
        lacking = [name for name in needs if find_spec(name) is None]
        reason = f'needs {", ".join(lacking)}, not installed here'
        test = pytest.mark.skipif(bool(lacking), reason=reason)(test)
        test.promise = row
        return test
    return noted


def rows():
    "The promises of all test files, group by group."
    sources = sorted(folder.glob('test_*.py'))
    marked = [p for p in sources if '\n@promise(' in p.read_text('utf-8')]
    tests = [test for p in marked
             for test in vars(import_module(p.stem)).values()]
    noted = [getattr(test, 'promise', None) for test in tests]
    found = [row for row in noted if isinstance(row, Promise)]
    found.sort(key=lambda row: groups.index(row.group))
    return [asdict(row) for row in found]


def write(rows):
    text = json.dumps(rows, indent=1, ensure_ascii=False)
    file.write_text(text + '\n', encoding='utf-8')


if __name__ == '__main__':
    import promises
    promises.write(promises.rows())
