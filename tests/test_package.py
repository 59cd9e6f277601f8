"The package as it is installed: light, and exactly what its pages export."
import ast
import builtins
import filecmp
import json
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

heavy = {'tensorflow', 'keras', 'pandas', 'sklearn', 'matplotlib'}
report = f"""
import json, sys
print(json.dumps(sorted({heavy} & set(sys.modules))), file=sys.stderr)"""


def loaded_by(code):
    "The heavy packages that a fresh Python has loaded once it has run `code`."
    command = [sys.executable, '-c', code + report]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stderr.splitlines()[-1])


def folders(project):
    "The rooms that the package has."
    return [p.parent.name for p in sorted(project.glob('recofm/*/__init__.py'))]


def test_the_package_and_its_rooms_are_light_to_import(project):
    "All but `models`, which makes its classes known to Keras."
    light = [name for name in folders(project) if name != 'models']
    rooms = ['recofm', *(f'recofm.{name}' for name in light)]
    assert loaded_by('import ' + ', '.join(rooms)) == []


call_for_help = """
import sys
from recofm.cli import main
sys.argv = ['recofm', '--help']
try: main()
except SystemExit as e: assert not e.code"""


def test_help_is_light(): assert loaded_by(call_for_help) == []


def test_a_heavy_import_would_be_seen():
    assert loaded_by('import matplotlib') == ['matplotlib']


def test_version_is_that_of_settings(project):
    import recofm
    config = ConfigParser(delimiters=['='])
    config.read(project/'settings.ini', encoding='utf-8')
    assert recofm.__version__ == config['DEFAULT']['version']


def test_every_room_is_a_package(project):
    "Without its `__init__.py` a folder would be left out of the wheel."
    modules = (project/'recofm').rglob('*.py')
    assert all((p.parent/'__init__.py').is_file() for p in modules)


@pytest.fixture(scope='module')
def rebuilt(project, tmp_path_factory):
    "A copy of the project whose notebooks were cleaned and exported anew."
    copy = tmp_path_factory.mktemp('rebuilt')
    shutil.copy(project/'settings.ini', copy)
    ignore = shutil.ignore_patterns('.ipynb_checkpoints', '__pycache__')
    shutil.copytree(project/'nbs', copy/'nbs', ignore=ignore)
    (copy/'recofm').mkdir()
    # the one module that no page exports
    shutil.copy(project/'recofm/__init__.py', copy/'recofm')
    for command in ('nbdev_clean', 'nbdev_export'):
        tool = Path(sys.executable).with_name(command)
        subprocess.run([tool], cwd=copy, check=True)
    return copy


def files(folder, pattern):
    "The names of the files below a folder, without Jupyter's copies."
    found = [p for p in folder.rglob(pattern)
             if '.ipynb_checkpoints' not in p.parts]
    return sorted(p.relative_to(folder).as_posix() for p in found)


def differing(a, b, names):
    return filecmp.cmpfiles(a, b, names, shallow=False)[1]


def test_notebooks_are_clean(project, rebuilt):
    nbs, cleaned = project/'nbs', rebuilt/'nbs'
    assert differing(nbs, cleaned, files(nbs, '*.ipynb')) == []


def test_modules_are_what_the_notebooks_export(project, rebuilt):
    package, exported = project/'recofm', rebuilt/'recofm'
    names = files(package, '*.py')
    assert names == files(exported, '*.py')
    assert differing(package, exported, names) == []


def warned(page):
    "What a page's stored outputs hold of warnings and traces."
    for cell in json.loads(page.read_text('utf-8'))['cells']:
        for output in cell.get('outputs', []):
            if output.get('name') == 'stderr': yield ''.join(output['text'])


def test_no_page_shows_a_warning(project):
    pages = files(project/'nbs', '*.ipynb')
    expect_none([f'nbs/{page}: {text}' for page in pages
                 for text in warned(project/'nbs'/page)])


@pytest.fixture(scope='module')
def rooms(project):
    "The rooms in the order of the front page's table, 'room by room'."
    front = json.loads((project/'nbs/index.ipynb').read_text('utf-8'))
    text = '\n'.join(''.join(cell['source']) for cell in front['cells'])
    table = text.partition('| room | its question |')[2].partition('\n\n')[0]
    return re.findall(r'^\| \[[^]]+\]\((\w+)/index\.ipynb\)', table, re.M)


@pytest.fixture(scope='module')
def modules(project):
    "Module name -> its syntax tree; without the index that nbdev writes."
    trees = {}
    for name in files(project/'recofm', '*.py'):
        if name == '_modidx.py': continue
        file = Path('recofm', name)
        folder = file.stem == '__init__'
        module = file.parent if folder else file.with_suffix('')
        source = (project/file).read_text('utf-8')
        trees['.'.join(module.parts)] = ast.parse(source, file)
    return trees


def pages(modules):
    "The modules that are not a room's, nor the package's, `__init__`."
    return {name: tree for name, tree in modules.items()
            if not any(other.startswith(f'{name}.') for other in modules)}


def imported(name, modules):
    "The package's modules that a module imports, inside functions too."
    package = name if name not in pages(modules) else name.rpartition('.')[0]
    found = set()
    for node in ast.walk(modules[name]):
        if isinstance(node, ast.Import): found |= {o.name for o in node.names}
        if not isinstance(node, ast.ImportFrom): continue
        source = '.' * node.level + (node.module or '')
        source = resolve_name(source, package)
        inside = {f'{source}.{o.name}' for o in node.names}
        found |= inside & set(modules) or {source}
    return {o for o in found if o.startswith('recofm.')}


def expect_none(found):
    "Fail with what was found, one in a line."
    if found: pytest.fail(f'{len(found)}:\n' + '\n'.join(found), pytrace=False)


def test_the_front_page_lists_every_room(project, rooms):
    assert sorted(rooms) == folders(project)


def test_imports_point_to_earlier_rooms(rooms, modules):
    "A page that stands in no room stands behind the last."
    later = []
    for name in modules:
        if name == 'recofm': continue
        room = name.split('.')[1]
        allowed = rooms[:rooms.index(room) + 1] if room in rooms else rooms
        later += [f'{name} of {room!r} imports {other}'
                  for other in sorted(imported(name, modules))
                  if other.split('.')[1] not in allowed]
    expect_none(later)


def test_no_module_imports_itself_by_way_of_others(modules):
    graph = {name: imported(name, modules) for name in modules}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(' is imported by '.join(error.args[1]), pytrace=False)


def test_an_import_is_seen_wherever_it_stands():
    sources = {
        'recofm': '', 'recofm.data': '', 'recofm.runs': '',
        'recofm.data.fields': 'import numpy.linalg\nimport recofm.runs.run',
        'recofm.data.schema': 'from . import fields\nfrom .fields import Field',
        'recofm.runs.run': 'def f(): from ..data.schema import Schema\n'
                           'from recofm.data import split'}
    trees = {name: ast.parse(source) for name, source in sources.items()}
    found = {name: sorted(imported(name, trees)) for name in pages(trees)}
    assert found == {
        'recofm.data.fields': ['recofm.runs.run'],
        'recofm.data.schema': ['recofm.data.fields'],
        'recofm.runs.run': ['recofm.data', 'recofm.data.schema']}


def public_names(tree):
    "What a module's `__all__` lists."
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == '__all__':
            return ast.literal_eval(node.value)
    return []


def test_no_public_name_shadows_a_builtin(modules):
    known = set(dir(builtins))
    shadows = [f'{module}.{name}' for module, tree in modules.items()
               for name in public_names(tree) if name in known]
    expect_none(shadows)


def definitions(tree):
    "The public functions and classes at a module's top level."
    kinds = ast.FunctionDef, ast.ClassDef
    return [node for node in tree.body
            if isinstance(node, kinds) and not node.name.startswith('_')]


def test_every_public_definition_says_what_it_is(modules):
    silent = [f'{module}.{node.name}' for module, tree in pages(modules).items()
              for node in definitions(tree) if not ast.get_docstring(node)]
    expect_none(silent)


def code_of(page):
    "Where each code line of a notebook stands, and the line."
    for n, cell in enumerate(json.loads(page.read_text('utf-8'))['cells']):
        if cell['cell_type'] != 'code': continue
        for line in ''.join(cell['source']).splitlines():
            yield f'cell {n}', line


def lines_of(file):
    "Where each line of a Python file stands, and the line."
    for n, line in enumerate(file.read_text('utf-8').splitlines(), 1):
        yield f'line {n}', line


def too_wide(found, widest=80):
    """Where lines are wider than that.

    What a figure shows, in words, is one line but no code."""
    return [f'{where}: {len(line)}' for where, line in found
            if len(line) > widest and not line.startswith('#| fig-alt:')]


def test_code_fits_its_page(project):
    rooms = 'site', 'papers', 'benchmarks', 'tests'
    names = [f'nbs/{name}' for name in files(project/'nbs', '*.ipynb')]
    names += [f'{o}/{name}' for o in rooms for name in files(project/o, '*.py')]
    wide = []
    for name in [*names, 'setup.py']:
        read = code_of if name.endswith('.ipynb') else lines_of
        wide += [f'{name}, {where}' for where in too_wide(read(project/name))]
    expect_none(wide)


def test_a_wide_line_would_be_seen():
    lines = [('line 1', 'x' * 80), ('line 2', 'x' * 81),
             ('cell 3', '#| fig-alt: ' + 'x' * 80)]
    assert too_wide(lines) == ['line 2: 81']
