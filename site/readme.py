"Write README.md from the first page, as site/build.py has prepared it: pictures stand in docs/, links lead into it."
import base64, re
from pathlib import Path

import yaml
from execnb.nbio import read_nb
from nbdev.config import get_config


def fenced(text, language=''): return f'```{language}\n{text.rstrip()}\n```'


def plain(text): return re.sub(r'\x1b\[[0-9;]*m', '', ''.join(text))    # a forge shows the colours of a terminal as brackets


def shown(output, pictures):
    "An output as a forge shows it well: markdown, else a picture, else plain text."
    if output.output_type == 'stream': return fenced(plain(output.text)) if output.name == 'stdout' else ''
    data = output.get('data', {})
    if 'text/markdown' in data: return ''.join(data['text/markdown'])
    if 'image/png' in data:
        picture = f'readme-{len(list(pictures.glob("readme-*.png"))) + 1}.png'
        (pictures/picture).write_bytes(base64.b64decode(''.join(data['image/png'])))
        return f'![]({pictures.name}/{picture})'
    return fenced(plain(data.get('text/plain', '')))


def parts(nb, pictures):
    "The pieces of the page, in order."
    for cell in nb.cells:
        text = cell.source.strip()
        if cell.cell_type == 'raw':
            about = yaml.safe_load(text.strip('-'))
            yield f"# {about['title']}\n\n> {about['description']}"
        elif cell.cell_type == 'markdown': yield re.sub(r'^:::.*\n?', '', text, flags=re.M)
        else:
            yield fenced(re.sub(r'^#\|.*\n', '', text, flags=re.M), 'python')
            yield from (shown(o, pictures) for o in cell.get('outputs', []))


def main():
    config = get_config()
    nb = read_nb(config.config_path/'_proc'/config.readme_nb)
    text = '\n\n'.join(filter(None, parts(nb, config.doc_path)))
    text = text.replace(f'({config.doc_host}{config.doc_baseurl}', f'({config.doc_path.name}/')
    text = re.sub(r'\]\((?!https?:|#|docs/)([\w/]+)\.ipynb', rf']({config.doc_path.name}/\1.html', text)
    Path(config.config_path/'README.md').write_text(text + '\n', encoding='utf-8')


if __name__ == '__main__': main()
