"The package as it is installed: light to import, and exactly what its pages export."
import filecmp, json, shutil, subprocess, sys
from configparser import ConfigParser
from pathlib import Path

import pytest

heavy = {'tensorflow', 'keras', 'pandas', 'sklearn', 'matplotlib'}


def loaded_by(code):
    "The heavy packages that a fresh Python has loaded once it has run `code`."
    report = f'\nimport json, sys; print(json.dumps(sorted({heavy} & set(sys.modules))), file=sys.stderr)'
    run = subprocess.run([sys.executable, '-c', code + report], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stderr.splitlines()[-1])


def test_the_package_and_its_rooms_are_light_to_import(project):
    rooms = ['recofm', *(f'recofm.{p.parent.name}' for p in sorted((project/'recofm').glob('*/__init__.py')))]
    assert loaded_by('import ' + ', '.join(rooms)) == []


def test_help_is_light(project):
    assert loaded_by("import sys; sys.argv = ['recofm', '--help']\nfrom recofm.cli import main\ntry: main()\nexcept SystemExit as e: assert not e.code") == []


def test_a_heavy_import_would_be_seen(): assert loaded_by('import matplotlib') == ['matplotlib']


def test_version_is_that_of_settings(project):
    import recofm
    config = ConfigParser(delimiters=['='])
    config.read(project/'settings.ini', encoding='utf-8')
    assert recofm.__version__ == config['DEFAULT']['version']


def test_every_room_is_a_package(project):
    "Without its `__init__.py` a folder would be left out of the wheel."
    assert all((p.parent/'__init__.py').is_file() for p in (project/'recofm').rglob('*.py'))


@pytest.fixture(scope='module')
def rebuilt(project, tmp_path_factory):
    "A copy of the project whose notebooks were cleaned and exported once more."
    copy = tmp_path_factory.mktemp('rebuilt')
    shutil.copy(project/'settings.ini', copy)
    ignore = shutil.ignore_patterns('.ipynb_checkpoints', '__pycache__')
    shutil.copytree(project/'nbs', copy/'nbs', ignore=ignore)
    (copy/'recofm').mkdir()
    shutil.copy(project/'recofm/__init__.py', copy/'recofm')       # the one module that no page exports
    for command in ('nbdev_clean', 'nbdev_export'):
        subprocess.run([Path(sys.executable).with_name(command)], cwd=copy, check=True)
    return copy


def files(folder, pattern): return sorted(p.relative_to(folder).as_posix() for p in folder.rglob(pattern) if '.ipynb_checkpoints' not in p.parts)


def differing(a, b, names): return filecmp.cmpfiles(a, b, names, shallow=False)[1]


def test_notebooks_are_clean(project, rebuilt):
    assert differing(project/'nbs', rebuilt/'nbs', files(project/'nbs', '*.ipynb')) == []


def test_modules_are_what_the_notebooks_export(project, rebuilt):
    assert files(project/'recofm', '*.py') == files(rebuilt/'recofm', '*.py')
    assert differing(project/'recofm', rebuilt/'recofm', files(project/'recofm', '*.py')) == []
