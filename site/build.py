"""Render nbs/ into docs/. nbdev prepares the pages, smalldocs makes the site;
neither Quarto nor a network is needed.

A page runs nothing here: it shows the outputs that its notebook holds, and the
exported code itself."""
import ast, inspect, json, os, re, shutil
from functools import reduce
from importlib import import_module
from pathlib import Path

from execnb.nbio import mk_cell, read_nb, write_nb
from fastcore.foundation import L
from nbdev import processors
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup, _build_modidx, _lineno, patch_name
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor
from nbdev.quarto import refresh_quarto_yml
from nbdev.showdoc import DocmentTbl
from smalldocs.site import build as smalldocs

KATEX = Path(__file__).parent/'vendor/katex'
SITE = 'site_libs/smalldocs.js'
FETCH_INDEX = """const r = await fetch(offset + "search.json");
      index = await r.json();"""
# A script, since a page opened as a file may not fetch
LOAD_INDEX = """index = await new Promise((done, fail) => {
        const script = document.createElement("script");
        script.src = offset + "search.js";
        script.onload = () => done(window.searchIndex);
        script.onerror = fail;
        document.head.append(script);
      });"""
NUMBER = re.compile(r'(?<![\w-])\d+[a-z]?_(\w+\.ipynb)')
ICON = re.compile(r'\.(bi-[\w-]+)::before\{[^}]*\}')
CODE = re.compile(r'(<code class="sourceCode [^>]*>)(.*?)(</code>)', re.S)
CDN = re.compile(r'https://cdn\.jsdelivr\.net/npm/katex@[\d.]+/dist')
FONTS = re.compile(r'@import url\(https:[^)]*\);?')


def unnumbered(text):
    "`models/20_fm.ipynb` -> `models/fm.ipynb`, the address of its page."
    return NUMBER.sub(r'\1', text)


def is_exported(cell):
    return bool({'export', 'exports'} & set(cell.directives_))


def is_private(name):
    "Whether a definition, or the class that it is added to, is private."
    return any(part.startswith('_') for part in name.split('.'))


def definitions(cell):
    "The public names a cell defines, methods that it adds to classes too."
    kinds = ast.FunctionDef, ast.ClassDef
    nodes = [o for o in ast.parse(cell.source).body if isinstance(o, kinds)]
    names = [name for node in nodes for name in L(patch_name(node))]
    return [name for name in names if not is_private(name)]


def methods(cell):
    "The methods in the body of the public classes that a cell defines."
    for node in ast.parse(cell.source).body:
        if not isinstance(node, ast.ClassDef) or is_private(node.name): continue
        for method in node.body:
            if not isinstance(method, ast.FunctionDef): continue
            yield f'{node.name}.{method.name}'


def source(name, module):
    "The address of a definition in the repository; empty before its export."
    found = NbdevLookup()[f'{module}.{name}']
    if not found: return ''
    _, path, address = found
    return f'{address}#L{_lineno(name, path)}'


def heading(name, module, taken):
    "A definition's heading and, unless it is taken, the anchor of its name."
    anchor, address = name.lower(), source(name, module)
    if anchor in taken: anchor += '-definition'
    taken.add(anchor)
    head = f'### `{name}` {{#{anchor} .definition}}'
    if not address: return head
    return f'[source]({address}){{.source-link}}\n\n{head}'


def module_of(nb):
    "The module that a page exports; `None` where it exports nothing."
    for cell in nb.cells:
        if not (name := cell.directives_.get('default_exp')): continue
        return f'{get_config().lib_name}.{name[0]}'


def thing_of(name, module):
    "What a name stands for, as `Schema.fit`; `None` where nothing has it."
    parts = name.split('.')
    return reduce(lambda o, part: getattr(o, part, None), parts,
                  import_module(module))


def signature(thing):
    "The parameters of a function, without their types."
    found = inspect.signature(thing)
    plain = [p.replace(annotation=p.empty) for p in found.parameters.values()
             if p.name != 'self']
    text = str(found.replace(parameters=plain, return_annotation=found.empty))
    return re.sub(r'<function (\S+) at 0x\w+>', r'\1', text)


def escaped(row, columns):
    "A row of a table whose types such as `int | None` stay in their column."
    several = row.count('|') - columns
    if several <= 0: return row
    return re.sub(r'(?<=\w) \| (?=None\b)', r' \\| ', row, count=several)


def keyword_comment(thing):
    "The name and the comment of `**words`, which docments do not see."
    init = thing.__init__ if isinstance(thing, type) else thing
    try: text = inspect.getsource(init)
    except (OSError, TypeError): return None
    found = re.search(r'^ +\*\*(\w+) *# (.+)$', text, re.M)
    return found and found.groups()


def told(row, name, comment):
    "A row of the table with the comment of `**name` in its place."
    cells = row.split(' | ')
    if row.startswith(f'| {name} |'):
        return ' | '.join([*cells[:-1], f'{comment} |'])
    if not row.startswith('| **Returns**'): return row
    return row.replace(f'**{comment}**', '')


def parameters(thing):
    "The table of a function's parameters; empty where nothing is said of them."
    rows = DocmentTbl(thing)._repr_markdown_().strip().splitlines()
    rows = [escaped(row, rows[0].count('|')) for row in rows]
    if more := keyword_comment(thing): rows = [told(r, *more) for r in rows]
    return '\n'.join(rows)


def entry(name, module):
    "A definition's signature, its line, and a table of its parameters."
    thing, takes = thing_of(name, module), ': property'
    if isinstance(thing, property): thing = thing.fget
    elif callable(thing): takes = signature(thing)
    else: return ''
    head = f'[`{name}`](#{name.lower()})`{takes}`{{.signature}}'
    line = (inspect.getdoc(thing) or '').partition('\n')[0]
    return '\n\n'.join(filter(None, [head, line, parameters(thing)]))


def reference(nb):
    "A cell that says what the definitions take; `None` where there are none."
    module = module_of(nb)
    names = [n for c in nb.cells if is_exported(c) for n in definitions(c)]
    entries = filter(None, (entry(name, module) for name in names))
    text = '\n\n'.join(entries)
    framed = f'::: {{.reference}}\n## Reference\n\n{text}\n:::'
    return mk_cell(framed, 'markdown') if text else None


def titles(nb):
    "The anchors that the headings of a page's lessons have."
    title = re.compile(r'^#+ +`?([\w.]+)`?\s*$', re.M)
    prose = [c.source for c in nb.cells if c.cell_type == 'markdown']
    return {name.lower() for text in prose for name in title.findall(text)}


def exported(cell, module, taken):
    "An exported cell under the headings of what it defines."
    heads = [heading(name, module, taken) for name in definitions(cell)]
    anchors = ' '.join(f'<a id="{o.lower()}"></a>' for o in methods(cell))
    top = '\n\n'.join(filter(None, ['::: {.exported}', *heads, anchors]))
    return [mk_cell(top, 'markdown'), cell, mk_cell(':::', 'markdown')]


def show_exports(nb):
    "Set exported code off from lessons, under headings; drop what is hidden."
    module, taken, cells = module_of(nb), titles(nb), []
    exports = {'export', 'exports', 'exporti'}
    for cell in nb.cells:
        directives = set(cell.directives_)
        if {'hide', 'default_exp'} & directives: continue
        framing = cell.cell_type == 'code' and exports & directives
        cells += exported(cell, module, taken) if framing else [cell]
    for i, cell in enumerate(cells):
        cell.idx_ = i
        cell.setdefault('directives_', {})
    nb.cells = cells


def split_title(nb):
    "Give the prose below the title a cell of its own."
    # nbdev keeps of the title's cell only `# title` and `> description`
    parts = re.compile(r'(# [^\n]+\n*(?:> [^\n]+\n*)?)(.*)', re.S)
    is_title = [c.cell_type == 'markdown' and c.source.startswith('# ')
                for c in nb.cells]
    i = is_title.index(True)
    nb.cells[i].source, text = parts.match(nb.cells[i].source).groups()
    if text: nb.cells.insert(i + 1, mk_cell(text, 'markdown'))


class Links(NbdevLookup):
    """Links names in backticks to their definitions.

    Not those in a heading or in a link of the author's, and none that may mean
    another thing: Keras' methods without their class, names of two modules."""
    keras = {'fit', 'evaluate', 'predict', 'compile', 'save', 'summary',
             'call', 'build'}
    written = re.compile(r'(\[[^\]]*\]\([^)]*\))')

    def doc(self, name):
        modules = self.entries['recofm']['syms'].items()
        places = [module for module, names in modules
                  if f'{module}.{name}' in names]
        if name in self.keras or len(places) > 1: return
        return super().doc(name)

    def link_line(self, line):
        if line.startswith('#'): return line
        parts = self.written.split(line)
        parts[::2] = map(super().link_line, parts[::2])
        return ''.join(parts)


def link_names(cell):
    if cell.cell_type != 'markdown': return
    cell.source = unnumbered(Links().linkify(cell.source))


def ran_with():
    "A line with the versions that the pages ran with, as `make` installs them."
    names = 'TensorFlow', 'Keras', 'NumPy', 'pandas'
    text = (get_config().config_path/'constraints.txt').read_text()
    pins = dict(re.findall(r'^\s*(\S+)==(\S+)\s*$', text, re.M))
    versions = ', '.join(f'{name} {pins[name.lower()]}' for name in names)
    return f'::: {{.ran-with}}\nRan with {versions} on Python 3.11.\n:::'


def process(path):
    "One notebook as smalldocs reads it."
    nb = read_nb(path)
    split_title(nb)
    nb.cells.append(mk_cell(ran_with(), 'markdown'))
    nb = NBProcessor(nb=nb, procs=FrontmatterProc, process=True).nb
    # smalldocs keeps a page's own name
    front = nb.cells[0]
    front.source = re.sub(r'^output-file: .+\n', '', front.source, flags=re.M)
    for cell in nb.cells: cell.setdefault('directives_', {})
    if (found := reference(nb)): nb.cells.insert(-1, found)
    show_exports(nb)
    p = processors
    procs = [p.populate_language, p.strip_ansi, p.hide_line, p.filter_stream_,
             p.rm_header_dash, p.clean_magics, p.hide_, link_names,
             p.strip_hidden_metadata]
    NBProcessor(nb=nb, procs=procs, rm_directives=False, process=True)
    return nb


def is_shown(where):
    "Whether a file belongs to the site, and no folder of it is private."
    folders = where.parts[:-1]
    return where.name[0] != '.' and not any(o[0] in '._' for o in folders)


def sources(pages):
    "The files of the pages' folder, and where each is in it."
    for path in sorted(pages.rglob('*')):
        where = path.relative_to(pages)
        if path.is_file() and is_shown(where): yield path, where


def prepare(pages, folder):
    "Copy the pages' folder, its notebooks processed and without their numbers."
    shutil.rmtree(folder, ignore_errors=True)
    for path, where in sources(pages):
        to = folder/unnumbered(where.as_posix())
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == '.ipynb': write_nb(process(path), to)
        elif path.suffix == '.yml': to.write_text(unnumbered(path.read_text()))
        else: shutil.copy(path, to)


def replace(path, old, new):
    "Replace what must be there, so that another smalldocs fails loudly."
    text = path.read_text()
    changed = f'{path.name} does not hold {old!r}: has smalldocs changed?'
    assert old in text, changed
    path.write_text(text.replace(old, new))


def hanging_line(line):
    "A line that, where it is too long, goes on below its own indentation."
    # Not the middle of a string of several lines
    whole = line.count('<span') == line.count('</span')
    if not line or not whole: return line
    indent = len(line) - len(line.lstrip(' '))
    return f'<span class="line" style="--indent:{indent + 4}ch">{line}</span>'


def hanging(block):
    "A block of code whose long lines go on below their own indentation."
    start, code, end = block.groups()
    return start + '\n'.join(map(hanging_line, code.split('\n'))) + end


def slim_icons(docs):
    "Keep of two thousand icons' rules those that the site shows."
    path = docs/'site_libs/bootstrap-icons/bootstrap-icons.min.css'
    texts = [p.read_text() for p in [*docs.rglob('*.html'), docs/SITE]]
    shown = {o for text in texts for o in re.findall(r'\bbi-[\w-]+', text)}
    rules = ICON.sub(lambda o: o[0] if o[1] in shown else '', path.read_text())
    path.write_text(rules)


def settle_page(page, docs, host):
    "Maths from beside the page, code that hangs, links that are relative."
    up = '../'*(len(page.relative_to(docs).parts) - 1)
    text = CDN.sub(f'{up}site_libs/katex', page.read_text())
    text = CODE.sub(hanging, text)
    page.write_text(text.replace(f'href="{host}', f'href="{up}'))


def settle_search(docs):
    "Search that works from a file too."
    replace(docs/SITE, FETCH_INDEX, LOAD_INDEX)
    index = docs/'search.json'
    entries = map(json.dumps, json.loads(index.read_text()))
    text = ',\n'.join(entries)
    (docs/'search.js').write_text(f'searchIndex = [\n{text}\n];\n')
    index.unlink()


def settle(docs, host):
    "Let the site stand by itself, and without the time of its building."
    shutil.copytree(KATEX, docs/'site_libs/katex')
    for page in docs.rglob('*.html'): settle_page(page, docs, host)
    for theme in (docs/'site_libs/themes').glob('*.css'):
        theme.write_text(FONTS.sub('', theme.read_text()))
    slim_icons(docs)
    settle_search(docs)
    (docs/'sitemap.xml').unlink()


def below_title(text): return f'<div class="quarto-title-meta">{text}</div>'


def offer_notebooks(pages, docs):
    "Put each notebook beside its page, and a link to it below the title."
    for path, where in sources(pages):
        if path.suffix != '.ipynb': continue
        # Under its own name, so that links among notebooks arrive
        shutil.copyfile(path, docs/where)
        to = f'class="notebook-link" href="{where.name}" download'
        link = below_title(f'<a {to}>Open as notebook</a>')
        page = (docs/unnumbered(where.as_posix())).with_suffix('.html')
        replace(page, below_title(''), link)


MOVED = {
    'cli.html': 'cli/index.html',
    'data/movielens.html': 'datasets/movielens.html',
    'data/synthetic.html': 'datasets/synthetic.html',
    'serving/run.html': 'runs/run.html'}
MOVED_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Moved</title>
<meta http-equiv="refresh" content="0; url={to}"></head>
<body><p>This page has moved <a href="{to}">here</a>.</p></body></html>
"""


def redirect(docs):
    "Where a page stood once, leave one that leads on to where it stands now."
    for old, new in MOVED.items():
        to = '../'*old.count('/') + new
        (docs/old).write_text(MOVED_PAGE.format(to=to))


def main():
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    config = get_config()
    refresh_quarto_yml()
    _build_modidx()
    folder, docs = config.config_path/'_proc', config.doc_path
    prepare(config.nbs_path, folder)
    site = smalldocs(folder, quiet=True)
    shutil.rmtree(docs, ignore_errors=True)
    shutil.copytree(site.out, docs)
    settle(docs, config.doc_host + config.doc_baseurl)
    offer_notebooks(config.nbs_path, docs)
    redirect(docs)
    print('\n'.join([f'docs/ holds {len(site.pages)} pages', *site.warnings]))


if __name__ == '__main__': main()
