"""The rendered site as a reader meets it: every page is opened in Chromium, in
the light and in the dark, on a desk and on a phone.

Skipped where Playwright or a Chromium is missing; nothing is downloaded."""
import re, shutil
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

browsers = 'chromium', 'chromium-browser', 'google-chrome'
browser_path = next(filter(None, map(shutil.which, browsers)), None)
if not browser_path: pytest.skip('no chromium on PATH', allow_module_level=True)
playwright = pytest.importorskip(
    'playwright.sync_api', reason='playwright is not installed')

docs = Path(__file__).parents[1]/'docs'
html = sorted(docs.rglob('*.html'))
moved = [p for p in html if 'http-equiv="refresh"' in p.read_text('utf-8')]
names = [p.relative_to(docs).as_posix() for p in html if p not in moved]
each_page = pytest.mark.parametrize('name', names)
wherever = pytest.mark.parametrize('kind', ['served', 'file'])
DESK, PHONE = dict(width=1280, height=900), dict(width=390, height=844)

DARK = "document.documentElement.classList.contains('quarto-dark')"

CONTENT = """() => {
  const all = (css) => [...document.querySelectorAll(css)];
  const code = 'pre, code, script, style, .katex', text = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let o; (o = walk.nextNode());) {
    if (!o.parentElement.closest(code)) text.push(o.data);
  }
  const picture = (o) => ({
    alt: o.alt.trim(), width: o.naturalWidth, start: o.src.slice(0, 60) });
  const maths = all('span.math').filter((o) => !o.querySelector('.katex'));
  return {
    text: text.join(' '),
    unrendered: maths.map((o) => o.textContent),
    wrong: all('.katex-error').map((o) => o.textContent),
    pictures: all('img').map(picture),
  };
}"""

# What sticks out of the window counts although the layout cuts it off there;
# not what scrolls in a box of its own.
SIDEWAYS = """() => {
  const root = document.scrollingElement, width = root.clientWidth;
  const out = root.scrollWidth > width ? ['the page itself'] : [];
  const scrolls = (o) => {
    if (!o || o === document.body) return false;
    const flow = getComputedStyle(o).overflowX;
    return /auto|scroll/.test(flow) || scrolls(o.parentElement);
  };
  for (const o of document.querySelectorAll('main *, header *')) {
    if (o.closest('.katex-mathml, svg')) continue;
    const box = o.getBoundingClientRect();
    const inside = box.right <= width + 1 && box.left >= -1;
    if (!box.width || inside || scrolls(o)) continue;
    out.push(`${o.tagName} ${o.className} ${o.textContent.slice(0, 40)}`);
  }
  return out;
}"""

# Contrast as WCAG defines it, for each text and the backgrounds that lie below
# it.
FAINT = """(least) => {
  const colour = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    const unit = text.startsWith('color(srgb');
    return unit ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = ([r, g, b, a], below) =>
    [r, g, b].map((o, i) => o * a + below[i] * (1 - a));
  const linear = (o) =>
    o <= .04045 ? o / 12.92 : ((o + .055) / 1.055) ** 2.4;
  const light = (c) => {
    const [r, g, b] = c.map((o) => linear(o / 255));
    return r * .2126 + g * .7152 + b * .0722;
  };
  const grounds = new Map();
  const ground = (o) => {
    if (!o) return [255, 255, 255];
    if (!grounds.has(o)) {
      const own = colour(getComputedStyle(o).backgroundColor);
      grounds.set(o, over(own, ground(o.parentElement)));
    }
    return grounds.get(o);
  };
  const opacity = (o) =>
    o ? getComputedStyle(o).opacity * opacity(o.parentElement) : 1;
  const shown = (o) => !o.closest('script, style, .katex-mathml')
    && o.checkVisibility({ visibilityProperty: true });
  const contrast = (o) => {
    const [r, g, b, a] = colour(getComputedStyle(o).color), below = ground(o);
    const ink = over([r, g, b, a * opacity(o)], below);
    const [low, high] = [light(ink), light(below)].sort((x, y) => x - y);
    return (high + .05) / (low + .05);
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = new Map();
  for (let o; (o = walk.nextNode());) {
    const parent = o.parentElement, text = o.data.trim();
    if (!text || !shown(parent)) continue;
    const ratio = contrast(parent), around = parent.parentElement.className;
    if (ratio >= least) continue;
    const where = `${parent.tagName} ${parent.className} in ${around}`;
    faint.set(where, `${ratio.toFixed(2)} ${text.slice(0, 40)}`);
  }
  return [...faint].map((o) => o.join(': '));
}"""


@contextmanager
def served(folder):
    "A server of the folder at a free port; gives its address."
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    answers, anywhere = partial(Quiet, directory=folder), ('127.0.0.1', 0)
    with ThreadingHTTPServer(anywhere, answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


class Reader:
    "One tab of one browser; what it asked for and complained of on a page."
    def __init__(self, tab, hosts):
        self.tab, self.hosts, self.seen = tab, hosts, {}
        tab.on('console', self.on_console)
        tab.on('pageerror', lambda error: self.complaints.append(str(error)))
        tab.on('requestfailed', self.on_failure)
        tab.on('response', self.on_response)
        tab.on('request', lambda request: self.asked.append(request.url))

    def on_console(self, message):
        if message.type not in ('error', 'warning'): return
        self.complaints.append(message.text)

    def on_failure(self, request):
        # Aborted: left for the next page
        if request.failure == 'net::ERR_ABORTED': return
        self.complaints.append(f'{request.failure}: {request.url}')

    def on_response(self, response):
        if response.status < 400: return
        self.complaints.append(f'{response.status}: {response.url}')

    def open(self, name, kind='served', window=DESK, scheme='light'):
        self.complaints, self.asked = [], []
        self.tab.emulate_media(color_scheme=scheme, reduced_motion='reduce')
        self.tab.set_viewport_size(window)
        self.tab.goto(f'{self.hosts[kind]}/{name}')
        return self.tab

    def darken(self):
        self.tab.emulate_media(color_scheme='dark', reduced_motion='reduce')
        self.tab.wait_for_function(DARK)

    def files(self):
        "The files of the site that were asked for, and addresses elsewhere."
        host = self.hosts['served'] + '/'
        inside = [url for url in self.asked if url.startswith(host)]
        elsewhere = [url[:80] for url in self.asked
                     if url not in inside and not url.startswith('data:')]
        return {docs/urlsplit(url).path[1:] for url in inside}, elsewhere

    def visit(self, name):
        "All that the tests want to know about a page, from opening it once."
        if name in self.seen: return self.seen[name]
        tab = self.open(name, window=PHONE)
        found = tab.evaluate(CONTENT)
        found['sideways'] = tab.evaluate(SIDEWAYS)
        found['light'] = tab.evaluate(FAINT, 4.5)
        self.darken()
        files, found['elsewhere'] = self.files()
        found['dark'] = tab.evaluate(FAINT, 4.5)
        found['complaints'] = self.complaints
        found['size'] = sum(file.stat().st_size for file in files)
        self.seen[name] = found
        return found


@pytest.fixture(scope='module')
def reader():
    # Drawing by software in place of a GPU costs half the time
    how = dict(executable_path=browser_path, args=['--disable-gpu'])
    with served(docs) as host, playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(**how)
        tab = chromium.new_page()
        tab.set_default_timeout(120_000)
        yield Reader(tab, dict(served=host, file=docs.as_uri()))
        chromium.close()


@each_page
def test_it_opens_without_complaint(reader, name):
    assert reader.visit(name)['complaints'] == []


@each_page
def test_it_asks_no_other_host_and_is_light(reader, name):
    page = reader.visit(name)
    assert page['elsewhere'] == [] and page['size'] < 1_500_000


@each_page
def test_formulas_are_typeset(reader, name):
    page = reader.visit(name)
    assert page['unrendered'] == page['wrong'] == []
    raw = re.compile(r'\$[^\s$][^$]*\$|\\[a-zA-Z]+|\\[()\[\]]')
    assert raw.findall(page['text']) == []


@each_page
def test_pictures_load_and_say_what_they_show(reader, name):
    pictures = reader.visit(name)['pictures']
    assert [o for o in pictures if not o['width'] or not o['alt']] == []


@each_page
def test_text_stands_out_in_the_light(reader, name):
    assert reader.visit(name)['light'] == []


@each_page
def test_text_stands_out_in_the_dark(reader, name):
    assert reader.visit(name)['dark'] == []


@each_page
def test_a_phone_shows_its_whole_width(reader, name):
    assert reader.visit(name)['sideways'] == []


several = ['index.html', 'benchmarks.html', 'models/index.html',
           'models/fm.html']


@pytest.mark.parametrize('name', several)
def test_a_desk_shows_as_much_and_the_way_around_it(reader, name):
    tab = reader.open(name)
    assert tab.locator('#quarto-sidebar a.active').is_visible()
    assert tab.evaluate(SIDEWAYS) == tab.evaluate(FAINT, 4.5) == []
    reader.darken()
    assert tab.evaluate(FAINT, 4.5) == []


@wherever
@pytest.mark.parametrize('page', moved, ids=lambda p: p.name)
def test_an_old_address_leads_on(reader, kind, page):
    name = page.relative_to(docs).as_posix()
    tab = reader.open(name, kind)
    tab.wait_for_url(lambda url: not url.endswith(name))
    assert tab.locator('h1').is_visible()


@wherever
def test_search_finds_a_model_by_its_idea(reader, kind):
    tab = reader.open('index.html', kind)
    tab.locator('#quarto-search input').press_sequentially('attention')
    tab.locator('.search-result[href$="models/afm.html"]').first.click()
    tab.wait_for_url('**/models/afm.html*')
    assert tab.locator('h1').inner_text() == 'AFM'
    assert reader.complaints == []


FM, ADAM = 'models/fm.html', 'training/optimizers.html#sparseadam'
FIELD, LAST = 'data/fields.html#field', '#references'
ways = [
    ('index.html', f'#quarto-sidebar a[href="{FM}"]', FM),
    ('index.html', 'main a[href*="optimizers.html#sparseadam"]', ADAM),
    (FM, f'#TOC a[href="{LAST}"]', FM + LAST),
    (FM, f'.reference a[href$="{FIELD}"]', FIELD),
    (FM, '.nav-page-next a', 'models/hofm.html'),
    ('evaluation/metrics.html', '.navbar-brand', 'index.html')]


@wherever
@pytest.mark.parametrize('start, link, end', ways)
def test_links_arrive_below_the_header(reader, kind, start, link, end):
    tab = reader.open(start, kind)
    tab.locator(link).first.click()
    tab.wait_for_url(f'**/{end}')
    if anchor := urlsplit(end).fragment:
        header = tab.locator('#quarto-header').bounding_box()
        target = tab.locator(f'[id="{anchor}"]').bounding_box()
        assert header['height'] <= target['y'] < DESK['height']
    assert reader.complaints == []


def test_the_notebook_is_a_download(reader):
    tab, notebook = reader.open(FM), docs/'models'/'20_fm.ipynb'
    with tab.expect_download() as waiting:
        tab.locator('.notebook-link').click()
    assert waiting.value.suggested_filename == notebook.name
    got = Path(waiting.value.path()).read_bytes()
    assert got == notebook.read_bytes()


def test_light_and_dark_are_a_choice_that_stays(reader):
    ground = 'getComputedStyle(document.body).backgroundColor'
    light = reader.open('index.html').evaluate(ground)
    dark = reader.open('index.html', scheme='dark').evaluate(ground)
    tab = reader.open('index.html')
    tab.locator('.quarto-color-scheme-toggle').first.click()
    tab.wait_for_function(DARK)
    assert light != dark == tab.evaluate(ground)
    assert reader.open(FM).evaluate(ground) == dark
    tab.evaluate('localStorage.clear()')


def test_a_phone_reaches_the_contents_and_the_search(reader):
    tab = reader.open(FM, window=PHONE)
    tab.locator('.quarto-secondary-nav .quarto-btn-toggle').click()
    tab.locator('#quarto-sidebar a[href="afm.html"]').click()
    tab.wait_for_url('**/models/afm.html')
    tab.locator('.navbar-toggler').click()
    tab.locator('#quarto-search input').press_sequentially('SparseAdam')
    tab.locator(f'.search-result[href$="{ADAM}"]').first.wait_for()
    assert tab.evaluate(SIDEWAYS) == []
