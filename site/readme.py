"""Write README.md from the first page, as site/build.py has prepared it:
pictures stand in docs/, links lead into it."""
import base64, re
from pathlib import Path

import yaml
from execnb.nbio import read_nb
from nbdev.config import get_config

COLOURS = re.compile(r'\x1b\[[0-9;]*m')
FENCES = re.compile(r'^:::.*\n?', re.M)
DIRECTIVES = re.compile(r'^#\|.*\n', re.M)
PAGES = re.compile(r'\]\((?!https?:|#|docs/)([\w/]+)\.ipynb')


def fenced(text, language=''): return f'```{language}\n{text.rstrip()}\n```'


def plain(text):
    "Text without a terminal's colours, which a forge shows as brackets."
    return COLOURS.sub('', ''.join(text))


def picture_of(png, pictures):
    "The link to a picture, put beside those that are there."
    n = len(list(pictures.glob('readme-*.png')))
    path = pictures/f'readme-{n + 1}.png'
    path.write_bytes(base64.b64decode(''.join(png)))
    return f'![]({pictures.name}/{path.name})'


def shown(output, pictures):
    "An output as a forge shows it well: markdown, else a picture, else text."
    if output.output_type == 'stream':
        return fenced(plain(output.text)) if output.name == 'stdout' else ''
    data = output.get('data', {})
    if 'text/markdown' in data: return ''.join(data['text/markdown'])
    if 'image/png' in data: return picture_of(data['image/png'], pictures)
    return fenced(plain(data.get('text/plain', '')))


def parts(nb, pictures):
    "The pieces of the page, in order."
    for cell in nb.cells:
        text = cell.source.strip()
        if cell.cell_type == 'raw':
            about = yaml.safe_load(text.strip('-'))
            yield f"# {about['title']}\n\n> {about['description']}"
        elif cell.cell_type == 'markdown': yield FENCES.sub('', text)
        else:
            yield fenced(DIRECTIVES.sub('', text), 'python')
            yield from (shown(o, pictures) for o in cell.get('outputs', []))


def main():
    config = get_config()
    host, docs = config.doc_host + config.doc_baseurl, config.doc_path.name
    nb = read_nb(config.config_path/'_proc'/config.readme_nb)
    text = '\n\n'.join(filter(None, parts(nb, config.doc_path)))
    text = text.replace(f'({host}', f'({docs}/')
    text = PAGES.sub(rf']({docs}/\1.html', text)
    Path(config.config_path/'README.md').write_text(text + '\n', 'utf-8')


if __name__ == '__main__': main()
