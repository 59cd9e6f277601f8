"""The service as its callers meet it: hostile bodies, a real server from its
first line to its last, and the page in Chromium, in the light and in the
dark, on a desk and on a phone."""
import importlib
import json
import math
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from threading import Thread
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip('fastapi', reason="recofm's extra 'serve' is missing")
with warnings.catch_warnings(action='ignore'):
    from fastapi.testclient import TestClient

seen = dict(user_id=2, age=40, city='Rome', movie_id=20, genres='Drama|War',
            title='The War', tags={'slow': .5}, clicked=['f1'], hour='7')


@pytest.fixture(scope='module')
def artifact():
    "A model of columns of many kinds, with random weights."
    from recofm.data.schema import Schema
    from recofm.models.fm import FM
    from recofm.models.oracle import randomized
    from recofm.serving import Artifact, Catalogue
    rng, n = np.random.default_rng(0), 400
    def some(*values): return rng.choice(np.array(values, object), n)
    user, film = rng.integers(1, 41, n), rng.integers(1, 31, n)
    frame = pd.DataFrame(dict(
        user_id=user, age=18. + user, city=np.array(['Rome', 'Oslo', None])
        [user % 3], movie_id=film, title=[f'The {i} of War' for i in film],
        genres=np.array(['Comedy', 'Drama|War', ''])[film % 3],
        tags=some('slow:2|long:.5', 'long'), clicked=some('f1|f2', 'f3'),
        hour=some('7', '20'), liked=rng.integers(0, 2, n)))
    schema = Schema.fit(
        frame, 'liked', user=['user_id', 'age', 'city'], dim=4,
        item=['movie_id', 'genres', 'title', 'tags'],
        context=['hour', 'clicked'], numeric='age', multi='genres',
        text='title', weighted='tags', recent=dict(clicked=2))
    catalogue = Catalogue.fit(frame, schema)
    return Artifact(randomized(FM(schema.fields)), schema, catalogue)


@pytest.fixture(scope='module')
def app(artifact):
    from recofm.serving.service import app_of
    from recofm.serving.web_page import with_page
    return with_page(app_of(artifact, rows=100, bytes=100_000))


@pytest.fixture(scope='module')
def client(app):
    with TestClient(app) as client: yield client


def not_strict(word): raise ValueError(f'Expected strict JSON. Received {word}')


def answer(client, path, text):
    "Status and answer of a body as it stands; the answer is strict JSON."
    head = {'Content-Type': 'application/json'}
    found = client.post(path, content=text, headers=head)
    return found.status_code, json.loads(found.text, parse_constant=not_strict)


def check_refusal(status, found):
    "It is the caller's mistake, and each is said in words, and where."
    assert 400 <= status < 500, found
    assert found['detail'] and set(found) == {'detail'}
    for one in found['detail']:
        assert set(one) == {'type', 'loc', 'msg'}
        assert 10 < len(one['msg']) <= 500 and '\n' not in one['msg']


def check_answer(status, found):
    "A refusal, or numbers and names."
    if status != 200: return check_refusal(status, found)
    assert isinstance(found.pop('notes'), list)
    numbers = found.get('scores') or [o['score'] for o in found.get(
        'items', [])] or [found.get('total', 0.)]
    assert all(map(math.isfinite, numbers))


paths = '/score', '/recommend', '/explain'
good = {'/score': dict(rows=[seen]), '/recommend': dict(user=2, k=3),
        '/explain': dict(user=2, item=20)}


@pytest.mark.parametrize('path', paths)
def test_a_good_body_is_answered(client, path):
    status, found = answer(client, path, json.dumps(good[path]))
    assert status == 200, found
    check_answer(status, found)


texts = ['', ' ', '{', 'null', '7', '"rows"', '[]', '{}', '[' * 9_000,
         '{"rows":' * 5_000, '{"rows": [1]}', '{"rows": {}}', '{"rows": [[]]}',
         '{"rows": [null]}', '{"rows": [{}]}', '{"rows": [NaN]}',
         '{"user": NaN}', '{"user": 1e999}', '{"user": -Infinity}',
         '{"user": ' + '9' * 5_000 + '}', '{"user": true}', '{"user": [2]}',
         '{"user": {}}', '{"user": "\\ud800"}', '{"user": "\\u0000"}',
         '{"\\ud800": 1}', '{"row": {"\\ud800": 1}}', '{"row": {"": 1}}',
         '{"user": 2, "k": 1e3}', '{"user": 2, "k": -1}',
         '{"user": 2, "k": 99999999999999999999}', '{"user": 2, "k": "x"}',
         '{"user": 2, "items": 7}', '{"user": 2, "items": [[7]]}',
         '{"user": 2, "items": ["x"]}', '{"user": 2, "where": {"genres": []}}',
         '{"user": 2, "where": {"genres": [null]}}',
         '{"user": 2, "where": {"\\ud800": "x"}}', '{"history": []}',
         '{"history": {}}', '{"history": {"20": NaN}}',
         '{"history": {"20": 1e308}}', '{"history": [20, 20]}',
         '{"user": 2, "context": {"hour": [[]]}}', '{"user": 2, "row": {}}',
         '{"user": 2, "context": {"hours": 7}}', '{"user": 2, "item": 99}',
         '{"item": 20}', '{"user": 2, "item": 20, "rather_than": []}']


@pytest.mark.parametrize('path', paths)
@pytest.mark.parametrize('text', texts, ids=lambda t: t[:40])
def test_what_json_can_say_ends_in_a_sentence(client, path, text):
    check_answer(*answer(client, path, text))


cells = [math.nan, math.inf, 1e308, -1e308, 5e-324, 2**63, -2**63, 2**63 - 1,
         10**400, True, '', ' ', 'x' * 9_000, '\ud83d', '\x00', '|', ':', [],
         [None], [[]], ['x'] * 3_000, [1, 'x'], [1e308], {}, {'x': None},
         {'x': 'y'}, {'x': 1e308}, {'x': [1]}, {'': 1}, None, '1e999', '٣']


def try_cells(client, name, bodies):
    "Ask with each strange cell in a column, in each of the bodies."
    for cell in cells:
        for path, body in bodies({name: cell}):
            check_answer(*answer(client, path, json.dumps(body)))


def in_rows(cell): yield '/score', dict(rows=[seen, seen | cell, seen])


def everywhere(cell):
    "The cell in every place that takes one."
    yield '/score', dict(rows=[seen | cell])
    yield '/score', dict(rows=[seen | cell], notes=True)
    yield '/explain', dict(row=seen | cell)
    for body in dict(row=cell), dict(user=2, context=cell):
        yield '/recommend', body
        yield '/explain', body | dict(item=20)


each_column = pytest.mark.parametrize('name', [*seen])


@each_column
def test_no_cell_brings_it_down(client, name):
    try_cells(client, name, in_rows)


@pytest.mark.slow
@each_column
def test_no_cell_anywhere_brings_it_down(client, name):
    try_cells(client, name, everywhere)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(
        [o for o in cells if not isinstance(o, (list, dict))])
    | st.text(st.characters(), max_size=9),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*seen]) | st.text(max_size=3), inner,
                      max_size=3), max_leaves=6)
words = ['rows', 'row', 'user', 'item', 'history', 'k', 'seen', 'context',
         'items', 'where', 'exclude', 'diversity', 'rather_than', 'notes']
changes = st.dictionaries(st.sampled_from(words), anything, max_size=3)
wrong_rows = st.lists(st.builds(
    lambda row: seen | row, st.dictionaries(st.sampled_from([*seen]), anything,
                                            max_size=2)), max_size=3)
bodies = anything | changes | st.builds(
    lambda path, change: good[path] | change, st.sampled_from(paths), changes
) | st.fixed_dictionaries(dict(rows=wrong_rows))


def hostile(client, examples):
    @settings(max_examples=examples, deadline=None, derandomize=True,
              database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(paths), bodies)
    def check(path, body):
        check_answer(*answer(client, path, json.dumps(body)))
    check()


def test_bodies_that_nobody_thought_of(client): hostile(client, 40)


@pytest.mark.slow
def test_many_bodies_that_nobody_thought_of(client): hostile(client, 5_000)


def test_joined_answers_are_those_one_by_one(artifact, client):
    rng = np.random.default_rng(0)
    asked = [[seen | dict(user_id=int(rng.integers(99)), hour=str(h % 24))]
             * int(rng.integers(1, 4)) for h in range(60)]
    asked[9], asked[30] = [dict(seen, age='old')], [dict(user_id=2)]
    def post(rows): return client.post('/score', json=dict(rows=rows))
    with ThreadPoolExecutor(16) as callers: found = [*callers.map(post, asked)]
    for n, (rows, one) in enumerate(zip(asked, found)):
        assert (one.status_code == 200) == (n not in (9, 30))
        if one.status_code != 200: continue
        np.testing.assert_allclose(one.json()['scores'], artifact.score(rows),
                                   rtol=1e-6)


def test_the_openapi_names_every_path_and_none_writes(client):
    found = client.get('/openapi.json').json()
    methods = {m for path in found['paths'].values() for m in path}
    assert methods == {'get', 'post'}
    assert {*paths, '/health', '/users'} <= set(found['paths'])
    for path in paths:
        for method in 'put', 'delete', 'patch':
            said = getattr(client, method)(path)
            check_refusal(said.status_code, said.json())


def test_health_says_versions_and_no_place(client, artifact):
    found = client.get('/health').json()
    assert set(found) == {'model', 'fields', 'catalogue', 'versions'}
    names = [f['name'] for f in found['fields']]
    assert names == [f.name for f in artifact.schema.fields]
    assert not re.search(r'/|\\\\', json.dumps(found))


def test_where_the_extra_is_missing_it_is_named():
    name = 'recofm.serving.service'
    kept = sys.modules.pop(name)
    try:
        with (mock.patch.dict(sys.modules, fastapi=None),
              pytest.raises(ImportError) as told): importlib.import_module(name)
    finally: sys.modules[name] = kept
    assert 'pip install "recofm[serve]"' in str(told.value)


def mistake(*words):
    "What the command in this process ends with."
    from recofm.cli import main
    with pytest.raises(SystemExit) as e: main(['serve', *map(str, words)])
    assert len(str(e.value.code).splitlines()) == 1
    return e.value.code


def test_mistakes_on_the_command_line_are_one_line(artifact, tmp_path):
    artifact.save(tmp_path/'run')
    with socket.create_server(('127.0.0.1', 0)) as other:
        port = other.getsockname()[1]
        said = mistake(tmp_path/'run', '--port', port)
    assert said.startswith(f'recofm: Expected --host 127.0.0.1 --port {port}')
    assert said.endswith('to be free. Received: Address already in use')
    assert 'Expected an artifact in' in mistake(tmp_path/'none')
    assert '--max-rows must be a whole' in mistake('x', '--max-rows', 0)
    lacking = mock.patch('recofm.cli.serve.find_spec', lambda name: None)
    with lacking: said = mistake(tmp_path/'run')
    lacks = "recofm: Expected the package 'fastapi'. Received: A server needs"
    assert said == f'{lacks} fastapi: pip install "recofm[serve]"'


real = 'from recofm.cli import main; main()'
stub = """
from types import SimpleNamespace
from unittest import mock
import numpy as np
from recofm.cli import main

class Stub:
    model, schema, catalogue = None, SimpleNamespace(columns=[]), None
    def score(self, rows): return np.full(len(rows), .25)
    def recommend(self, **asked): raise ValueError('Expected a catalogue')

with mock.patch('recofm.cli.serve.loaded', lambda folder: Stub()): main()
"""    # without TensorFlow, of which the import costs most


@contextmanager
def command(code, *words):
    "`recofm serve` in a process of its own, and what it printed first."
    start = [sys.executable, '-c', code, 'serve', *map(str, words)]
    process = subprocess.Popen(start, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    try: yield process, process.stdout.readline()
    finally:
        process.kill()
        process.wait(20)


def ends_by(number, said, status, code, folder, expected):
    """A server that is asked to end answers who has begun to ask.

    The body of the last request arrives after the signal."""
    words = folder, '--port', 0, '--max-rows', 3
    with command(code, *words) as (server, line):
        host, port = re.search(r'http://([\d.]+):(\d+) ', line).groups()
        caller = HTTPConnection(host, int(port), timeout=60)
        head = {'Content-Type': 'application/json'}
        caller.request('POST', '/score', json.dumps(good['/score']), head)
        scores = json.loads(caller.getresponse().read())['scores']
        np.testing.assert_allclose(scores, expected, rtol=1e-6)
        four = json.dumps(dict(rows=[seen] * 4))
        caller.request('POST', '/score', four, head)
        assert b'Expected 1 to 3 rows' in caller.getresponse().read()
        body = json.dumps(good['/score']).encode()
        caller.putrequest('POST', '/score')
        for name, value in (*head.items(), ('Content-Length', len(body))):
            caller.putheader(name, value)
        caller.endheaders(body[:9])
        time.sleep(.3)
        server.send_signal(number)
        time.sleep(.3)
        caller.send(body[9:])
        again = json.loads(caller.getresponse().read())['scores']
        assert again == scores
        assert server.wait(30) == status
        told = server.stderr.read().splitlines()
        assert told[-1] == f'recofm: {said}' and 'Traceback' not in told
        with pytest.raises(OSError):
            HTTPConnection(host, int(port), timeout=5).connect()


endings = {signal.SIGTERM: ('Ended by SIGTERM', 143),
           signal.SIGINT: ('Ended by Ctrl-C', 130)}


@pytest.mark.parametrize('number', [
    signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_server_answers_until_it_is_ended(artifact, tmp_path, number):
    artifact.save(tmp_path/'run')
    ends_by(number, *endings[number], stub, tmp_path/'run', [.25])


@pytest.mark.slow
@pytest.mark.parametrize('number', endings)
def test_so_does_one_with_a_model(artifact, tmp_path, number):
    artifact.save(tmp_path/'run')
    expected = artifact.score([seen])
    ends_by(number, *endings[number], real, tmp_path/'run', expected)


@pytest.fixture(scope='module')
def address(app):
    "The application behind a server in a thread of this process."
    from recofm.cli.serve import address_of, server_of, taken
    held = taken('127.0.0.1', 0)
    held.listen()
    server = server_of(app)
    thread = Thread(target=server.run, args=[[held]], daemon=True)
    thread.start()
    yield address_of(held)
    server.should_exit = True
    thread.join(20)


class Visitor:
    "A tab on the page, and what it asked for and complained of."
    def __init__(self, browser, address):
        self.tab, self.address = browser.new_page(), address
        self.asked, self.complaints = [], []
        self.tab.set_default_timeout(30_000)
        self.tab.on('request', lambda o: self.asked.append(o.url))
        self.tab.on('console', lambda o: self.complaints.append(o.text))
        self.tab.on('pageerror', lambda o: self.complaints.append(str(o)))

    def open(self, window, scheme='light'):
        self.asked.clear()
        self.complaints.clear()
        self.tab.emulate_media(color_scheme=scheme, reduced_motion='reduce')
        self.tab.set_viewport_size(window)
        self.tab.goto(f'{self.address}/')
        self.tab.locator('.reason.sum').wait_for()
        return self.tab

    def act(self, do, path='/explain'):
        "Do something, and wait for the answer that it brings."
        with self.tab.expect_response(f'**{path}'): do()
        self.tab.wait_for_timeout(50)

    def items(self):
        return self.tab.locator('#items .label').all_inner_texts()

    def reasons(self):
        lines = self.tab.locator('#items li').first.locator('.reason')
        return [re.split(r'\s*\n\s*', t) for t in lines.all_inner_texts()]


@pytest.fixture(scope='module')
def visitor(address):
    names = 'chromium', 'chromium-browser', 'google-chrome'
    found = next(filter(None, map(shutil.which, names)), None)
    if not found: pytest.skip('no chromium on PATH')
    api = pytest.importorskip('playwright.sync_api')
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found,
                                         args=['--disable-gpu'])
        yield Visitor(browser, address)
        browser.close()


DESK, PHONE = dict(width=1280, height=900), dict(width=390, height=844)


def labels(artifact, **asked): return artifact.recommend(**asked).label.tolist()


def test_a_user_is_chosen_and_the_reasons_are_read(visitor, artifact):
    tab = visitor.open(DESK)
    visitor.act(lambda: tab.locator('#like').fill('17'), '/users?like=17')
    visitor.act(lambda: tab.locator('#users').select_option('17'))
    assert visitor.items() == labels(artifact, user=17)
    best = artifact.recommend(17)
    why = artifact.explain(user=17, item=best.item[0].item())
    first, *_, last = visitor.reasons()
    add = why.terms.contribution[0]
    assert float(first[-1].replace('−', '-')) == pytest.approx(add, abs=.006)
    assert last[0] == 'sum, log-odds'
    assert float(last[-1].replace('−', '-')) == pytest.approx(why.total,
                                                              abs=.006)
    shown = tab.locator('#items .score').first.inner_text()
    assert float(shown) == pytest.approx(best.score[0], abs=.0006)
    assert visitor.complaints == []


def test_a_changed_value_moves_the_list_and_its_reasons(visitor, artifact):
    tab = visitor.open(DESK)
    visitor.act(lambda: tab.locator('#users').select_option('5'))
    before, reasons = visitor.items(), visitor.reasons()
    age = tab.locator('[name=age]')
    assert float(age.input_value()) == 23 and tab.locator(
        '[name=city]').input_value() == ''
    visitor.act(lambda: age.fill('90'), '/recommend')
    marked = re.compile('[▲▼]|new')
    tab.locator('#items .moved', has_text=marked).first.wait_for()
    told = dict(user_id=5, age=90)
    left_out = artifact.recommend(5, k=99).item.tolist()
    assert visitor.items() == labels(artifact, row=told, items=left_out)
    assert visitor.items() != before and visitor.reasons() != reasons
    visitor.act(lambda: tab.locator('#reset').click())
    assert visitor.items() == before
    assert visitor.complaints == []


def test_somebody_new_and_the_moment_are_told(visitor, artifact):
    tab = visitor.open(DESK)
    visitor.act(lambda: tab.locator('#new').click())
    assert visitor.items() == labels(artifact, row={})
    visitor.act(lambda: tab.locator('[name=city]').select_option('Oslo'))
    visitor.act(lambda: tab.locator('[name=hour]').select_option('20'))
    told = dict(row=dict(city='Oslo'), context=dict(hour='20'))
    assert visitor.items() == labels(artifact, **told)
    visitor.act(lambda: tab.locator('summary').nth(1).click())
    assert tab.locator('.reason.sum').count() >= 2
    assert visitor.complaints == []


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_stands_out_and_a_phone_shows_it_all(visitor, scheme):
    from test_browser import FAINT, SIDEWAYS
    for window in DESK, PHONE:
        tab = visitor.open(window, scheme)
        assert tab.evaluate(FAINT, 4.5) == tab.evaluate(SIDEWAYS) == []
    elsewhere = [o for o in visitor.asked
                 if not o.startswith((visitor.address + '/', 'data:'))]
    assert elsewhere == visitor.complaints == []


def test_the_service_words_are_shown_and_nothing_runs_in_them(visitor):
    tab = visitor.open(DESK)
    told = """(o) => {
      o.append(new Option('<img src=x>'));
      o.value = '<img src=x>';
    }"""
    tab.locator('[name=hour]').evaluate(told)
    visitor.act(lambda: tab.locator('[name=hour]').dispatch_event(
        'input', dict(bubbles=True)), '/recommend')
    said = tab.locator('#said')
    said.filter(has_text="'<img src=x>'").wait_for()
    assert said.locator('img').count() == 0 and visitor.complaints == []
