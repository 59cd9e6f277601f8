"Samples of the files that everybody has, where `RECOFM_DATA` has them."
import os
from pathlib import Path

import pytest
from recofm.data import Schema, read_libffm, split
from recofm.datasets.layouts import layouts, read_layout

folder = Path(os.environ.get('RECOFM_DATA', 'no folder'))
samples = dict(
    criteo=('criteo_train_10000.txt.gz', 10_000, 39),
    avazu=('avazu_train_8999.csv.gz', 8_999, 22),
    frappe=('frappe/valid.csv.gz', 57_722, 10))


@pytest.mark.parametrize('name', samples)
def test_a_sample_becomes_a_schema_as_it_lies(name):
    file, rows, columns = samples[name]
    if not (folder/file).is_file(): pytest.skip(f'{folder/file} is not there')
    frame = read_layout(name, folder/file)
    assert len(frame) == rows
    assert len(read_layout(name, folder/file, rows=99)) == 99
    train, *_ = split(frame, (.8, .1, .1), seed=42)
    schema = Schema.fit(train, **layouts[name].columns)
    assert len(schema.fields) == columns
    x, y = schema.inputs(train), schema.target(train)
    assert len(y) == len(train) and set(y) == {0, 1}
    assert x.shape[0] == len(train)


def test_a_sample_of_libffm_as_it_lies():
    files = [folder/'libffm'/f'criteo_small_{n}.txt' for n in ('train', 'test')]
    if not files[0].is_file(): pytest.skip(f'{files[0]} is not there')
    X, y, columns = read_libffm(files[0])
    assert len(y) == 200 and set(y) == {0, 1}
    with pytest.warns(UserWarning, match='are of columns that training'):
        later, _, _ = read_libffm(files[1], columns)
    assert later.shape == (200, X.shape[1])
