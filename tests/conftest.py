"What every test needs: where the project is, and whether slow cells run too."
import os
from pathlib import Path

import pytest

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ.setdefault('MPLBACKEND', 'agg')
root = Path(__file__).parents[1]


def pytest_addoption(parser):
    parser.addoption('--slow', action='store_true',
                     help='run the cells marked `#| slow` too')


@pytest.fixture(scope='session')
def project(): return root
