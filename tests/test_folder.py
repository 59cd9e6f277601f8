"A folder is whole, or as it was; and what nobody marked is nobody's to touch."
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recofm.serving.folder import (
    add_report, check_place, content_of, current, locked, mark, put,
    report_names, somewhere, workspace)


def test_asking_for_a_place_imports_nothing_heavy():
    code = """
check_place('anywhere')
print([n for n in ('numpy', 'pandas', 'keras', 'tensorflow', 'h5py')
       if n in sys.modules])"""
    assert in_process(code) == '[]\n'


def written(folder, content, **files):
    "Put a folder of this content where the folder is."
    with locked(folder) as space:
        (space/'new').mkdir()
        for name, text in files.items():
            (space/'new'/f'{name}.json').write_text(text)
        text = json.dumps(content)
        (space/'new'/'artifact.json').write_text(text)
        put(space, folder)


def snapshot(folder):
    "Every file below a folder, with what it holds."
    return {p.relative_to(folder).as_posix(): p.is_file() and p.read_bytes()
            for p in sorted(Path(folder).rglob('*'))}


@pytest.fixture
def strangers(tmp_path):
    "Folders of somebody else's, named as recofm's were or are."
    for name in ('.o.old', '.o.1234abcd', '.o.recofm'):
        for inside in ('new', 'old'):
            (tmp_path/name/inside).mkdir(parents=True)
            text = '{"format": 2, "report": []}'
            (tmp_path/name/inside/'artifact.json').write_text(text)
    return tmp_path


def test_a_stranger_with_the_name_of_the_workspace_is_left_alone(strangers):
    before = snapshot(strangers)
    for refused in (check_place, lambda f: written(f, dict(n=1))):
        with pytest.raises(ValueError, match='bears no mark'):
            refused(strangers/'o')
    assert current(strangers/'o') == strangers/'o'
    assert snapshot(strangers) == before


@pytest.mark.parametrize('lock', [b'', b'notes\n', mark[:-1], b'x' + mark])
def test_a_lock_without_the_mark_marks_nothing(strangers, lock):
    (strangers/'.o.recofm'/'lock').write_bytes(lock)
    before = snapshot(strangers)
    with pytest.raises(ValueError, match='bears no mark'):
        written(strangers/'o', dict(n=1))
    assert snapshot(strangers) == before


def test_strangers_with_other_names_are_left_alone(strangers):
    (strangers/'.o.recofm').rename(strangers/'.p.recofm')
    before = snapshot(strangers)
    for n in range(2): written(strangers/'o', dict(n=n))
    after = snapshot(strangers)
    assert {k: v for k, v in after.items() if not k.startswith('o')} == before


@pytest.mark.parametrize('link', ['.o.recofm', '.o.recofm/lock'])
def test_a_link_is_no_workspace(tmp_path, link):
    aim = tmp_path/'elsewhere'
    aim.mkdir()
    (aim/'lock').write_bytes(mark + b'\n')
    (tmp_path/link).parent.mkdir(exist_ok=True)
    (tmp_path/link).symlink_to(aim/'lock' if 'lock' in link else aim)
    with pytest.raises(ValueError, match='bears no mark'):
        written(tmp_path/'o', dict(n=1))
    assert (aim/'lock').read_bytes() == mark + b'\n'


@pytest.mark.parametrize('stops', ['mkdir', 'open', 'sign'])
def test_a_workspace_whose_making_was_cut_off_is_taken_over(tmp_path, stops):
    space = workspace(tmp_path/'o')
    space.mkdir()
    if stops != 'mkdir': (space/'lock').touch()
    if stops == 'sign': (space/'lock').write_bytes(mark + b'\nproc')
    written(tmp_path/'o', dict(n=1))
    assert os.listdir(tmp_path) == ['o']


def test_what_a_run_keeps_outlives_it(tmp_path):
    with locked(tmp_path/'o') as space: (space/'state.npz').write_bytes(b'1')
    for n in range(2): written(tmp_path/'o', dict(n=n))
    assert snapshot(space)['state.npz'] == b'1'
    with locked(tmp_path/'o'): os.remove(space/'state.npz')
    assert os.listdir(tmp_path) == ['o']


def test_only_the_thread_that_holds_it_enters_again(tmp_path):
    from concurrent.futures import ThreadPoolExecutor
    with locked(tmp_path/'o'), ThreadPoolExecutor(1) as pool:
        done = pool.submit(written, tmp_path/'o', dict(n=1))
        with pytest.raises(ValueError, match=f'process {os.getpid()} on'):
            done.result()
        written(tmp_path/'o', dict(n=2))
    assert content_of(tmp_path/'o') == dict(n=2)


def test_a_fork_holds_nothing_and_ends_nothing(tmp_path):
    folder = tmp_path/'o'
    with locked(folder):
        if not (child := os.fork()):
            try: written(folder, dict(n=1))
            except ValueError as e:
                os._exit(0 if f'process {os.getppid()} on' in str(e) else 1)
            finally: os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(ValueError, match='held by process'):
            in_process('locked(sys.argv[1]).__enter__()', folder)
    written(folder, dict(n=2))


def in_process(code, *arguments):
    "Run code in a process of its own; its `ValueError` is raised here."
    lines = ['import sys', 'from recofm.serving.folder import *', code]
    command = [sys.executable, '-c', '\n'.join(lines), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if run.returncode: raise ValueError(run.stderr.splitlines()[-1])
    return run.stdout


def test_a_fork_that_lives_on_locks_nobody_out(tmp_path):
    "As a worker that loads data, when the run that started it is killed."
    code = """
import os, time
with locked(sys.argv[1]):
    if child := os.fork():
        print(child, flush=True)
        os._exit(0)
    os.close(1), os.close(2)
    time.sleep(60)
"""
    child = int(in_process(code, tmp_path/'o'))
    try: written(tmp_path/'o', dict(n=1))
    finally: os.kill(child, signal.SIGKILL)


def test_the_holder_is_named_with_the_time(tmp_path):
    with locked(tmp_path/'o'):
        since = r'since \d{4}(-\d\d){2} \d\d:\d\d'
        said = r'Received \S+/o, held by process \d+ on \S+ ' + since
        with pytest.raises(ValueError, match=said):
            in_process('locked(sys.argv[1]).__enter__()', tmp_path/'o')


def test_many_processes_leave_one_whole_folder(tmp_path):
    "Those that come while another is at work are refused, and no other way."
    code = """
import time
done = 0
print('begun', flush=True)
sys.stdin.readline()
for n in range(40):
    try:
        with locked(sys.argv[1]) as space:
            (space/'new').mkdir()
            (space/'new'/'artifact.json').write_text(sys.argv[2])
            (space/'new'/'schema.json').write_text(sys.argv[2])
            put(space, Path(sys.argv[1]))
        done += 1
    except ValueError as e: assert 'held by' in str(e), e
print(done)
"""
    lines = 'import sys\nfrom recofm.serving.folder import *\n'
    lines += 'from pathlib import Path\n'
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    runs = [subprocess.Popen(
        [sys.executable, '-c', lines + code, tmp_path/'o', f'{{"n": {n}}}'],
        **pipes) for n in range(4)]
    for run in runs: run.stdout.readline()
    done = [run.communicate('go\n', timeout=60)[0] for run in runs]
    assert all(run.returncode == 0 for run in runs)
    assert sum(map(int, done)) > 0
    assert os.listdir(tmp_path) == ['o']
    found = snapshot(tmp_path/'o')
    assert found['artifact.json'] == found['schema.json']


saves = """
from pathlib import Path
folder = Path(sys.argv[1])
n = content_of(current(folder)).get('n', 0)
print('begun', flush=True)
while True:
    n += 1
    with locked(folder) as space:
        (space/'new').mkdir()
        (space/'new'/'artifact.json').write_text('{"n": %d}' % n)
        for name in ('model.keras', 'schema.json'):
            (space/'new'/name).write_bytes(b'%d' % n * 1000)
        put(space, folder)
"""


@pytest.mark.parametrize('times', [
    20, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_at_any_moment_old_or_new(tmp_path, times):
    chance, n = random.Random(0), 0
    code = 'import sys\nfrom recofm.serving.folder import *\n' + saves
    for _ in range(times):
        run = subprocess.Popen([sys.executable, '-c', code, tmp_path/'o'],
                               stdout=subprocess.PIPE)
        run.stdout.readline()
        time.sleep(chance.uniform(0, .03))
        run.kill()
        run.communicate()
        folder = current(tmp_path/'o')
        if not folder.exists():
            assert n == 0
            continue
        found = content_of(folder)['n']
        assert found >= n
        n = found
        for name in ('model.keras', 'schema.json'):
            assert (folder/name).read_bytes() == b'%d' % n * 1000
    written(tmp_path/'o', dict(n=n + 1))
    assert n and os.listdir(tmp_path) == ['o']


def test_what_takes_the_name_meanwhile_stays_and_so_does_the_old(tmp_path):
    "Cut off between the renames; then somebody makes the folder anew."
    folder = tmp_path/'o'
    written(folder, dict(n=1))
    space = workspace(folder)
    space.mkdir()
    (space/'lock').write_bytes(mark + b'\n')
    folder.rename(space/'old')
    folder.mkdir()
    (folder/'thesis.tex').touch()
    with pytest.warns(match='former artifact lies in .*o-1 now'):
        with pytest.raises(ValueError, match='thesis.tex'):
            written(folder, dict(n=2))
    assert content_of(tmp_path/'o-1') == dict(n=1)
    assert os.listdir(folder) == ['thesis.tex']


def test_the_files_reach_the_disk_before_their_names(tmp_path, monkeypatch):
    done, rename, fsync = [], Path.rename, os.fsync
    def noted(self, target):
        done.append(f'{self.name} to {target.name}')
        return rename(self, target)
    def synced(fd):
        done.append(os.readlink(f'/proc/self/fd/{fd}').rpartition('/')[2])
        return fsync(fd)
    written(tmp_path/'o', dict(n=1))
    monkeypatch.setattr(Path, 'rename', noted)
    monkeypatch.setattr(os, 'fsync', synced)
    written(tmp_path/'o', dict(n=2), schema='{}')
    assert sorted(done[:2]) == ['artifact.json', 'schema.json']
    assert done[2:] == ['new', 'o to old', 'new to o', tmp_path.name]


@pytest.mark.parametrize('name', [
    '../up', 'a/b', 'a\\b', '..', '.', '', '.hidden', 'model.keras',
    'MODEL.keras', 'artifact.json', 'earlier-report', 'a\nb', 'a\0b', 'a' * 300,
    '\ud800', None, 3, b'm', 'C:x', 'trailing '])
def test_a_report_cannot_leave_the_folder_or_be_a_part(tmp_path, name):
    written(tmp_path/'o', dict(report=[]))
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match='Received ') as refused:
        add_report(tmp_path/'o', {name: b'x', 'fine.txt': b'y'})
    assert len(str(refused.value).splitlines()) == 1
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize('listed', [
    '../x', ['../x'], [1], [[]], {}, 7, ['x', '..'], None, 'x'])
def test_a_list_that_recofm_did_not_write_frees_nothing(tmp_path, listed):
    (tmp_path/'o').mkdir()
    (tmp_path/'o'/'x').touch()
    content = json.dumps(dict(report=listed, earlier=listed))
    (tmp_path/'o'/'artifact.json').write_text(content)
    assert report_names(tmp_path/'o') == []
    with pytest.raises(ValueError, match=r"also holds \['x'\]"):
        check_place(tmp_path/'o')


def test_a_report_is_added_whole_or_not_at_all(tmp_path, monkeypatch):
    written(tmp_path/'o', dict(report=['a']), schema='{}')
    before, write = snapshot(tmp_path), Path.write_bytes
    def full(self, data):
        if self.name == 'c': raise OSError(28, 'No space left on device')
        return write(self, data)
    monkeypatch.setattr(Path, 'write_bytes', full)
    with pytest.raises(OSError, match='No space left'):
        add_report(tmp_path/'o', dict(b=b'1', c=b'2'))
    assert snapshot(tmp_path) == before
    files = dict(b=b'1')
    add_report(tmp_path/'o', files)
    assert files == dict(b=b'1')
    assert report_names(tmp_path/'o') == ['a', 'b']
    assert os.listdir(tmp_path) == ['o']


def test_a_folder_whose_parent_cannot_be_written_is_refused_early(tmp_path):
    "Renaming happens there; it was known only after the training."
    if os.geteuid() == 0: pytest.skip('root may write anywhere')
    (tmp_path/'o').mkdir()
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(ValueError, match='folder that can be written'):
            check_place(tmp_path/'o')
    finally: tmp_path.chmod(0o755)


def test_the_places_to_try(tmp_path):
    for name in ('o', 'o-1', 'o-3'): (tmp_path/name).mkdir()
    near = [p for p in somewhere(tmp_path/'o') if p.parent == tmp_path]
    assert [p.name for p in near] == ['o', 'o-2', 'o-4']
    assert len(list(somewhere(tmp_path/'o'))) == 4
    assert len(list(somewhere('/'))) == 2


def test_links_that_lead_in_a_circle_are_said(tmp_path):
    from recofm.serving import Artifact
    from recofm.serving.folder import check_place
    (tmp_path/'loop').symlink_to('loop')
    for door in check_place, Artifact.load:
        with pytest.raises(ValueError, match='Expected .*loop'):
            door(tmp_path/'loop')


def test_a_disk_that_is_full_from_the_start_is_named(tmp_path, monkeypatch):
    from recofm.serving import folder as page
    def full(fd): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(page, 'sign', full)
    said = f'Received .*{tmp_path.name}.*: No space left on device'
    with pytest.raises(ValueError, match=said):
        with page.locked(tmp_path/'out'): pass
    assert os.listdir(tmp_path) == []


def test_places_that_take_nothing_are_left_as_they_were(
        tmp_path, monkeypatch):
    from recofm.serving import folder as page
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path/'temporary'))
    (tmp_path/'temporary').mkdir()
    for place in page.somewhere(tmp_path/'out'):
        with page.locked(place): pass
    assert [p.name for p in tmp_path.rglob('*')] == ['temporary']
