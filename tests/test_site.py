"The rendered site stands by itself: every link arrives, nothing is fetched from elsewhere, and no markup is left raw."
import ast
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from execnb.nbio import read_nb

root = Path(__file__).parents[1]
docs, nbs = root/'docs', root/'nbs'


class Page(HTMLParser):
    "What a page's html refers to, the ids it has, and its text outside code."
    def __init__(self, path):
        super().__init__()
        self.path, self.links, self.loads, self.ids, self.prose, self.code = path, [], [], [], [], 0
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if 'id' in attrs: self.ids.append(attrs['id'])
        if tag == 'a' and attrs.get('href'): self.links.append(attrs['href'])
        if tag == 'link' and attrs.get('rel') in ('stylesheet', 'icon', 'preload', 'preconnect'): self.loads.append(attrs['href'])
        self.loads += [attrs[o] for o in ('src', 'srcset', 'poster') if o in attrs]
        self.code += tag in ('pre', 'code', 'script', 'style')

    def handle_endtag(self, tag): self.code -= tag in ('pre', 'code', 'script', 'style')

    def handle_data(self, data):
        if not self.code: self.prose.append(data)


pages = {p.resolve(): Page(p) for p in sorted(docs.rglob('*.html'))}
each_page = pytest.mark.parametrize('page', pages.values(), ids=[str(p.relative_to(docs.resolve())) for p in pages])


def inside(url): return not urlsplit(url).scheme and not urlsplit(url).netloc


@each_page
def test_links_and_their_anchors_arrive(page):
    broken = []
    for link in filter(inside, page.links):
        where, anchor = urlsplit(link).path, unquote(urlsplit(link).fragment)
        target = (page.path.parent/unquote(where)).resolve() if where else page.path.resolve()
        if target.is_dir(): target /= 'index.html'
        if not target.is_file() or (anchor and target in pages and anchor not in pages[target].ids): broken.append(link)
    assert broken == []


@each_page
def test_nothing_is_fetched_from_elsewhere(page):
    assert [o for o in page.loads if not o.startswith('data:') and not (inside(o) and (page.path.parent/urlsplit(o).path).is_file())] == []


@each_page
def test_ids_are_unique(page):
    assert sorted({o for o in page.ids if page.ids.count(o) > 1}) == []


@each_page
def test_no_markup_is_left_raw(page):
    "Maths reaches the browser between brackets, which KaTeX reads; dollars, fences, bold and markdown links would be left as they are."
    text = ' '.join(page.prose)
    maths = re.compile(r'\\\(.*?\\\)|\\\[.*?\\\]', re.S)
    assert re.findall(r'\$\$|^:::|\*\*\w|\]\(\S+\)|\{#\S+\}', maths.sub('', text), flags=re.M) == []


@each_page
def test_maths_has_katex_beside_it(page):
    if any(r'\(' in o or r'\[' in o for o in page.prose):
        assert {Path(o).name for o in page.loads if 'katex' in o} == {'katex.min.css', 'katex.min.js', 'auto-render.min.js'}


def test_styles_fetch_nothing_from_elsewhere():
    styles = {p: re.findall(r'(?:url\(|@import\s+)["\']?(https?:)?//', p.read_text(encoding='utf-8')) for p in docs.rglob('*.css')}
    assert [p for p, hits in styles.items() if hits] == []


def test_sidebar_lists_every_notebook():
    def listed(entries):
        for o in entries:
            if isinstance(o, str): yield o
            else: yield from [*([o['href']] if 'href' in o else []), *listed(o.get('contents', []))]
    sidebar = yaml.safe_load((nbs/'sidebar.yml').read_text())['website']['sidebar']['contents']
    assert sorted(listed(sidebar)) == sorted(p.relative_to(nbs).as_posix() for p in notebooks)


notebooks = [p for p in sorted(nbs.rglob('*.ipynb')) if '.ipynb_checkpoints' not in p.parts]
each_notebook = pytest.mark.parametrize('path', notebooks, ids=[p.relative_to(nbs).as_posix() for p in notebooks])


def page_of(notebook): return (docs/notebook.relative_to(nbs)).with_name(re.sub(r'^\d+[a-z]?_', '', notebook.stem) + '.html')


@each_notebook
def test_every_notebook_is_a_page_with_a_title_and_a_description(path):
    first = next(c.source for c in read_nb(path).cells if c.cell_type == 'markdown')
    assert re.match(r'# \S.*\n+> \S', first) and page_of(path).is_file()


@each_notebook
def test_every_page_offers_its_notebook_as_it_is(path):
    "A file beside the page, so that it is there on any host and in a checkout; small, since it is there twice."
    assert f'<a class="notebook-link" href="{path.name}" download>' in page_of(path).read_text(encoding='utf-8')
    assert page_of(path).with_name(path.name).read_bytes() == path.read_bytes() and path.stat().st_size < 300_000


def test_no_other_notebook_is_offered():
    assert sorted(p.relative_to(docs) for p in docs.rglob('*.ipynb')) == sorted(p.relative_to(nbs) for p in notebooks)


def test_each_definition_has_its_signature_and_its_parameters():
    modules = ast.literal_eval((root/'recofm/_modidx.py').read_text().partition('d = ')[2])['syms']
    for module, names in modules.items():
        for name, (link, _) in names.items():
            name = name.removeprefix(f'{module}.')
            if '.' in name or name.startswith('_') or not link: continue
            page = (docs/link.partition('#')[0]).read_text()
            assert re.search(rf'<a href="#{name.lower()}(-definition)?"><code>{name}</code></a><code class="signature">', page), f'{module}.{name}'
    assert 'Length of the vectors, at least 1; None: the fields' in (docs/'models/fm.html').read_text().partition('Reference')[2]


@each_page
def test_parameters_stand_in_their_columns(page):
    "A default `None` stands beside its type, and not in the cell of the name."
    assert re.findall(r'<td>[^<]* \| NoneType[^<]*</td>|<td>[^<]*None \| None</td>', page.path.read_text()) == []
