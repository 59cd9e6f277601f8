"What the page of MovieLens cannot show: servers, processes, permissions."
import hashlib
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pandas as pd
import pytest

from recofm.datasets import movielens
from recofm.datasets.movielens import (
    Dataset, Source, datasets, download, download_wheel, join, load, obtain,
    read_100k, store)

FILES = {'ml-100k/u.data': '1\t1\t5\t900000000\n2\t1\t3\t0\n',
         'ml-100k/u.user': '1|31|F|artist|10115\n2|24|M|student|05201\n',
         'ml-100k/u.item': '1|Quiet Harbour (1986) ||||0|1\n',
         'ml-100k/u.genre': 'unknown|0\nDrama|1\n'}


def pack():
    content = BytesIO()
    with ZipFile(content, 'w') as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    return content.getvalue()


WHOLE = pack()
SUM = hashlib.sha256(WHOLE).hexdigest()


def tiny(url, wait=5):
    "The data set of FILES, to be fetched from an address."
    fetch = partial(download, url, SUM, wait)
    return Dataset(2, 2, 1, 1, [Source('tiny.zip', fetch, read_100k)])


class Answers(BaseHTTPRequestHandler):
    "One path for each way in which a server can fail."
    def do_GET(self):
        if self.path == '/silent':
            return self.server.done.wait(20)
        if self.path == '/gone':
            return self.send_error(404)
        if self.path == '/nonsense':
            return self.wfile.write(b'no HTTP at all\r\n\r\n')
        if self.path == '/moved':
            self.send_response(302)
            self.send_header('Location', '/whole')
            return self.end_headers()
        self.send_response(200)
        self.send_header('Content-Length', str(len(WHOLE)))
        self.end_headers()
        self.wfile.write(WHOLE[:100] if self.path == '/truncated' else WHOLE)

    def log_message(self, *_): pass


@pytest.fixture
def direct(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')


@pytest.fixture
def server(direct):
    server = ThreadingHTTPServer(('127.0.0.1', 0), Answers)
    server.done = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.done.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_index(monkeypatch):
    "pip with an index that nobody serves."
    for name in list(os.environ):
        if name.startswith('PIP_'): monkeypatch.delenv(name)
    monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
    monkeypatch.setenv('PIP_INDEX_URL', 'http://127.0.0.1:9/simple')


@pytest.fixture
def alone(direct, monkeypatch, tmp_path):
    "No folder of the reader's, an empty cache, and no answer from GroupLens."
    cache = tmp_path/'cache'
    monkeypatch.delenv('RECOFM_DATA', raising=False)
    monkeypatch.setattr(movielens, 'user_cache_path', lambda _: cache)
    for name, dataset in datasets.items():
        first, *others = dataset.sources
        _, checksum, *_ = first.fetch.args
        fetch = partial(download, f'http://127.0.0.1:9/{first.file}', checksum)
        nobody = first._replace(fetch=fetch)
        alone = dataset._replace(sources=(nobody, *others))
        monkeypatch.setitem(datasets, name, alone)
    return cache


@pytest.mark.parametrize('path', ['/whole', '/moved'])
def test_server_that_answers(server, path, tmp_path):
    assert len(obtain(tiny(server + path), [], tmp_path)) == 2
    assert [file.name for file in tmp_path.iterdir()] == ['tiny.zip']


@pytest.mark.parametrize('path, reason', [
    ('/gone', '404'), ('/truncated', '100 of'), ('/silent', 'timed out'),
    ('/nonsense', 'no HTTP at all')])
def test_server_that_fails(server, path, reason, tmp_path):
    failing = tiny(server + path, wait=.5)
    with pytest.raises(ConnectionError, match=reason):
        obtain(failing, [], tmp_path/'cache')
    assert not (tmp_path/'cache').exists()


def test_nothing_reachable_lists_every_source(alone, no_index, tmp_path):
    with pytest.raises(ConnectionError) as caught:
        load('ml-100k', tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 7
    assert 'recbole==1.2.1' in lines[-1] and 'refused' in lines[-2]
    assert all(str(tmp_path) in line for line in lines[1:5])
    assert not alone.exists()


def test_python_without_pip(alone, monkeypatch, tmp_path):
    make_venv = [sys.executable, '-m', 'venv', '--without-pip']
    subprocess.run([*make_venv, tmp_path/'venv'], check=True)
    pythons = (tmp_path/'venv').glob('*/python*')
    python = next(path for path in pythons if path.stem == 'python')
    monkeypatch.setattr(sys, 'executable', str(python))
    with pytest.raises(ConnectionError, match='No module named pip'):
        load('ml-100k')


def test_broken_file_is_reported_and_kept(alone, monkeypatch, tmp_path):
    broken = tmp_path/'ml-1m.zip'
    broken.write_bytes(WHOLE[:50])
    monkeypatch.setenv('RECOFM_DATA', str(tmp_path))
    said = 'ml-1m.zip: Expected a whole zip archive; Received: 50 bytes'
    with pytest.raises(ValueError, match=said):
        load('ml-1m')
    assert broken.read_bytes() == WHOLE[:50]


def used_without_cache(server, cache):
    "The data come although they cannot be kept, and a warning says so."
    with pytest.warns(UserWarning, match='could not be kept'):
        assert len(obtain(tiny(server + '/whole'), [], cache)) == 2


bound = hasattr(os, 'geteuid') and os.geteuid() != 0


@pytest.mark.skipif(not bound, reason='permissions do not bind this user')
def test_cache_that_may_not_be_written(server, tmp_path):
    tmp_path.chmod(0o500)
    used_without_cache(server, tmp_path/'cache')
    tmp_path.chmod(0o700)


def test_cache_that_is_no_folder(server, tmp_path):
    (tmp_path/'cache').write_text('mine')
    used_without_cache(server, tmp_path/'cache')
    assert (tmp_path/'cache').read_text() == 'mine'


def test_failed_write_leaves_nothing(monkeypatch, tmp_path):
    def full(*_): raise OSError('disk full')
    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(OSError, match='disk full'):
        store(tmp_path/'tiny.zip', WHOLE)
    assert not list(tmp_path.iterdir())


def test_stopped_process_leaves_the_old_file(tmp_path):
    (tmp_path/'tiny.zip').write_bytes(WHOLE)
    code = ('import os, sys, pathlib\n'
            'from recofm.datasets.movielens import store\n'
            'os.replace = lambda *_: os._exit(9)\n'
            'store(pathlib.Path(sys.argv[1]), b"new")')
    command = [sys.executable, '-c', code, tmp_path/'tiny.zip']
    assert subprocess.run(command).returncode == 9
    assert (tmp_path/'tiny.zip').read_bytes() == WHOLE


def test_several_processes_fetch_at_once(tmp_path):
    (tmp_path/'source.zip').write_bytes(WHOLE)
    code = ('import sys\n'
            'from functools import partial\n'
            'from recofm.datasets.movielens import *\n'
            '_, url, checksum, cache = sys.argv\n'
            'fetch = partial(download, url, checksum)\n'
            'sources = (Source("tiny.zip", fetch, read_100k),)\n'
            'assert len(obtain(Dataset(2, 2, 1, 1, sources), [], cache)) == 2')
    url, cache = (tmp_path/'source.zip').as_uri(), tmp_path/'cache'
    command = [sys.executable, '-c', code, url, SUM, cache]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert [file.name for file in cache.iterdir()] == ['tiny.zip']
    assert (cache/'tiny.zip').read_bytes() == WHOLE


def test_import_is_without_tensorflow():
    code = ('import sys, recofm.datasets.movielens\n'
            'assert not {"tensorflow", "keras"} & set(sys.modules)')
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.fixture(scope='module')
def wheel():
    source = datasets['ml-100k'].sources[1]
    try: return source.fetch()
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f'recbole 1.2.1 could not be had from the index: {error}')


def test_wheel_has_another_hash(wheel):
    with pytest.raises(OSError, match='(?i)hash'):
        download_wheel('recbole==1.2.1', '0' * 64)


def test_wheel_is_fetched_where_the_official_address_fails(wheel, alone):
    frame = load('ml-100k')
    names = [file.name for file in alone.iterdir()]
    assert names == ['recbole-1.2.1-py3-none-any.whl']
    assert frame.shape == (100_000, 11) and frame.year.isna().sum() == 9
    movies = frame.drop_duplicates('movie_id').set_index('movie_id')
    assert movies.title[267] == 'unknown' and movies.year.isna().sum() == 1
    title = 'Land Before Time III: The Time of the Great Giving'
    assert movies.title[1412] == title and movies.year[1412] == 1995


def test_both_sources_give_one_table(wheel):
    dataset, folder = datasets['ml-100k'], os.environ.get('RECOFM_DATA')
    official, recbole = dataset.sources
    try:
        if folder:
            archive = (Path(folder)/official.file).read_bytes()
        else:
            archive = official.fetch()
    except OSError as error:
        pytest.skip(f'ml-100k.zip can neither be read nor fetched: {error}')
    one = join(*official.read(archive), dataset)
    other = join(*recbole.read(wheel), dataset)
    pd.testing.assert_frame_equal(one, other)
