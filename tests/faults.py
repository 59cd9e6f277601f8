"""The faults that are tried on each file that recofm reads.

A case is a valid file with one fault. It ends well where the reader refuses
it in one line that names the file, or gives something that can be used.
`python tests/faults.py` tries 5,000 and writes `faults.json`, from which a
page shows a table."""
import gzip
import hashlib
import json
import time
import warnings
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import hypothesis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

table = Path(__file__).with_name('faults.json')
byte_faults = 'random bytes', 'flipped bits', 'cut or torn'
faults = *byte_faults, 'edited, digests right'


# What is wrong with the bytes

def random_bytes(rng, content):
    head = rng.choice([0, 0, 2, 4, 30])
    return content[:head] + rng.randbytes(rng.randint(0, 120))


def flipped_bits(rng, content):
    found = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        bit = rng.randint(0, 8 * len(found) - 1)
        found[bit // 8] ^= 1 << bit % 8
    return bytes(found)


def cut_or_torn(rng, content):
    "The end is lacking, or something in the middle, or there is more."
    at = rng.randint(0, len(content) - 1)
    rest = rng.choice(['', 'later', 'twice', 'zeros'])
    return content[:at] + dict(
        later=content[at + 1 + at % 7:], twice=content[at // 2:],
        zeros=bytes(len(content) - at)).get(rest, b'')


def broken(fault, rng, content):
    "The content with a fault of its bytes."
    change = dict(zip(byte_faults, (random_bytes, flipped_bits, cut_or_torn)))
    return change[fault](rng, content)


# What is wrong with JSON

raw = {f'@{word}@': word for word in (
    'NaN', '-Infinity', '1e999', '"\\ud800"', '1' * 5000)}
raw |= {'@deep@': '[' * 50_000 + ']' * 50_000}
odd = (None, True, False, 0, -1, 1, 2, 7, .5, -1.5, 2**31, 2**63, 10**30,
       1e308, 5e-324, '', 'x', 'foo', 'user', 'os.system', '../x', '\0',
       [], [1], [None], ['a', 'a'], {}, {'a': 1}, [[1], [2]], *raw)


def places(content, at=()):
    "The way to each value of a JSON document."
    if at: yield at
    inside = content.items() if isinstance(content, dict) else (
        enumerate(content) if isinstance(content, list) else ())
    for key, value in inside: yield from places(value, (*at, key))


def value_at(content, way):
    for key in way: content = content[key]
    return content


def edit_json(rng, content):
    "The document with one or two of its values changed."
    content = deepcopy(content)
    for _ in range(rng.randint(1, 2)):
        ways = list(places(content))
        if not ways: break
        *above, last = rng.choice(ways)
        inside = value_at(content, above)
        match rng.choice(['odd', 'odd', 'odd', 'out', 'in', 'of']):
            case 'odd': inside[last] = deepcopy(rng.choice(odd))
            case 'out': del inside[last]
            case 'of':
                inside[last] = deepcopy(value_at(content, rng.choice(ways)))
            case 'in' if isinstance(inside, dict):
                inside['extra'] = deepcopy(rng.choice(odd))
            case 'in': inside.append(inside[last])
    return content


def as_json(content) -> bytes:
    "The document, with what only a broken writer writes."
    text = json.dumps(content)
    for word, written in raw.items():
        text = text.replace(f'"{word}"', written)
    return text.encode()


# What is wrong with arrays

dtypes = ('int8', 'uint8', 'int32', 'int64', '>i8', 'float32', 'float64',
          'bool', 'U5', 'S3', 'complex64', object)
numbers = 0, 1, -1, 2**31 - 1, 2**40, -2**63, .5, 1e39, np.nan, np.inf


def as_arrays(content) -> dict:
    with np.load(BytesIO(content)) as stored: return dict(stored)


def as_npz(arrays) -> bytes:
    file = BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def shapes(a):
    "The array in shapes that are not its own."
    flat = a.ravel()
    return [a[None], flat[:0], flat[:1], flat[1:], np.repeat(flat, 2),
            flat[::-1], flat[0] if len(flat) else np.zeros(()), a.T]


def edit_array(rng, a):
    "An array that differs in type, shape or one number."
    how = rng.choice(['type', 'shape', 'number', 'number', 'order'])
    with warnings.catch_warnings(), np.errstate(all='ignore'):
        warnings.simplefilter('ignore')
        if how == 'type': return a.astype(rng.choice(dtypes))
        if how == 'shape': return rng.choice(shapes(a))
        if how == 'order' or not a.size: return np.sort(a.ravel())
        found, x = a.copy(), np.float64(rng.choice(numbers))
        found.flat[rng.randint(0, a.size - 1)] = x.astype(a.dtype)
        return found


def edit_npz(rng, content):
    "One or two arrays are changed, left out or added."
    arrays = as_arrays(content)
    for _ in range(rng.randint(1, 2)):
        name = rng.choice(sorted(arrays) or ['a'])
        how = rng.choice(['edit', 'edit', 'edit', 'out', 'in'])
        a = arrays.pop(name, np.zeros(3))
        if how == 'edit': arrays[name] = edit_array(rng, a)
        if how == 'in':
            others = ['extra', '0.extra', 'x/../y', name + '.x', f'0{name}']
            arrays |= {name: a, rng.choice(others): a}
    return as_npz(arrays)


# What is wrong with text

cells = ('', '-1', '0', 'nan', 'inf', '1e400', '1e39', '"', '""', "a'b", '\0',
         'a,b', 'a:b', '|', '\t', '9' * 400, '٧', '☃', '1_0', '\r', '\n', '=',
         '[', ']]', '{}', '[a]\n', '= 1\n', '0x1F', 'true', '1979-05-27')


def edit_text(rng, text):
    "Words of it are others, or lacking, or twice there."
    for _ in range(rng.randint(1, 3)):
        begin = rng.randint(0, len(text))
        end = min(len(text), begin + rng.choice([0, 1, 1, 3, 9]))
        new = rng.choice([*cells, text[begin:end] * 2])
        text = text[:begin] + new + text[end:]
    return text


# The readers

@dataclass(frozen=True)
class Reader:
    "Something that reads files, and what is tried on it."
    name: str       # In the table
    make: Callable  # The valid files, from name to bytes
    read: Callable  # What takes their folder
    edit: Callable  # What edits them so that their digests are right
    cost: int=1     # So many times fewer cases
    part: str=''    # The file whose bytes are broken; any: all of them


def frame():
    return pd.DataFrame(dict(
        user=['u1', 'u2', 'u3', 'u1'], age=[24., 53., None, 24.],
        film=[10, 11, 12, 10], hour=[1., 5., 9., 23.],
        genres=['A|B', 'B', 'A', 'A|B'], clicked=[[10], [], [11, 12], [10]],
        title=['Big Fish', 'Fish', 'Big', 'Big Fish'], liked=[1, 0, 1, 0]))


@cache
def schema():
    from recofm.data import Schema
    return Schema.fit(
        frame(), target='liked', user=['user', 'age'], item=['film', 'genres'],
        context=['hour', 'clicked', 'title'], numeric=['age'], text='title',
        multi=['genres', 'clicked'], bucket={'hour': 3}, dim=2,
        share=[('film', 'clicked')])


def saved(thing) -> dict:
    "The files that `save` writes."
    with TemporaryDirectory() as folder:
        thing.save(folder)
        return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


def use_schema(found):
    "A schema that was accepted encodes rows, or says what they lack."
    from recofm.data.inputs import check_inputs
    str(found)
    check_inputs(found.inputs(frame()), found.fields)


def read_schema(folder):
    from recofm.data import Schema
    return partial(use_schema, Schema.load(folder))


def catalogue():
    from recofm.serving.catalogue import Catalogue
    return Catalogue.fit(frame(), schema())


def read_catalogue(folder):
    from recofm.serving.catalogue import Catalogue
    found = Catalogue.load(folder, schema())
    def use():
        assert len(found.labels) == len(found.items.values)
        seen = [found.seen[a:b] for a, b in zip(found.offsets,
                                                found.offsets[1:])]
        for items in seen: found.item_inputs['ids'][items]
    return use


def right_pair(files) -> dict:
    "The files of pairs, where each JSON holds the digest of its arrays."
    for name in [n for n in files if n.endswith('.npz')]:
        other = name.replace('.npz', '.json')
        try: content = json.loads(files[other])
        except (KeyError, ValueError, RecursionError): continue
        if not isinstance(content, dict): continue
        digest = hashlib.sha256(files[name]).hexdigest()
        if 'arrays' not in content: continue
        files[other] = as_json(content | dict(arrays=digest))
    return files


def edit_pair(rng, files):
    name = rng.choice(sorted(files))
    if name.endswith('.npz'):
        return files | {name: edit_npz(rng, files[name])}
    return files | {name: as_json(edit_json(rng, json.loads(files[name])))}


def edit_only_json(rng, files):
    [(name, content)] = files.items()
    return {name: as_json(edit_json(rng, json.loads(content)))}


def matrix_schema():
    from recofm.data import MatrixSchema
    with TemporaryDirectory() as folder:
        file = Path(folder, 'columns.json')
        MatrixSchema.fit(np.eye(4), dict(a=3, b=1), dim=2).save(file)
        return {file.name: file.read_bytes()}


def read_matrix_schema(folder):
    from recofm.data import MatrixSchema
    found = MatrixSchema.load(folder/'columns.json')
    return lambda: found.inputs(np.eye(4))


def settings():
    from recofm.runs.settings import Settings
    columns = dict(target='liked', user=['user', 'age'], item='film',
                   numeric=['age'], bucket={}, dim=4)
    found = Settings('DeepFM', columns, dict(hidden_units=[8]))
    return {'settings.json': found.as_json()}


def read_settings(folder):
    from recofm.runs.settings import Settings, check_settings
    found = Settings.load(folder)
    return lambda: check_settings(found)


text = 'user,film,age,title,liked\n' + 3 * (
    'u1,10,24,"Big, Fish",1\nu2,11,,Fish,0\nu3,12,53,"a\nb",true\n')
recipe_text = '''data = "a.csv"
target = "liked"
user = ["user", "age"]
item = ["film"]
numeric = ["age"]
model = "DeepFM"
epochs = 3
learning-rate = 0.01

[set]
hidden_units = [8, 4]

[bucket]
hour = 4
'''
libffm = '1 0:3:1 1:7:0.5\n0 0:4:1 1:7:-2.5 2:9:1\n\n1 0:3:1\n'


def edit_only_text(rng, files):
    [(name, content)] = files.items()
    packed = name.endswith('.gz')
    content = (gzip.decompress(content) if packed else content).decode()
    found = edit_text(rng, content).encode()
    return {name: gzip.compress(found, mtime=0) if packed else found}


def read_rows(name, folder):
    from recofm.data import read_table
    numbers = ['age', 'liked']
    read_table(folder/name, numbers=numbers, missing=['NA'])
    return lambda: None


def read_recipe(folder):
    from recofm.cli.options import recipe
    recipe(folder/'recipe.toml')
    return lambda: None


def read_lines(folder):
    from recofm.data import MatrixSchema, read_libffm
    X, y, columns = read_libffm(folder/'train.ffm')
    assert np.isfinite(y).all()
    def use(): MatrixSchema.fit(X, columns[:, 0]).inputs(X)
    return use


def parquet(columns=None) -> dict:
    file = BytesIO()
    columns = frame().to_dict('list') if columns is None else columns
    pq.write_table(pa.table(columns), file)
    return {'rows.parquet': file.getvalue()}


odd_columns = (
    [None] * 4, [{'a': 1}] * 4, [[[1]], None, [], [[2]]], [b'\xff'] * 4,
    [10**18] * 4, [1e308, np.nan, -np.inf, 5e-324], ['\0', '', 'é', None],
    pa.array([1, 2, 3, 4], pa.duration('ns')),
    pa.array([1, 2, 3, 4], pa.timestamp('ns', 'UTC')),
    pa.array(['a', 'b', 'a', None]).dictionary_encode(), [True] * 4)


def edit_parquet(rng, files):
    columns = frame().to_dict('list')
    name = rng.choice(sorted(columns))
    if rng.random() < .5: columns['extra'] = columns.pop(name)
    else: columns[name] = rng.choice(odd_columns)
    return parquet(columns)


def read_parquet(folder):
    from recofm.data import read_table
    found = read_table(folder/'rows.parquet')
    return lambda: schema().inputs(found)


def archive() -> dict:
    "The tiny archive of the page of MovieLens, as text files."
    return {
        'u.data': '1\t1\t5\t900000000\n2\t1\t3\t900000100\n3\t2\t4\t0\n',
        'u.user': '1|31|F|artist|10115\n2|24|M|student|05201\n'
                  '3|57|M|other|T8H1N\n',
        'u.item': "1|Été Indien (1994)|01-Jan-1994||http://|0|0|1|1\n"
                  '2|Harbour (1986) |||http://|0|0|1|0\n',
        'u.genre': 'unknown|0\nAnimation|1\nDrama|2\nRomance|3\n\n'}


def zipped(members) -> dict:
    file = BytesIO()
    with ZipFile(file, 'w', ZIP_DEFLATED) as packed:
        for name, content in members.items():
            content = content.encode('latin-1', 'replace')
            packed.writestr(f'ml-100k/{name}', content)
    return {'tiny.zip': file.getvalue()}


def edit_archive(rng, files):
    members = archive()
    name = rng.choice(sorted(members))
    content = members.pop(name)
    how = rng.choice(['edit'] * 6 + ['out', 'name', 'outside'])
    renamed = dict(name=f'x{name}', outside=f'../../{name}').get(how, name)
    if how == 'edit': content = edit_text(rng, content)
    return zipped(members | ({} if how == 'out' else {renamed: content}))


def read_archive(folder):
    from recofm.datasets.movielens import (
        Dataset, Source, from_folder, read_100k)
    sources = Source('tiny.zip', None, read_100k),
    found = from_folder(Dataset(3, 3, 2, 2, sources), folder, [])
    assert len(found) == 3
    return lambda: None


def state():
    from recofm.training.states import state_bytes
    rng = np.random.default_rng(0)
    found = dict(
        about=dict(model='FM', k=2), environment=dict(keras='3'), epochs=2,
        stopped=False, order_seed=7, optimizer=[('rate', np.float32(.1))],
        variables=[('table', rng.random((3, 2))), ('n', np.array(3))],
        callbacks=dict(EarlyStopping=dict(best=.5, wait=0)),
        history=dict(epoch=[0, 1], history=dict(loss=[.7, .6])))
    return {'state.npz': bytes(state_bytes(found))}


def edit_state(rng, files):
    "Its arrays, or the JSON that is one of them."
    [(name, content)] = files.items()
    if rng.random() < .5: return {name: edit_npz(rng, content)}
    arrays = as_arrays(content)
    said = as_json(edit_json(rng, json.loads(arrays['text'].tobytes())))
    arrays['text'] = np.frombuffer(said, 'uint8')
    return {name: as_npz(arrays)}


def read_kept(folder):
    from recofm.training.states import read_state
    read_state(folder/'state.npz')
    return lambda: None


@cache
def artifact_files() -> dict:
    "All files of a small model, of its schema and its catalogue."
    import keras
    from recofm.models import DeepFM
    from recofm.serving import Artifact
    keras.utils.set_random_seed(0)
    model = DeepFM(schema().fields, hidden_units=[3], bn_use=True)
    model.compile()
    model.fit(schema().batches(frame()), verbose=0)
    with TemporaryDirectory() as folder:
        Artifact(model, schema(), catalogue()).save(f'{folder}/a')
        return {p.name: p.read_bytes() for p in Path(folder, 'a').iterdir()}


def read_artifact(folder):
    from recofm.serving import Artifact
    found = Artifact.load(folder)
    def use():
        assert found.score(frame()).shape == (4,)
        assert len(found.recommend('u1', k=1)) == 1
    return use


def members(content) -> dict:
    with ZipFile(BytesIO(content)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def edit_weights(rng, content):
    "An HDF5 file in which an array differs, is lacking, or is none."
    import h5py
    file, found = BytesIO(content), []
    with h5py.File(file, 'r+') as f:
        f.visititems(lambda n, a: found.append(n) if hasattr(a, 'dtype')
                     else None)
        name = rng.choice(found)
        how = rng.choice(['edit'] * 4 + ['out', 'in', 'link', 'packed', 'huge',
                                         'outside', 'named'])
        if how in ('in', 'named'): f[f'{name}x'] = np.ones(3)
        if how == 'named': f[name].attrs['dtype'] = 'bfloat16'
        if how in ('in', 'named'): return file.getvalue()
        a = np.asarray(f[name])
        del f[name]
        if how == 'edit':
            try: f[name] = edit_array(rng, a)
            except TypeError: f[name] = np.zeros(a.shape, 'S1')
        if how == 'link': f[name] = h5py.SoftLink('/vars/0')
        if how == 'outside': f[name] = h5py.ExternalLink('/etc/passwd', '/a')
        if how == 'packed' and a.shape:
            f.create_dataset(name, data=a, compression='gzip')
        if how == 'huge': f.create_dataset(name, (2**40,), 'float32')
    return file.getvalue()


def edit_model(rng, content):
    "A `.keras` file of which a member differs."
    found, file = members(content), BytesIO()
    how = rng.choice(['config'] * 6 + ['weights'] * 4 + [
        'metadata', 'out', 'in', 'packed'])
    if how == 'config':
        config = json.loads(found['config.json'])
        found['config.json'] = as_json(edit_json(rng, config))
    if how == 'weights':
        name = 'model.weights.h5'
        found[name] = edit_weights(rng, found[name])
    if how == 'metadata': found['metadata.json'] = b'[1]'
    if how == 'out': found.pop(rng.choice(sorted(found)))
    if how == 'in': found[rng.choice(['assets/a', '../x', 'x'])] = b'0'
    packed = ZIP_DEFLATED if how == 'packed' else ZIP_STORED
    with ZipFile(file, 'w', packed) as target:
        for name, written in found.items(): target.writestr(name, written)
    return file.getvalue()


def edit_artifact(rng, files):
    name = rng.choice(['artifact.json'] * 3 + sorted(files))
    if name == 'model.keras':
        return files | {name: edit_model(rng, files[name])}
    if name == 'artifact.json':
        return files | edit_only_json(rng, {name: files[name]})
    pair = {n: c for n, c in files.items() if n[:5] == name[:5]}
    return files | edit_pair(rng, pair)


def edit_its_model(rng, files):
    return files | {'model.keras': edit_model(rng, files['model.keras'])}


def right_artifact(files) -> dict:
    "The files, where `artifact.json` holds the digests of the others."
    name = 'artifact.json'
    try: content = json.loads(files[name])
    except (KeyError, ValueError, RecursionError): return files
    if not isinstance(content, dict): return files
    if not isinstance(listed := content.get('files'), dict): return files
    for part in set(listed) & set(files):
        listed[part] = hashlib.sha256(files[part]).hexdigest()
    return files | {name: as_json(content)}


readers = (
    Reader('`Schema`', lambda: saved(schema()), read_schema, edit_pair),
    Reader('`Catalogue`', lambda: saved(catalogue()), read_catalogue,
           edit_pair),
    Reader('`MatrixSchema`', matrix_schema, read_matrix_schema,
           edit_only_json),
    Reader('state of a run', state, read_kept, edit_state),
    Reader('`settings.json`', settings, read_settings, edit_only_json),
    Reader('`recipe.toml`', lambda: {'recipe.toml': recipe_text.encode()},
           read_recipe, edit_only_text),
    Reader('CSV', lambda: {'rows.csv': text.encode()},
           partial(read_rows, 'rows.csv'), edit_only_text),
    Reader('CSV, packed', lambda: {'rows.csv.gz': gzip.compress(
        text.encode(), mtime=0)}, partial(read_rows, 'rows.csv.gz'),
        edit_only_text),
    Reader('Parquet', parquet, read_parquet, edit_parquet),
    Reader('libffm', lambda: {'train.ffm': libffm.encode()}, read_lines,
           edit_only_text),
    Reader('`model.keras`', artifact_files, read_artifact, edit_its_model, 2,
           'model.keras'),
    Reader('artifact, all files', artifact_files, read_artifact,
           edit_artifact, 2),
    Reader('archive of MovieLens', lambda: zipped(archive()), read_archive,
           edit_archive))


# Trying

def one_line(error) -> bool:
    "Whether an error is of the kind that a person reads."
    known = isinstance(error, (ValueError, OSError))
    return known and '\n' not in str(error) and 10 < len(str(error)) < 3000


def ending(read, folder, names) -> tuple:
    "How reading a folder ends, and what was said."
    try: use = read(folder)
    except Exception as e:
        said = any(name in str(e) for name in names) or str(folder) in str(e)
        return 'refused' if said and one_line(e) else 'wrong', repr(e)
    try: use()
    except Exception as e:
        return 'refused' if one_line(e) else 'wrong', f'in use: {e!r}'
    return 'accepted', ''


def watched(read, folder, names) -> tuple:
    "The same, where it is quick and no number overflows unsaid."
    begin = time.perf_counter()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter('always')
        found = ending(read, folder, names)
    overflow = [w for w in said if issubclass(w.category, RuntimeWarning)]
    if overflow: return 'wrong', str(overflow[0].message)
    if (spent := time.perf_counter() - begin) > 10:
        return 'wrong', f'{spent:.0f} seconds'
    return found


def faulty(reader, fault, rng, files) -> dict:
    "The files with one fault."
    if fault not in byte_faults:
        return right_digests(reader.edit(rng, dict(files)))
    name = reader.part or rng.choice(sorted(files))
    found = files | {name: broken(fault, rng, files[name])}
    return right_digests(found) if rng.random() < .5 else found


def right_digests(files): return right_artifact(right_pair(files))


@dataclass
class Row:
    "A row of the table."
    reader: str    # Of `readers`
    fault: str     # Of `faults`
    cases: int     # Tried
    refused: int   # In one line that names the file
    accepted: int  # And could be used
    wrong: int     # Anything else


def tried(reader, fault, cases, folder) -> tuple:
    "The row of a reader and a fault, and the cases that went wrong."
    files, counts, wrong = reader.make(), Counter(), []
    folder = Path(folder)
    for name, content in files.items(): (folder/name).write_bytes(content)
    assert watched(reader.read, folder, files) == ('accepted', '')

    @hypothesis.settings(
        max_examples=max(2, cases // reader.cost), deadline=None,
        database=None, derandomize=True, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(st.randoms(use_true_random=True))
    def case(rng):
        changed = faulty(reader, fault, rng, files)
        hypothesis.assume(changed != files)
        for name, content in changed.items():
            (folder/name).write_bytes(content)
        how, said = watched(reader.read, folder, files)
        counts[how] += 1
        if how == 'wrong': wrong.append((said, {
            n: c for n, c in changed.items() if c != files[n]}))
    case()
    return Row(reader.name, fault, counts.total(), *(
        counts[how] for how in ('refused', 'accepted', 'wrong'))), wrong


def pairs(): return [(r, f) for r in readers for f in faults]


def write(cases=130):
    "Try all, and write the table."
    rows = []
    for reader, fault in pairs():
        with TemporaryDirectory() as folder:
            row, wrong = tried(reader, fault, cases, folder)
        rows.append(asdict(row))
        print(row, *(said for said, _ in wrong[:3]), sep='\n    ', flush=True)
    text = json.dumps(rows, indent=1, ensure_ascii=False)
    table.write_text(text + '\n', encoding='utf-8')


if __name__ == '__main__': write()
