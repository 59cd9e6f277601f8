"""The rendered site stands by itself: every link arrives, nothing is fetched
from elsewhere, and no markup is left raw."""
import ast
import re
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from execnb.nbio import read_nb

root = Path(__file__).parents[1]
docs, nbs = root/'docs', root/'nbs'
spec = spec_from_file_location('build', root/'site'/'build.py')
build = module_from_spec(spec)
spec.loader.exec_module(build)
LOADED = 'stylesheet', 'icon', 'preload', 'preconnect'
CODE = 'pre', 'code', 'script', 'style'


class Page(HTMLParser):
    "What a page refers to and loads, the ids it has, its text outside code."
    def __init__(self, path):
        super().__init__()
        self.path, self.code = path, 0
        self.links, self.loads, self.ids, self.prose = [], [], [], []
        self.text = path.read_text(encoding='utf-8')
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if 'id' in attrs: self.ids.append(attrs['id'])
        if tag == 'a' and attrs.get('href'): self.links.append(attrs['href'])
        if tag == 'link' and attrs.get('rel') in LOADED:
            self.loads.append(attrs['href'])
        for place in ('src', 'srcset', 'poster'):
            if place in attrs: self.loads.append(attrs[place])
        self.code += tag in CODE

    def handle_endtag(self, tag): self.code -= tag in CODE

    def handle_data(self, data):
        if not self.code: self.prose.append(data)


pages = {p.resolve(): Page(p) for p in sorted(docs.rglob('*.html'))}
each_page = pytest.mark.parametrize(
    'page', pages.values(),
    ids=[str(p.relative_to(docs.resolve())) for p in pages])


def inside(url): return not urlsplit(url).scheme and not urlsplit(url).netloc


def arrives(page, link):
    "Whether a page of the site links to a file that is there, and its anchor."
    address = urlsplit(link)
    path, anchor = unquote(address.path), unquote(address.fragment)
    target = (page.path.parent/path if path else page.path).resolve()
    if target.is_dir(): target /= 'index.html'
    if not target.is_file(): return False
    return not anchor or target not in pages or anchor in pages[target].ids


@each_page
def test_links_and_their_anchors_arrive(page):
    links = filter(inside, page.links)
    assert [link for link in links if not arrives(page, link)] == []


def beside(page, url):
    "Whether a page loads this from the site or from itself."
    if url.startswith('data:'): return True
    return inside(url) and (page.path.parent/urlsplit(url).path).is_file()


@each_page
def test_nothing_is_fetched_from_elsewhere(page):
    assert [url for url in page.loads if not beside(page, url)] == []


@each_page
def test_ids_are_unique(page):
    assert sorted({o for o in page.ids if page.ids.count(o) > 1}) == []


@each_page
def test_no_markup_is_left_raw(page):
    "Maths stands between brackets, which KaTeX reads; nothing else is markup."
    maths = re.compile(r'\\\(.*?\\\)|\\\[.*?\\\]', re.S)
    text = maths.sub('', ' '.join(page.prose))
    raw = re.compile(r'\$\$|^:::|\*\*\w|\]\(\S+\)|\{#\S+\}', re.M)
    assert raw.findall(text) == []


@each_page
def test_maths_has_katex_beside_it(page):
    if not any(r'\(' in o or r'\[' in o for o in page.prose): return
    parts = {Path(o).name for o in page.loads if 'katex' in o}
    assert parts == {'katex.min.css', 'katex.min.js', 'auto-render.min.js'}


def test_styles_fetch_nothing_from_elsewhere():
    elsewhere = re.compile(r'(?:url\(|@import\s+)["\']?(https?:)?//')
    styles = docs.rglob('*.css')
    fetching = [p for p in styles if elsewhere.search(p.read_text('utf-8'))]
    assert fetching == []


def listed(entries):
    "The pages of a part of the sidebar."
    for entry in entries:
        if isinstance(entry, str): yield entry
        else:
            if 'href' in entry: yield entry['href']
            yield from listed(entry.get('contents', []))


def test_sidebar_lists_every_notebook():
    website = yaml.safe_load((nbs/'sidebar.yml').read_text())['website']
    names = sorted(p.relative_to(nbs).as_posix() for p in notebooks)
    assert sorted(listed(website['sidebar']['contents'])) == names


notebooks = [p for p in sorted(nbs.rglob('*.ipynb'))
             if '.ipynb_checkpoints' not in p.parts]
each_notebook = pytest.mark.parametrize(
    'path', notebooks, ids=[p.relative_to(nbs).as_posix() for p in notebooks])


def page_of(notebook):
    name = re.sub(r'^\d+[a-z]?_', '', notebook.stem) + '.html'
    return (docs/notebook.relative_to(nbs)).with_name(name)


@each_notebook
def test_every_notebook_is_a_page_with_a_title_and_a_description(path):
    cells = read_nb(path).cells
    first = next(c.source for c in cells if c.cell_type == 'markdown')
    assert re.match(r'# \S.*\n+> \S', first) and page_of(path).is_file()


@each_notebook
def test_every_page_offers_its_notebook_as_it_is(path):
    "A file beside the page, there on any host; small, since it is there twice."
    link = f'<a class="notebook-link" href="{path.name}" download>'
    assert link in page_of(path).read_text(encoding='utf-8')
    offered = page_of(path).with_name(path.name)
    assert offered.read_bytes() == path.read_bytes()
    assert path.stat().st_size < 300_000


def test_no_other_notebook_is_offered():
    offered = sorted(p.relative_to(docs) for p in docs.rglob('*.ipynb'))
    assert offered == sorted(p.relative_to(nbs) for p in notebooks)


@pytest.mark.parametrize('old, new', build.MOVED.items())
def test_an_old_address_leads_to_a_page(old, new):
    page, target = pages[(docs/old).resolve()], pages[(docs/new).resolve()]
    forward = re.compile('http-equiv="refresh" content="0; url=([^"]+)"')
    address = forward.search(page.text)[1]
    assert page.links == [address]
    assert (page.path.parent/address).resolve() == target.path.resolve()
    assert not forward.search(target.text)


def definitions():
    "The page of each public function and class, and its name."
    index = (root/'recofm'/'_modidx.py').read_text().partition('d = ')[2]
    for module, names in ast.literal_eval(index)['syms'].items():
        for name, (link, _) in names.items():
            name = name.removeprefix(f'{module}.')
            if '.' in name or name.startswith('_') or not link: continue
            yield docs/link.partition('#')[0], name


def is_method(node):
    "Whether a public function is added to a class."
    if not isinstance(node, ast.FunctionDef): return False
    if node.name.startswith('_'): return False
    return any(ast.unparse(o).startswith('patch') for o in node.decorator_list)


def added(notebook):
    "The methods that a page adds to classes, as `Class.method`."
    for cell in read_nb(notebook).cells:
        if not re.match(r'#\| *exports?\b', cell.source): continue
        for node in filter(is_method, ast.parse(cell.source).body):
            owner = ast.unparse(node.args.args[0].annotation)
            if owner[0] != '_': yield f'{owner}.{node.name}'


methods = [(page_of(p), name) for p in notebooks for name in added(p)]
each_method = pytest.mark.parametrize(
    'path, name', methods, ids=[name for _, name in methods])


def reference(page):
    "What a page ends with: what its definitions take."
    return (docs/page).read_text().partition('<div class="reference">')[2]


def entry_of(name):
    "How the reference begins to say what a definition takes."
    link = f'<a href="#{name.lower()}(-definition)?"><code>{name}</code></a>'
    return re.compile(link + '<code class="signature">')


def test_each_definition_has_its_signature_and_its_parameters():
    for page, name in definitions():
        assert entry_of(name).search(reference(page)), f'{page}: {name}'
    told = 'Vectors’ length, &gt;= 1; None: fields’ dim'
    assert told in reference('models/fm.html')
    of_schema = reference('data/schema.html')
    assert '<td>Kinds, <code>numeric=' in of_schema


@each_method
def test_a_method_that_a_page_adds_is_shown_as_a_function_is(path, name):
    anchor = re.escape(name.lower())
    heading = f'<h3 id="{anchor}(-definition)?"[^>]*><code>{name}</code>'
    assert re.search(heading, path.read_text())
    assert entry_of(name).search(reference(path))


def test_parameters_of_methods_are_in_the_reference():
    text = reference('models/afm.html')
    entry = text.partition('<code>AFM.attention</code>')[2]
    signature, table = entry.partition('<table')[::2]
    assert '<code class="signature">(inputs)</code>' in signature
    assert '<td>Ids, or ids and values</td>' in table
    assert '<td>self</td>' not in text


@each_page
def test_a_link_to_the_source_names_its_line(page):
    "An address in the repository goes on with the line's number."
    sources = re.findall(r'<a href="([^"]*)" class="source-link"', page.text)
    assert [o for o in sources if not re.search(r'\.py#L\d+$', o)] == []


@each_page
def test_every_method_with_its_class_is_a_link(page):
    elsewhere = r'<(h\d|pre|nav|a)\b.*?</\1>'
    prose = re.sub(elsewhere, '', page.text, flags=re.S)
    shown = re.findall(r'<code>([\w.]+)(?:\(\))?</code>', prose)
    assert set(shown) & {name for _, name in methods} == set()


@each_page
def test_no_method_of_keras_is_a_link(page):
    "The reference, where a signature follows, is no page's prose."
    names = '|'.join(build.Links.keras)
    link = rf'<a href="[^"]*"><code>({names})</code></a>(?!<code class="sig)'
    assert re.findall(link, page.text) == []


def test_a_method_of_keras_is_linked_with_its_class():
    links = build.Links()
    links.entries = dict(recofm=dict(syms={}))
    links.syms = {'Schema.fit': '#schema.fit', 'fit': '#fit'}
    linked = '[`Schema.fit`](#schema.fit), [`Schema.fit()`](#schema.fit)'
    text = '`Schema.fit`, `Schema.fit()`, `fit` or `fit()`'
    assert links.link_line(text) == f'{linked}, `fit` or `fit()`'


@each_page
def test_parameters_stand_in_their_columns(page):
    "A default `None` stands beside its type, not in the cell of the name."
    misplaced = r'<td>[^<]* \| NoneType[^<]*</td>|<td>[^<]*None \| None</td>'
    assert re.findall(misplaced, page.text) == []


@each_page
def test_no_page_names_a_temporary_folder(page):
    "It is of one machine at one moment, and of no use to a reader."
    assert not re.findall(r'/tmp/tmp\w{8}|/var/folders/\w+', page.text)
