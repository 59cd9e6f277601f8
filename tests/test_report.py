"""The page about a run as a person meets it: its figures are those of the run,
names that mean harm are text, and a browser shows it by day, by night and on a
phone without asking anybody for anything."""
import json
import os
import re
import shutil
from contextlib import redirect_stdout
from html.parser import HTMLParser
from io import StringIO

import numpy as np
import pandas as pd
import pytest

from recofm.cli import main, parser
from recofm.cli.train import page_of
from recofm.data.schema import Schema
from recofm.models import DCN, LR
from recofm.runs.markup import figure
from recofm.runs.report import report_page
from recofm.serving.artifact import Artifact

harm = '</td><script>document.title = "harmed"</script>'


def said(*words):
    "What a command prints."
    with redirect_stdout(StringIO()) as shown: main([*map(str, words)])
    return shown.getvalue()


def clicks(rows, seed=0):
    rng = np.random.default_rng(seed)
    user, film = rng.integers(0, 30, rows), rng.integers(0, 20, rows)
    odds = np.sin(film * 5.) + np.sin(user * 3.)
    return pd.DataFrame(dict(
        user=[f'u{u}' for u in user], film=[f'f{f}' for f in film],
        age=rng.integers(18, 70, rows).astype(float),
        stars=3 + odds + rng.normal(0, .3, rows),
        click=(rng.random(rows) < 1 / (1 + np.exp(-odds))).astype(int)))


def train(place, name, *words):
    said('train', '--user', 'user', '--item', 'film', '--numeric', 'age',
         '--context', 'age', '--epochs', '1', '--dim', '4', *words, '--out',
         place/name)
    return (place/name/'report.html').read_text('utf-8')


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp('reports')
    clicks(1_500).to_csv(folder/'may.csv', index=False)
    clicks(800, 1).to_parquet(folder/'june.parquet', row_group_size=200)
    return folder


@pytest.fixture(scope='module')
def page(place):
    "The page that a run of clicks leaves."
    return train(place, 'run', '--data', place/'may.csv', '--target', 'click',
                 '--model', 'FM')


class Elements(HTMLParser):
    "All elements of a page with their attributes, and what stands in cells."
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.found.append((name, dict(attributes)))

    def names(self): return {name for name, _ in self.found}

    def addresses(self):
        return [value for _, own in self.found for name, value in own.items()
                if name in ('src', 'href', 'srcset', 'data', 'action')]


def rows_of(text, section):
    "The rows of a section's tables, from their first cell to all others."
    part = text.split(f'<section id="{section}">')[1].split('</section>')[0]
    rows = re.findall('<tr>(.*?)</tr>', part)
    cells = [re.findall('<t[dh]>(.*?)</t[dh]>', row) for row in rows]
    bare = [[re.sub('<[^>]+>', '', c) for c in row] for row in cells]
    return {row[0]: row[1:] for row in bare}


def test_figures_are_those_of_the_run(page, place):
    metrics = json.loads((place/'run/metrics.json').read_text())
    rows = rows_of(page, 'figures')
    models = rows.pop('')
    own = metrics['baselines'] | {'FM': metrics}
    assert models == [*own]
    titles = dict(auc='AUC', logloss='log loss', accuracy='accuracy')
    for part in ('train', 'valid', 'test'):
        for metric, title in titles.items():
            shown = [figure(own[name][part][metric]) for name in models]
            assert rows.pop(f'{part} {title}') == shown
    assert rows == {}
    best = max(m['test']['auc'] for m in metrics['baselines'].values())
    assert f'<b>{figure(metrics["test"]["auc"])}</b>' in page
    assert figure(best) in page.split('<nav>')[0]


def test_slices_and_scores_are_those_of_the_rows(page, place):
    from recofm.runs.run import make_parts
    from recofm.runs.settings import Settings
    frame = pd.read_csv(place/'may.csv')
    test = make_parts(frame, Settings.load(place/'run'))['test']
    p = Artifact.load(place/'run').predict(test)
    top = page.split('<nav>')[0]
    assert figure(float(p.mean())) in top and '150 rows' in top
    assert figure(float(test.click.mean())) in top
    whole = rows_of(page, 'slices')['all rows']
    metrics = json.loads((place/'run/metrics.json').read_text())
    assert whole[0] == '150'
    assert whole[3] == figure(metrics['test']['logloss'])


def test_it_is_one_file_that_loads_nothing(page):
    elements = Elements(page)
    outward = [a for a in elements.addresses() if a[0] != '#']
    assert outward == ['data:,']                       # no icon
    assert not {'script', 'img', 'iframe', 'object'} & elements.names()
    style = page.split('<style>')[1].split('</style>')[0]
    assert 'url(' not in style and '@import' not in style
    handlers = [n for _, own in elements.found for n in own if n[:2] == 'on']
    assert handlers == [] and len(page) < 100_000


def test_the_page_is_listed_and_goes_with_its_run(page, place):
    listed = json.loads((place/'run/artifact.json').read_text())['report']
    assert 'report.html' in listed
    Artifact.load(place/'run').save(place/'next', {'report.html': b'next'})
    assert page_of(parser().parse_args(['train', '--no-report'])) == {}
    artifact = Artifact.load(place/'next')
    with pytest.warns(match='is now in earlier-report/: report.html'):
        artifact.save(place/'next')
    assert not (place/'next/report.html').exists()


def hostile():
    "Rows whose columns and values all mean harm."
    rng = np.random.default_rng(0)
    names = [harm, 'b" onload="x', '&lt;i&gt;', '\x00\u202e' + 'x' * 200]
    frame = pd.DataFrame({harm: rng.choice(names, 300),
                          "'\"><b>": rng.choice(names, 300),
                          '<target>': rng.integers(0, 2, 300)})
    schema = Schema.fit(frame, '<target>', user=harm, item="'\"><b>", dim=2)
    return Artifact(LR(schema.fields), schema), frame


def test_names_that_mean_harm_are_text():
    files = {'recipe.toml': json.dumps(harm).join(['data = ', '']).encode()}
    page = report_page(*hostile(), files).decode()
    elements = Elements(page)
    assert 'script' not in elements.names() and '</td><script>' not in page
    assert '\x00' not in page and 'could not be made' not in page
    assert not any(n.startswith('on') for _, own in elements.found for n in own)
    assert page.count('&lt;script&gt;') > 4


def test_a_model_without_pairs_says_so():
    frame = clicks(300)
    schema = Schema.fit(frame, 'click', user='user', item='film', dim=2)
    page = report_page(Artifact(DCN(schema.fields, (4,)), schema), frame)
    assert b'The score of DCN is no sum with pairs' in page
    assert b'could not be made' not in page


def test_a_streamed_run_of_ratings_has_residuals(place):
    page = train(place, 'stream', '--data', place/'june.parquet', '--stream',
                 '--target', 'stars', '--task', 'rating', '--model', 'LR')
    metrics = json.loads((place/'stream/metrics.json').read_text())
    shown = rows_of(page, 'figures')['test RMSE'][-1]
    assert shown == figure(metrics['test']['rmse'])
    slices = rows_of(page, 'slices')
    assert slices['all rows'][3] == shown
    assert 'target less prediction' in page and 'times chance' not in page
    assert 'could not be made' not in page
    assert said('report', place/'stream').endswith('report.html\n')
    again = (place/'stream/report.html').read_text()
    assert rows_of(again, 'slices') == slices


def test_other_rows_stand_beside_the_run(page, place):
    from sklearn.metrics import roc_auc_score
    out, june = place/'june.html', clicks(800, 1)
    printed = said('report', place/'run', '--data', place/'june.parquet',
                   '--out', out)
    assert printed == f'Written: {out}\n'
    p = Artifact.load(place/'run').predict(june)
    metrics = json.loads((place/'run/metrics.json').read_text())
    rows = rows_of(out.read_text(), 'figures')
    both = roc_auc_score(june.click, p), metrics['test']['auc']
    assert rows['AUC'] == [*map(figure, both)]
    assert (place/'run/report.html').read_text() == page


def test_rows_of_its_own_need_a_recipe(place, page):
    bare = place/'bare'
    Artifact.load(place/'run').save(bare)
    with pytest.raises(SystemExit, match='Expected --data, since no recipe'):
        main(['report', str(bare)])
    said('report', bare, '--data', place/'june.parquet')
    assert 'Training' not in (bare/'report.html').read_text()
    before = sorted(os.listdir(place))
    with pytest.raises(SystemExit, match='Expected --out FILE.html'):
        main(['report', str(bare), '--out', str(place/'x.txt')])
    with pytest.raises(SystemExit, match="lacks 'click'"):
        clicks(9).drop(columns='click').to_csv(place/'july.csv', index=False)
        main(['report', str(bare), '--data', str(place/'july.csv'), '--out',
              str(place/'x.html')])
    assert sorted(os.listdir(place)) == sorted([*before, 'july.csv'])


# In a browser

browsers = 'chromium', 'chromium-browser', 'google-chrome'
browser_path = next(filter(None, map(shutil.which, browsers)), None)
CONTRAST = """(least) => {
  const linear = (o) =>
    o <= .04045 ? o / 12.92 : ((o + .055) / 1.055) ** 2.4;
  const light = (text) => {
    const c = text.match(/[\\d.]+/g).map((o) => linear(o / 255));
    return c[0] * .2126 + c[1] * .7152 + c[2] * .0722;
  };
  const ground = (o) => {
    const own = o ? getComputedStyle(o).backgroundColor : 'rgb(255, 255, 255)';
    return own === 'rgba(0, 0, 0, 0)' ? ground(o.parentElement) : own;
  };
  const words = [...document.querySelectorAll('body *')].filter((o) =>
    [...o.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
  const faint = (o) => {
    const style = getComputedStyle(o), svg = o.closest('svg');
    if (o.localName === 'title') return false;
    const both = [light(svg ? style.fill : style.color), light(ground(o))];
    return (Math.max(...both) + .05) / (Math.min(...both) + .05) < least;
  };
  return words.filter(faint).map((o) => o.textContent.slice(0, 40));
}"""


@pytest.fixture(scope='module')
def tab():
    if not browser_path: pytest.skip('no chromium on PATH')
    playwright = pytest.importorskip('playwright.sync_api')
    how = dict(executable_path=browser_path, args=['--disable-gpu'])
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(**how)
        yield chromium.new_page()
        chromium.close()


@pytest.mark.parametrize('width', [1280, 390])
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_a_browser_shows_all_of_it(tab, page, tmp_path, scheme, width):
    mean = tmp_path/'hostile.html'
    mean.write_bytes(report_page(*hostile()))
    complaints, asked = [], []
    tab.on('console', lambda message: complaints.append(message.text))
    tab.on('pageerror', lambda error: complaints.append(str(error)))
    tab.on('request', lambda request: asked.append(request.url))
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size(dict(width=width, height=844))
    own = tmp_path/'report.html'
    own.write_text(page)
    for file in (own, mean):
        tab.goto(file.as_uri())
        assert tab.evaluate('document.documentElement.scrollWidth') <= width
        assert tab.evaluate(CONTRAST, 4.5) == []
        ground = tab.evaluate('getComputedStyle(document.body).backgroundColor')
        assert (ground == 'rgb(255, 255, 255)') == (scheme == 'light')
        assert 'predicts' in tab.title()
    outside = [a for a in asked if not a.startswith(('file:', 'data:'))]
    assert complaints == [] and outside == []
