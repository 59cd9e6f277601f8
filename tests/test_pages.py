"""Every page is a test: its cells run in order, in its own folder, and must not fail.

An exported cell is compiled under the file name and line numbers that it has in the package, so that coverage counts it there."""
import pkgutil, re, sys, threading, traceback
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
pages = sorted(p for p in (root/'nbs').rglob('*.ipynb') if not any(part[0] in '._' for part in p.relative_to(root).parts))


def module_of(nb):
    "The name of the module that a page exports to, such as `recofm.models.fm`; `None` where it exports nothing."
    names = [c.directives_['default_exp'][0] for c in nb.cells if 'default_exp' in c.directives_]
    return f'{get_config(path=root).lib_name}.{names[0]}' if names else None


def first_lines(module):
    "Cell id -> the number of lines that stand above the cell in the exported module."
    lines = enumerate(module.read_text(encoding='utf-8').splitlines(), 1)
    return {m[1]: n for n, line in lines if (m := re.match(r'# %% \S+ #(\S+)$', line))}


@cache
def import_package():
    "Import all modules of the package, each of which registers its Keras classes when it is imported first, and never again."
    import recofm
    for module in pkgutil.walk_packages(recofm.__path__, 'recofm.'): import_module(module.name)


@contextmanager
def registered_classes_restored():
    "A page registers its own Keras classes under the package's names; the pages after it must load the package's."
    import keras
    import_package()
    saved = dict(keras.saving.get_custom_objects())
    try: yield
    finally:
        keras.saving.get_custom_objects().clear()
        keras.saving.get_custom_objects().update(saved)
        keras.utils.clear_session()


def runs(cell, skip):
    "Whether a test runs this cell."
    never = cell.cell_type != 'code' or 'nbdev_export(' in cell.source or cell.directives_.get('eval:', [''])[0].lower() == 'false'
    return not never and not skip & set(cell.directives_)


@pytest.fixture(autouse=True)
def traced_threads(monkeypatch):
    "Coverage follows the threads that Python starts; let it follow TensorFlow's too, where they call back into Python."
    from tensorflow.python.ops import script_ops
    call = script_ops.FuncRegistry.__call__

    def traced(self, *args):
        if threading.gettrace() and not sys.gettrace(): sys.settrace(threading.gettrace())
        return call(self, *args)
    monkeypatch.setattr(script_ops.FuncRegistry, '__call__', traced)


@pytest.fixture(autouse=True)
def figures_closed():
    yield
    if plt := sys.modules.get('matplotlib.pyplot'): plt.close('all')


def run(cell, shell, file, above):
    "Run a cell as the notebook would, or, where it is exported, as the lines of the module that it becomes."
    if {'export', 'exporti', 'exports'} & set(cell.directives_):
        exec(compile('\n'*above[cell.id] + cell.source, str(file), 'exec'), shell.user_ns)
    else:
        shell.run(cell.source)
        if shell.exc: raise shell.exc


@pytest.mark.parametrize('path', [pytest.param(p, id=p.relative_to(root).as_posix()) for p in pages])
def test_page(path, monkeypatch, request):
    monkeypatch.setenv('IN_TEST', '1')
    monkeypatch.setattr(sys, 'path', sys.path[:])
    nb, shell, file, above = NBProcessor(path).nb, CaptureShell(path), None, {}
    if name := module_of(nb):
        file = root/(name.replace('.', '/') + '.py')
        above = first_lines(file)
        import_module(name.removesuffix('.__init__'))
    skip = set() if request.config.getoption('slow') else set(get_config(path=root).tst_flags.split())
    with working_directory(path.parent), registered_classes_restored():
        for cell in (c for c in nb.cells if runs(c, skip)):
            try: run(cell, shell, file, above)
            except Exception as error:
                trace = ''.join(traceback.format_exception(error.with_traceback(error.__traceback__.tb_next)))
                pytest.fail(f'{path.relative_to(root)}, cell {cell.id}:\n\n{cell.source}\n\n{trace}', pytrace=False)
