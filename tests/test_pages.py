"""Every page is a test: its cells run in order, in its own folder.

An exported cell is compiled under the file name and the line numbers that it
has in the package, so that coverage counts it there."""
import pkgutil
import re
import sys
import threading
import traceback
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from execnb.shell import CaptureShell
from fastcore.xtras import working_directory
from nbdev.config import get_config
from nbdev.process import NBProcessor

root = Path(__file__).parents[1]
export = {'export', 'exporti', 'exports'}


def is_page(path):
    "Whether a notebook is none of Jupyter's copies and not set aside."
    return not any(part[0] in '._' for part in path.relative_to(root).parts)


pages = sorted(filter(is_page, (root/'nbs').rglob('*.ipynb')))
names = [page.relative_to(root).as_posix() for page in pages]


def module_of(nb):
    "The module that a page exports to, `recofm.models.fm`; None: to none."
    for directives in (cell.directives_ for cell in nb.cells):
        if 'default_exp' in directives:
            return f'recofm.{directives["default_exp"][0]}'


def first_lines(module):
    "Cell id -> how many lines stand above the cell in the exported module."
    lines = module.read_text(encoding='utf-8').splitlines()
    heads = [re.match(r'# %% \S+ #(\S+)$', line) for line in lines]
    return {head[1]: n for n, head in enumerate(heads, 1) if head}


@cache
def import_package():
    "Import all modules, whose Keras classes are registered the first time."
    import recofm
    for module in pkgutil.walk_packages(recofm.__path__, 'recofm.'):
        import_module(module.name)


@contextmanager
def registered_classes_restored():
    """A page registers its own classes under the package's names.

    The pages after it must load those of the package."""
    import keras
    from recofm.data.columns import kinds
    import_package()
    known = keras.saving.get_custom_objects(), kinds
    saved = [dict(registered) for registered in known]
    try:
        yield
    finally:
        for registered, before in zip(known, saved):
            registered.clear()
            registered.update(before)
        keras.utils.clear_session()


def slow_flags():
    "The directives of cells that a test skips, from `settings.ini`."
    return set(get_config(path=root).tst_flags.split())


def runs(cell, skip):
    "Whether a test runs this cell."
    if cell.cell_type != 'code' or 'nbdev_export(' in cell.source: return False
    if cell.directives_.get('eval:', [''])[0].lower() == 'false': return False
    return not skip & set(cell.directives_)


@pytest.fixture(autouse=True)
def traced_threads(monkeypatch):
    """Coverage follows the threads that Python starts.

    Let it follow TensorFlow's too, where they call back into Python."""
    from tensorflow.python.ops.script_ops import FuncRegistry
    call = FuncRegistry.__call__

    def traced(self, *args):
        trace = threading.gettrace()
        if trace and not sys.gettrace(): sys.settrace(trace)
        return call(self, *args)
    monkeypatch.setattr(FuncRegistry, '__call__', traced)


@pytest.fixture(autouse=True)
def figures_closed():
    yield
    pyplot = sys.modules.get('matplotlib.pyplot')
    if pyplot: pyplot.close('all')


def run(cell, shell, file, above):
    "Run a cell as a notebook does, or as the module's lines that it becomes."
    if export & set(cell.directives_):
        source = '\n' * above[cell.id] + cell.source
        exec(compile(source, str(file), 'exec'), shell.user_ns)
        return
    shell.run(cell.source)
    if shell.exc: raise shell.exc


def report(path, cell, error):
    "Fail with the page, the cell, and the trace below this file."
    error = error.with_traceback(error.__traceback__.tb_next)
    trace = ''.join(traceback.format_exception(error))
    where = f'{path.relative_to(root)}, cell {cell.id}'
    pytest.fail(f'{where}:\n\n{cell.source}\n\n{trace}', pytrace=False)


@pytest.mark.parametrize('path', pages, ids=names)
def test_page(path, monkeypatch, request):
    monkeypatch.setenv('IN_TEST', '1')
    monkeypatch.setattr(sys, 'path', sys.path[:])
    nb, shell, file, above = NBProcessor(path).nb, CaptureShell(path), None, {}
    name = module_of(nb)
    if name:
        file = root/(name.replace('.', '/') + '.py')
        above = first_lines(file)
        import_module(name.removesuffix('.__init__'))
    skip = set() if request.config.getoption('slow') else slow_flags()
    with working_directory(path.parent), registered_classes_restored():
        for cell in nb.cells:
            if not runs(cell, skip): continue
            try:
                run(cell, shell, file, above)
            except Exception as error:
                report(path, cell, error)
