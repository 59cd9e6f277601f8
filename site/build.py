"""Render nbs/ into docs/. nbdev prepares the pages, smalldocs makes the site; neither Quarto nor a network is needed.

A page runs nothing here: it shows the outputs that its notebook holds, and the exported code itself."""
import ast, inspect, json, os, re, shutil
from importlib import import_module
from pathlib import Path

from execnb.nbio import mk_cell, read_nb, write_nb
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup, _build_modidx, patch_name
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import NBProcessor
from nbdev.processors import clean_magics, filter_stream_, hide_, hide_line, populate_language, rm_header_dash, strip_ansi, strip_hidden_metadata
from nbdev.quarto import refresh_quarto_yml
from nbdev.showdoc import DocmentTbl
from smalldocs.site import build as smalldocs

KATEX = Path(__file__).parent/'vendor/katex'
LOAD_INDEX = """index = await new Promise((done, fail) => {
        const script = document.createElement("script");
        script.src = offset + "search.js";
        script.onload = () => done(window.searchIndex);
        script.onerror = fail;
        document.head.append(script);
      });"""                                                # a script, since a page opened as a file may not fetch
NUMBER = re.compile(r'(?<![\w-])\d+[a-z]?_(\w+\.ipynb)')


def unnumbered(text):
    "`models/20_fm.ipynb` -> `models/fm.ipynb`, the address that nbdev gives a page."
    return NUMBER.sub(r'\1', text)


def definitions(cell):
    "The public names that an exported cell defines: functions, classes, and their public methods."
    for node in ast.parse(cell.source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith('_'):
            name = patch_name(node)
            yield name if isinstance(name, str) else name[0]
            yield from (f'{node.name}.{o.name}' for o in getattr(node, 'body', []) if isinstance(node, ast.ClassDef) and isinstance(o, ast.FunctionDef))


def source(name, module):
    "The address of the line that defines a name, in the repository; empty where the package does not have it yet."
    if not (found := NbdevLookup()[f'{module}.{name}']): return ''
    _, path, address = found
    start = re.compile(rf'(def|class) {name.rpartition(".")[2]}\b')
    lines = (get_config().config_path/path).read_text(encoding='utf-8').splitlines()
    return f'{address}#L{next(n for n, line in enumerate(lines, 1) if start.match(line))}'


def heading(name, module, taken):
    "A definition's heading, where links to its name arrive unless its anchor is taken, and the way to its line in the package."
    link = f'[source]({address}){{.source-link}}\n\n' if (address := source(name, module)) else ''
    anchor = name.lower() + '-definition'*(name.lower() in taken)
    taken.add(anchor)
    return f'{link}### `{name}` {{#{anchor} .definition}}'


def module_of(nb):
    "The module that a page exports; `None` where it exports nothing."
    return next((f"{get_config().lib_name}.{d['default_exp'][0]}" for c in nb.cells if 'default_exp' in (d := c.directives_)), None)


def entry(name, module):
    "What one definition takes: its signature, its line, and a table of its parameters."
    thing = getattr(import_module(module), name, None)
    if not callable(thing): return ''
    plain = inspect.signature(thing)
    plain = plain.replace(parameters=[p.replace(annotation=p.empty) for p in plain.parameters.values()], return_annotation=plain.empty)
    rows = DocmentTbl(thing)._repr_markdown_().strip().splitlines()
    several = [row.count('|') - rows[0].count('|') for row in rows]              # in the cells themselves: a type such as `int | None`
    table = '\n'.join(re.sub(r'(?<=\w) \| (?=None\b)', r' \\| ', row, count=n) if n > 0 else row for row, n in zip(rows, several))
    line = next(iter((inspect.getdoc(thing) or '').splitlines()), '')
    return '\n\n'.join(filter(None, [f'[`{name}`](#{name.lower()})`{plain}`{{.signature}}', line, table]))


def reference(nb):
    "A cell that says what each of the page's definitions takes; `None` where there are none."
    module = module_of(nb)
    names = [name for cell in nb.cells if {'export', 'exports'} & set(cell.directives_) for name in definitions(cell) if '.' not in name]
    entries = [text for name in names if (text := entry(name, module))]
    if entries: return mk_cell('::: {.reference}\n## Reference\n\n' + '\n\n'.join(entries) + '\n:::', 'markdown')


def show_exports(nb):
    "Set each exported definition off from the lessons around it, under a heading; drop what is hidden."
    module = module_of(nb)
    taken = {o.lower() for c in nb.cells if c.cell_type == 'markdown' for o in re.findall(r'^#+ +`?([\w.]+)`?\s*$', c.source, re.M)}
    cells = []
    for cell in nb.cells:
        if {'hide', 'default_exp'} & set(cell.directives_): continue
        if cell.cell_type != 'code' or not {'export', 'exports', 'exporti'} & set(cell.directives_):
            cells.append(cell)
            continue
        names = list(definitions(cell))
        tops = [o for o in names if not any(o.startswith(f'{p}.') for p in names)]
        anchors = ' '.join(f'<a id="{o.lower()}"></a>' for o in names if o not in tops)
        text = '\n\n'.join(filter(None, ['::: {.exported}', *(heading(o, module, taken) for o in tops), anchors]))
        cells += [mk_cell(text, 'markdown'), cell, mk_cell(':::', 'markdown')]
    for i, cell in enumerate(cells):
        cell.idx_ = i
        if 'directives_' not in cell: cell.directives_ = {}
    nb.cells = cells


def split_title(nb):
    "Give the prose below a page's title a cell of its own, since nbdev keeps of the title's cell only `# title` and `> description`."
    i, cell = next((i, c) for i, c in enumerate(nb.cells) if c.cell_type == 'markdown' and c.source.startswith('# '))
    title, text = re.match(r'(# [^\n]+\n*(?:> [^\n]+\n*)?)(.*)', cell.source, re.S).groups()
    cell.source = title
    if text: nb.cells.insert(i + 1, mk_cell(text, 'markdown'))


class Links(NbdevLookup):
    """Links names in backticks to their definitions.

    Not those in a heading or in a link of the author's, and none that may mean another thing: Keras' methods, names of two modules."""
    keras = {'fit', 'evaluate', 'predict', 'compile', 'save', 'summary', 'call', 'build'}

    def doc(self, name):
        places = {module for module, names in self.entries['recofm']['syms'].items() if f'{module}.{name}' in names}
        return None if name in self.keras or len(places) > 1 else super().doc(name)

    def link_line(self, line):
        if line.startswith('#'): return line
        parts = re.split(r'(\[[^\]]*\]\([^)]*\))', line)
        return ''.join(o if i % 2 else super(Links, self).link_line(o) for i, o in enumerate(parts))


def link_names(cell):
    if cell.cell_type == 'markdown': cell.source = unnumbered(Links().linkify(cell.source))


def ran_with():
    "A line with the versions that the pages ran with: those that `make pages` installs."
    pins = dict(line.strip().split('==') for line in (get_config().config_path/'constraints.txt').read_text().splitlines() if '==' in line)
    return 'Ran with ' + ', '.join(f'{name} {pins[package]}' for name, package in dict(TensorFlow='tensorflow', Keras='keras', NumPy='numpy', pandas='pandas').items())


def process(path):
    "One notebook as smalldocs reads it."
    nb = read_nb(path)
    split_title(nb)
    nb.cells.append(mk_cell(f'::: {{.ran-with}}\n{ran_with()} on Python 3.11.\n:::', 'markdown'))
    nb = NBProcessor(nb=nb, procs=FrontmatterProc, process=True).nb
    nb.cells[0].source = re.sub(r'^output-file: .+\n', '', nb.cells[0].source, flags=re.M)    # smalldocs keeps a page's own name
    for cell in nb.cells: cell.setdefault('directives_', {})
    if (found := reference(nb)): nb.cells.insert(-1, found)
    show_exports(nb)
    procs = [populate_language, strip_ansi, hide_line, filter_stream_, rm_header_dash, clean_magics, hide_, link_names, strip_hidden_metadata]
    NBProcessor(nb=nb, procs=procs, rm_directives=False, process=True)
    return nb


def sources(pages):
    "The files of the pages' folder, and where each is in it."
    for path in sorted(pages.rglob('*')):
        where = path.relative_to(pages)
        if path.is_file() and not any(o[0] in '._' for o in where.parts[:-1]) and where.name[0] != '.': yield path, where


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
    "Replace what must be there, so that another version of smalldocs fails loudly."
    text = path.read_text()
    assert old in text, f'{path.name} does not hold {old!r}: has smalldocs changed?'
    path.write_text(text.replace(old, new))


def hanging(block):
    "A block of code whose lines, where they are too long for the page, go on below their own indentation."
    start, code, end = block.groups()
    lines = []
    for line in code.split('\n'):
        indent = len(line) - len(line.lstrip(' '))
        whole = line.count('<span') == line.count('</span')             # not the middle of a string of several lines
        lines.append(f'<span class="line" style="--indent:{indent + 4}ch">{line}</span>' if line and whole else line)
    return start + '\n'.join(lines) + end


def slim_icons(docs):
    "Keep of two thousand icons' rules those that the site shows."
    path = docs/'site_libs/bootstrap-icons/bootstrap-icons.min.css'
    shown = {o for p in [*docs.rglob('*.html'), docs/'site_libs/smalldocs.js'] for o in re.findall(r'\bbi-[\w-]+', p.read_text())}
    path.write_text(re.sub(r'\.(bi-[\w-]+)::before\{[^}]*\}', lambda o: o[0] if o[1] in shown else '', path.read_text()))


def settle(docs, host):
    "Let the site stand by itself: maths from beside it, no fonts from elsewhere, links relative, search from a file too, no times of building."
    shutil.copytree(KATEX, docs/'site_libs/katex')
    for page in docs.rglob('*.html'):
        up = '../'*(len(page.relative_to(docs).parts) - 1)
        text = re.sub(r'https://cdn\.jsdelivr\.net/npm/katex@[\d.]+/dist', f'{up}site_libs/katex', page.read_text())
        text = re.sub(r'(<code class="sourceCode [^>]*>)(.*?)(</code>)', hanging, text, flags=re.S)
        page.write_text(text.replace(f'href="{host}', f'href="{up}'))
    for theme in (docs/'site_libs/themes').glob('*.css'):
        theme.write_text(re.sub(r'@import url\(https:[^)]*\);?', '', theme.read_text()))
    slim_icons(docs)
    replace(docs/'site_libs/smalldocs.js', 'const r = await fetch(offset + "search.json");\n      index = await r.json();', LOAD_INDEX)
    entries = map(json.dumps, json.loads((docs/'search.json').read_text()))
    (docs/'search.js').write_text('searchIndex = [\n' + ',\n'.join(entries) + '\n];\n')
    (docs/'search.json').unlink()
    (docs/'sitemap.xml').unlink()


def offer_notebooks(pages, docs):
    "Put each notebook beside its page, under its own name so that links among notebooks arrive, and a link to it below the title."
    for path, where in sources(pages):
        if path.suffix != '.ipynb': continue
        shutil.copyfile(path, docs/where)
        link = f'<a class="notebook-link" href="{where.name}" download>Open as notebook</a>'
        replace((docs/unnumbered(where.as_posix())).with_suffix('.html'), *(f'<div class="quarto-title-meta">{o}</div>' for o in ('', link)))


MOVED = {
    'cli.html': 'cli/index.html',
    'data/movielens.html': 'datasets/movielens.html',
    'data/synthetic.html': 'datasets/synthetic.html',
    'serving/run.html': 'runs/run.html'}


def redirect(docs):
    "Leave a page where a page stood once, which leads on to where it stands now."
    for old, new in MOVED.items():
        to = '../'*old.count('/') + new
        (docs/old).write_text(f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Moved</title>\n'
                              f'<meta http-equiv="refresh" content="0; url={to}"></head>\n'
                              f'<body><p>This page has moved <a href="{to}">here</a>.</p></body></html>\n')


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
