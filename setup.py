"Installs what settings.ini says, the one place for version and requirements."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
config = ConfigParser(delimiters=['='])
config.read(here/'settings.ini', encoding='utf-8')
c = config['DEFAULT']
pages = 'recofm=recofm._modidx:d'         # where nbdev finds each name's page
export = c['export_requirements'].split()  # to write and run ONNX
search = c['search_requirements'].split()  # to try settings
serve = c['serve_requirements'].split()    # to answer over HTTP

setup(
    name=c['lib_name'],
    version=c['version'],
    description=c['description'],
    long_description=(here/'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    keywords=c['keywords'],
    author=c['author'],
    author_email=c['author_email'],
    url=c['git_url'],
    license='Apache-2.0',
    packages=find_packages(include=['recofm*']),
    python_requires='>=' + c['min_python'],
    install_requires=c['requirements'].split(),
    extras_require={
        'export': export, 'search': search, 'serve': serve,
        'dev': c['dev_requirements'].split() + export + search + serve},
    entry_points={
        'console_scripts': c['console_scripts'].split(), 'nbdev': [pages]},
)
