"The rendered site as a reader meets it: every page is opened in Chromium, in the light and in the dark, on a desk and on a phone.\n\nSkipped where Playwright or a Chromium is missing; nothing is downloaded."
import re, shutil
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

browser_path = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
if not browser_path: pytest.skip('no chromium on PATH', allow_module_level=True)
playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')

docs = Path(__file__).parents[1]/'docs'
names = sorted(p.relative_to(docs).as_posix() for p in docs.rglob('*.html'))
each_page = pytest.mark.parametrize('name', names)
wherever = pytest.mark.parametrize('kind', ['served', 'file'])
DESK, PHONE = dict(width=1280, height=900), dict(width=390, height=844)

CONTENT = """() => {
  const all = (css) => [...document.querySelectorAll(css)];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), text = [];
  for (let o; (o = walk.nextNode());) if (!o.parentElement.closest('pre, code, script, style, .katex')) text.push(o.data);
  return {
    text: text.join(' '),
    unrendered: all('span.math').filter((o) => !o.querySelector('.katex')).map((o) => o.textContent),
    wrong: all('.katex-error').map((o) => o.textContent),
    pictures: all('img').map((o) => ({ alt: o.alt.trim(), width: o.naturalWidth, start: o.src.slice(0, 60) })),
  };
}"""

# What sticks out of the window counts although the layout cuts it off there; not what scrolls in a box of its own.
SIDEWAYS = """() => {
  const root = document.scrollingElement, out = root.scrollWidth > root.clientWidth ? ['the page itself'] : [];
  const scrolls = (o) => o && o !== document.body && (/auto|scroll/.test(getComputedStyle(o).overflowX) || scrolls(o.parentElement));
  for (const o of document.querySelectorAll('main *, header *')) {
    if (o.closest('.katex-mathml, svg')) continue;
    const box = o.getBoundingClientRect();
    if (box.width && (box.right > root.clientWidth + 1 || box.left < -1) && !scrolls(o)) out.push(`${o.tagName} ${o.className} ${o.textContent.slice(0, 40)}`);
  }
  return out;
}"""

# Contrast as WCAG defines it, for each text and the backgrounds that lie below it.
FAINT = """(least) => {
  const colour = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith('color(srgb') ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((o, i) => o * a + below[i] * (1 - a));
  const light = (c) => c.map((o) => o / 255).map((o) => o <= .04045 ? o / 12.92 : ((o + .055) / 1.055) ** 2.4).reduce((sum, o, i) => sum + o * [.2126, .7152, .0722][i], 0);
  const grounds = new Map();
  const ground = (o) => {
    if (!o) return [255, 255, 255];
    if (!grounds.has(o)) grounds.set(o, over(colour(getComputedStyle(o).backgroundColor), ground(o.parentElement)));
    return grounds.get(o);
  };
  const opacity = (o) => o ? getComputedStyle(o).opacity * opacity(o.parentElement) : 1;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), faint = new Map();
  for (let o; (o = walk.nextNode());) {
    const parent = o.parentElement;
    if (!o.data.trim() || parent.closest('script, style, .katex-mathml') || !parent.checkVisibility({ visibilityProperty: true })) continue;
    const [r, g, b, a] = colour(getComputedStyle(parent).color), below = ground(parent);
    const [low, high] = [light(over([r, g, b, a * opacity(parent)], below)), light(below)].sort((x, y) => x - y);
    const ratio = (high + .05) / (low + .05);
    if (ratio < least) faint.set(`${parent.tagName} ${parent.className} in ${parent.parentElement.className}`, `${ratio.toFixed(2)} ${o.data.trim().slice(0, 40)}`);
  }
  return [...faint].map((o) => o.join(': '));
}"""


@contextmanager
def served(folder):
    "A server of the folder at a free port, for as long as the context lasts; gives its address."
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
    with ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


class Reader:
    "One tab of one browser, and what it asked for and complained about since the last page was opened."
    def __init__(self, tab, hosts):
        self.tab, self.hosts, self.seen = tab, hosts, {}
        tab.on('console', lambda o: self.complaints.append(o.text) if o.type in ('error', 'warning') else None)
        tab.on('pageerror', lambda o: self.complaints.append(str(o)))
        tab.on('requestfailed', lambda o: self.complaints.append(f'{o.failure}: {o.url}') if o.failure != 'net::ERR_ABORTED' else None)    # aborted: left for the next page
        tab.on('response', lambda o: self.complaints.append(f'{o.status}: {o.url}') if o.status >= 400 else None)
        tab.on('request', lambda o: self.asked.append(o.url))

    def open(self, name, kind='served', window=DESK, scheme='light'):
        self.complaints, self.asked = [], []
        self.tab.emulate_media(color_scheme=scheme, reduced_motion='reduce')
        self.tab.set_viewport_size(window)
        self.tab.goto(f'{self.hosts[kind]}/{name}')
        return self.tab

    def darken(self):
        self.tab.emulate_media(color_scheme='dark', reduced_motion='reduce')
        self.tab.wait_for_function("document.documentElement.classList.contains('quarto-dark')")

    def files(self):
        "The files of the site that were asked for, and the addresses that were asked elsewhere."
        inside = [o for o in self.asked if o.startswith(self.hosts['served'] + '/')]
        return {docs/urlsplit(o).path[1:] for o in inside}, [o[:80] for o in self.asked if o not in inside and not o.startswith('data:')]

    def visit(self, name):
        "All that the tests want to know about a page, from opening it once."
        if name in self.seen: return self.seen[name]
        tab = self.open(name, window=PHONE)
        found = tab.evaluate(CONTENT) | dict(sideways=tab.evaluate(SIDEWAYS), light=tab.evaluate(FAINT, 4.5))
        self.darken()
        files, elsewhere = self.files()
        self.seen[name] = found | dict(dark=tab.evaluate(FAINT, 4.5), elsewhere=elsewhere, complaints=self.complaints, size=sum(o.stat().st_size for o in files))
        return self.seen[name]


@pytest.fixture(scope='module')
def reader():
    with served(docs) as host, playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser_path, args=['--disable-gpu'])   # drawing by software in place of a GPU costs half the time
        tab = chromium.new_page()
        tab.set_default_timeout(120_000)
        yield Reader(tab, dict(served=host, file=docs.as_uri()))
        chromium.close()


@each_page
def test_it_opens_without_complaint(reader, name): assert reader.visit(name)['complaints'] == []


@each_page
def test_it_asks_no_other_host_and_is_light(reader, name):
    page = reader.visit(name)
    assert page['elsewhere'] == [] and page['size'] < 1_500_000


@each_page
def test_formulas_are_typeset(reader, name):
    page = reader.visit(name)
    assert page['unrendered'] == page['wrong'] == []
    assert re.findall(r'\$[^\s$][^$]*\$|\\[a-zA-Z]+|\\[()\[\]]', page['text']) == []


@each_page
def test_pictures_load_and_say_what_they_show(reader, name):
    assert [o for o in reader.visit(name)['pictures'] if not o['width'] or not o['alt']] == []


@each_page
def test_text_stands_out_in_the_light(reader, name): assert reader.visit(name)['light'] == []


@each_page
def test_text_stands_out_in_the_dark(reader, name): assert reader.visit(name)['dark'] == []


@each_page
def test_a_phone_shows_its_whole_width(reader, name): assert reader.visit(name)['sideways'] == []


@pytest.mark.parametrize('name', ['index.html', 'benchmarks.html', 'models/index.html', 'models/fm.html'])
def test_a_desk_shows_as_much_and_the_way_around_it(reader, name):
    tab = reader.open(name)
    assert tab.locator('#quarto-sidebar a.active').is_visible()
    assert tab.evaluate(SIDEWAYS) == tab.evaluate(FAINT, 4.5) == []
    reader.darken()
    assert tab.evaluate(FAINT, 4.5) == []


@wherever
def test_search_finds_a_model_by_its_idea(reader, kind):
    tab = reader.open('index.html', kind)
    tab.locator('#quarto-search input').press_sequentially('attention')
    tab.locator('.search-result[href$="models/afm.html"]').first.click()
    tab.wait_for_url('**/models/afm.html*')
    assert tab.locator('h1').inner_text() == 'AFM' and reader.complaints == []


@wherever
@pytest.mark.parametrize('start, link, end', [
    ('index.html', '#quarto-sidebar a[href="models/fm.html"]', 'models/fm.html'),
    ('index.html', 'main a[href*="optimizers.html#sparseadam"]', 'training/optimizers.html#sparseadam'),
    ('models/fm.html', '#TOC a[href="#references"]', 'models/fm.html#references'),
    ('models/fm.html', '.reference a[href$="data/fields.html#field"]', 'data/fields.html#field'),
    ('models/fm.html', '.nav-page-next a', 'models/hofm.html'),
    ('evaluation/metrics.html', '.navbar-brand', 'index.html')])
def test_links_arrive_below_the_header(reader, kind, start, link, end):
    tab = reader.open(start, kind)
    tab.locator(link).first.click()
    tab.wait_for_url(f'**/{end}')
    if anchor := urlsplit(end).fragment:
        header, target = (tab.locator(o).bounding_box() for o in ('#quarto-header', f'[id="{anchor}"]'))
        assert header['height'] <= target['y'] < DESK['height']
    assert reader.complaints == []


def test_the_notebook_is_a_download(reader):
    tab = reader.open('models/fm.html')
    with tab.expect_download() as waiting: tab.locator('.notebook-link').click()
    assert waiting.value.suggested_filename == '20_fm.ipynb'
    assert Path(waiting.value.path()).read_bytes() == (docs/'models/20_fm.ipynb').read_bytes()


def test_light_and_dark_are_a_choice_that_stays(reader):
    ground = 'getComputedStyle(document.body).backgroundColor'
    light = reader.open('index.html').evaluate(ground)
    dark = reader.open('index.html', scheme='dark').evaluate(ground)
    tab = reader.open('index.html')
    tab.locator('.quarto-color-scheme-toggle').first.click()
    tab.wait_for_function("document.documentElement.classList.contains('quarto-dark')")
    assert light != dark == tab.evaluate(ground) == reader.open('models/fm.html').evaluate(ground)
    tab.evaluate('localStorage.clear()')


def test_a_phone_reaches_the_contents_and_the_search(reader):
    tab = reader.open('models/fm.html', window=PHONE)
    tab.locator('.quarto-secondary-nav .quarto-btn-toggle').click()
    tab.locator('#quarto-sidebar a[href="afm.html"]').click()
    tab.wait_for_url('**/models/afm.html')
    tab.locator('.navbar-toggler').click()
    tab.locator('#quarto-search input').press_sequentially('SparseAdam')
    tab.locator('.search-result[href$="training/optimizers.html#sparseadam"]').first.wait_for()
    assert tab.evaluate(SIDEWAYS) == []
