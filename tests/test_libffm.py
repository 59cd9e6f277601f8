"Text of libffm and libsvm: two ways of reading agree; what is written is read."
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from recofm.data.libffm import (
    libffm_lines, lines_of, lines_one_by_one, numbered, quick_lines,
    read_libffm, write_libffm)

numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
entries = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1),
                    numbers)
blanks = st.text(' \t', min_size=1, max_size=3)
few = settings(max_examples=200, deadline=None)


def same(one, other):
    for a, b in zip(one, other): np.testing.assert_array_equal(a, b)


@st.composite
def texts(draw):
    "Lines of libffm as anybody may have written them."
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        words = [repr(draw(numbers))]
        words += [f'{f}:{i}:{x!r}' for f, i, x in
                  draw(st.lists(entries, max_size=4))]
        line = draw(st.sampled_from(['', ' ', '+'])) + words[0]
        for word in words[1:]: line += draw(blanks) + word
        lines.append(line.replace('+-', '-'))
        if draw(st.booleans()): lines.append(draw(st.sampled_from(['', ' '])))
    return draw(st.sampled_from(['\n', '\n', '\r\n', '\r'])).join(lines)


@few
@given(texts())
def test_the_quick_way_says_what_the_definition_says(text):
    same(lines_of(text.encode().replace(b'\r\n', b'\n').replace(b'\r', b'\n')),
         lines_one_by_one(text))


@settings(max_examples=2000, deadline=None)
@given(st.text('019+-.eE: \t\n\r_x', max_size=40), st.sampled_from([2, 3]))
def test_whatever_the_text_both_ways_agree(text, parts):
    try: expected = lines_one_by_one(text, 3, parts)
    except ValueError as e:
        with pytest.raises(ValueError) as said:
            lines_of(text.encode().replace(b'\r\n', b'\n')
                     .replace(b'\r', b'\n'), 3, parts)
        assert str(said.value) == str(e)
    else: same(lines_of(text.encode().replace(b'\r', b'\n'), 3, parts),
               expected)


@few
@given(st.binary(max_size=200), st.integers(1, 50))
def test_random_bytes_give_lines_or_one_line_of_error(tmp_path_factory,
                                                      content, size):
    file = tmp_path_factory.getbasetemp()/'random.ffm'
    file.write_bytes(content)
    try: list(libffm_lines(file, size=size))
    except ValueError as e:
        said = str(e)
        assert said.startswith(str(file)) and 'Received' in said
        assert '\n' not in said and len(said) < 600


@few
@given(texts(), st.integers(1, 60))
def test_a_file_may_be_cut_anywhere(tmp_path_factory, text, size):
    file = tmp_path_factory.getbasetemp()/'cut.ffm'
    file.write_bytes(text.encode())
    expected = lines_one_by_one(text)
    if not len(expected.labels): return
    found = zip(*libffm_lines(file, size=size))
    same(map(np.concatenate, found), expected)


@few
@given(st.data())
def test_what_is_written_is_read(tmp_path_factory, data):
    shape = data.draw(array_shapes(min_dims=2, max_dims=2, max_side=6))
    X = data.draw(arrays('float32', shape, elements=numbers))
    y = data.draw(arrays('float32', shape[0], elements=numbers))
    pairs = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))
    columns = data.draw(st.lists(pairs, min_size=shape[1], max_size=shape[1],
                                 unique=True))
    file = tmp_path_factory.getbasetemp()/'written.ffm'
    write_libffm(file, X, y, np.array(columns), rows=2)
    found, labels, known = read_libffm(file, np.array(columns))
    np.testing.assert_array_equal(found.toarray().astype('float32'), X)
    np.testing.assert_array_equal(labels, y)
    again, _, those = read_libffm(file)
    there = np.unique(known[np.flatnonzero((X != 0).any(0))], axis=0)
    np.testing.assert_array_equal(those, there.reshape(-1, 2))
    assert again.nnz == (X != 0).sum()


@few
@given(arrays('int64', st.integers(0, 30), elements=st.integers(0, 60)
              | st.integers(0, 2**63 - 1)))
def test_keys_are_numbered_as_sorting_would(keys):
    same(numbered(keys), np.unique(keys, return_inverse=True))


def test_a_wrong_entry_of_a_long_file_is_named(tmp_path):
    good = '1 ' + ' '.join(f'{f}:{f}:1' for f in range(39))
    wrong = good.replace('38:38:1', '38:38:one')
    file = tmp_path/'long.ffm'
    file.write_text('\n'.join([good] * 5000 + [wrong, good]))
    with pytest.raises(ValueError) as said: read_libffm(file)
    assert 'long.ffm: Line 5001: expected' in str(said.value)
    assert "Received '38:38:one' as entry 39" in str(said.value)


def test_the_quick_way_is_taken():
    block = b'+1 0:3000000000:1\t1:2:-.5e-3\n-1\n'
    same(quick_lines(block), lines_one_by_one(block.decode()))
