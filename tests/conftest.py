"What every test needs: where the project is, and whether slow cells run too."
import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('MPLBACKEND', 'agg')
root = Path(__file__).parents[1]

# A shell ignores Ctrl-C in what it runs behind itself, and that is inherited;
# what the tests start is to be ended by it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:        # by `nohup`
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser):
    parser.addoption('--slow', action='store_true',
                     help='run what is marked slow, cells and tests, too')


def pytest_configure(config):
    config.addinivalue_line('markers', 'slow: run only under --slow')


def pytest_collection_modifyitems(config, items):
    if config.getoption('slow'): return
    slow = [item for item in items if item.get_closest_marker('slow')]
    if slow: config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in set(slow)]


@pytest.fixture(scope='session')
def project(): return root
