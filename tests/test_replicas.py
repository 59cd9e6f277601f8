"""Several replicas train, evaluate and predict as one process does.

Devices are set up before TensorFlow starts, so each side has processes of its
own: one, one with two devices, and two that know each other by `TF_CONFIG`."""
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from promises import promise

script = Path(__file__).with_name('replicas.py')
quick = 'float64', 'adam-bn-handed'
every = ['adam', 'adam-scores-arrays', 'adagrad-bn-scores', 'ftrl-arrays',
         'sgd', 'wide-bn-WideDeep']
atol = dict(float64=1e-9, float32=1e-5)


def free_ports(n):
    "As many ports of this machine that nobody listens on."
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets: s.bind(('127.0.0.1', 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets: s.close()
    return ports


def start(role, file, policy, cases, **environment):
    "A process of the script, whose output goes to a file beside `file`."
    words = [sys.executable, script, role, policy, cases, file]
    env = dict(os.environ, CUDA_VISIBLE_DEVICES='-1') | environment
    with open(file.with_suffix('.txt'), 'w') as said:
        out = dict(stdout=said, stderr=subprocess.STDOUT)
        return subprocess.Popen([*map(str, words)], env=env, **out)


def start_workers(folder, *asked):
    "Two workers of one cluster."
    addresses = [f'127.0.0.1:{port}' for port in free_ports(2)]
    for i in range(2):
        task = dict(type='worker', index=i)
        cluster = dict(cluster=dict(worker=addresses), task=task)
        file, config = folder/f'worker{i}.npz', json.dumps(cluster)
        yield file, start('worker', file, *asked, TF_CONFIG=config)


def numbers_of(folder, asked, seconds, sides=('mirrored', 'workers')):
    "What one process, two devices and two workers come to, by name."
    files = {role: folder/f'{role}.npz' for role in ('one', 'mirrored')
             if role in ('one', *sides)}
    running = [(f, start(role, f, *asked)) for role, f in files.items()]
    try:
        if 'workers' in sides: running += start_workers(folder, *asked)
        for file, process in running:
            failed = process.wait(seconds)
            said = file.with_suffix('.txt').read_text()
            assert not failed, said[-3000:]
    finally:
        for _, process in running:
            if process.poll() is None: process.kill()
    return {file.stem: dict(np.load(file)) for file, _ in running}


def assert_as_one(found, atol):
    "Every number of every side is that of one process."
    one = found.pop('one')
    for side, numbers in found.items():
        assert numbers.keys() == one.keys()
        for name, number in numbers.items():
            close = dict(rtol=0, atol=atol, err_msg=f'{side}, {name}')
            np.testing.assert_allclose(number, one[name], **close)
    return one


def assert_learned(one):
    "The loss fell, and no operation was as long as the table."
    first, last = one[f'{quick[1]}: loss']
    assert last < first
    assert (one[f'{quick[1]}: long'] == 0).all()


@promise('Strategies', '`MirroredStrategy`', 'two devices: weights, logs, '
         '`evaluate` and `predict` are those of one process on the joint '
         'batch, to 1e-9 in float64; with padding, several values, L2, '
         'clipping, batch norm and an uneven last batch', 'DeepFM', each=True)
def test_two_devices_are_one(tmp_path):
    found = numbers_of(tmp_path, quick, 120, ['mirrored'])
    assert_learned(assert_as_one(found, 1e-9))


@promise('Strategies', '`MultiWorkerMirroredStrategy`', 'two processes that '
         'know each other by `TF_CONFIG`: the same', 'DeepFM', each=True)
def test_two_workers_are_one(tmp_path):
    found = numbers_of(tmp_path, quick, 120, ['workers'])
    assert_learned(assert_as_one(found, 1e-9))


def test_all_models(tmp_path, request):
    if not request.config.getoption('slow'): pytest.skip('with --slow')
    from recofm.models import family
    cases = ','.join(f'adam-{kind}' for kind in family)
    assert_as_one(numbers_of(tmp_path, ('float64', cases), 900), 1e-9)


@pytest.mark.parametrize('policy', atol)
def test_whatever_the_optimizer(policy, tmp_path, request):
    if not request.config.getoption('slow'): pytest.skip('with --slow')
    found = numbers_of(tmp_path, (policy, ','.join(every)), 900)
    assert_as_one(found, atol[policy])
