"Every option of every command with values that it cannot take."
import pytest
from test_run import mistake, said

from recofm.cli import parser
from recofm.cli.options import all_options
from recofm.datasets.synthetic import planted

whole = parser()
commands = whole.commands
needed = dict(train=[], infer=[], search=[], recommend=['run', '--user', '1'],
              similar=['run', '--item', '1'],
              compare=['run', 'run2'], models=[], data=[],
              explain=['run', '--user', '1', '--item', '1'],
              export=['run', '--out', 'served'])
flags = [(name, flag) for name, command in commands.items()
         for action in command._actions for flag in action.option_strings
         if action.nargs != 0]


def refused(capsys, *words):
    "What the parser says, a line on the standard error."
    with pytest.raises(SystemExit) as e: whole.parse_args([*words])
    assert e.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith('recofm: Expected ') and told.count('\n') == 1
    assert 'Received' in told and f'See recofm {words[0]} --help' in told
    return told


def test_every_command_is_tried(): assert len(flags) > 90


def test_an_option_needs_a_value(capsys):
    for command, flag in flags:
        told = refused(capsys, command, *needed.get(command, ['run']), flag)
        assert f'Expected {flag} with a value. Received none' in told


def test_an_empty_word_is_none(capsys):
    "Lists may hold an empty name, and say so later; --quoting '' is a value."
    for command, flag in flags:
        option = all_options().get(flag[2:].replace('-', '_'))
        if option and (option.kind is list or option.empty): continue
        if flag in ('--context', '--keep', '--by', '--try'): continue
        told = refused(capsys, command, *needed.get(command, ['run']),
                       flag, '')
        assert f"Expected {flag} with a value. Received ''" in told


def test_a_number_is_a_number(capsys):
    for option in all_options().values():
        if option.kind not in (int, float): continue
        for word in ('ten', '1,5', '0x10'):
            told = refused(capsys, 'train', option.flag, word)
            assert option.flag in told and repr(word) in told


def test_no_option_is_taken_by_an_abbreviation(capsys):
    for command, flag in flags:
        known = commands[command].format_help().split()
        if len(flag) < 5 or flag[:-1] in known: continue
        words = needed.get(command, ['run'])
        told = refused(capsys, command, *words, flag[:-1], '1')
        assert f'Received {flag[:-1]!r}' in told and 'did you mean' in told


def test_a_name_with_a_comma(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = planted(n=400, sizes=(20, 20), names=('last, first', 'film')).frame
    rows.to_csv('views.csv', index=False)
    words = ['--data', 'views.csv', '--target', 'label', '--item', 'film',
             '--model', 'FM', '--epochs', 1]
    told = mistake('train', *words, '--user', 'last, first', '--out', 'x')
    assert "lacks 'last'" in told
    shown = said('train', *words, '--user', '"last, first"', '--out', 'run')
    assert 'last, first' in shown
    assert 'user = ["last, first"]' in (tmp_path/'run/recipe.toml').read_text()
    said('train', '--config', 'run/recipe.toml', '--out', 'again')
    said('predict', 'run', '--data', 'views.csv', '--out', 'scores.csv',
         '--keep', '"last, first",film')
    first = (tmp_path/'scores.csv').read_text().splitlines()[0]
    assert first.split('"')[1::2] == ['last, first', 'film', 'prediction'] \
        or first == '"last, first",film,prediction'


def two_columns(n=400):
    return planted(n=n, sizes=(20, 20), names=('user', 'film')).frame


table = ['--target', 'label', '--user', 'user', '--item', 'film',
         '--model', 'FM', '--epochs', 1]


@pytest.mark.parametrize('words, free, expected', [
    ('--dim 999999999', 2**33, ' x 1,000,000,000 weights'),
    ('--set k=999999999', 2**33, 'FM can take. Received k=999999999: Expect'),
    ('--model DeepFM --set hidden_units=[99999999]', 2**33, 'x 99,999,999 w'),
    ('--dim 99999', 2**28, '320 examples, each of 2 x 100,000 numbers')])
def test_too_large_a_model_is_refused_by_name(words, free, expected, tmp_path,
                                              monkeypatch):
    "Linux would end the process, without a word."
    monkeypatch.setattr('recofm.runs.run.free_memory', lambda: free)
    two_columns().to_csv(tmp_path/'views.csv', index=False)
    told = mistake('train', '--data', tmp_path/'views.csv', *table,
                   '--out', tmp_path/'run', *words.split())
    assert expected in told and 'GiB' in told and '--dim' in told, told


def test_too_few_rows_name_the_file(tmp_path):
    for n in (3, 12): two_columns(n).to_csv(tmp_path/f'{n}.csv', index=False)
    words = [*table, '--out', tmp_path/'run']
    told = mistake('train', '--data', tmp_path/'3.csv', *words)
    assert f"{tmp_path/'3.csv'}: expected enough rows" in told
    told = mistake('train', '--data', tmp_path/'12.csv', *words)
    assert f"in the valid part of {tmp_path/'12.csv'}: " in told \
        or f"in the test part of {tmp_path/'12.csv'}: " in told
    two_columns(20).assign(label=1).to_csv(tmp_path/'ones.csv', index=False)
    told = mistake('train', '--data', tmp_path/'12.csv',
                   '--valid', tmp_path/'ones.csv', *words)
    assert f"in the valid part of {tmp_path/'ones.csv'}: " in told


def test_a_run_does_not_lie_among_its_rows(tmp_path):
    rows = tmp_path/'rows'
    rows.mkdir()
    two_columns().to_csv(rows/'views.csv', index=False)
    told = mistake('train', '--data', rows, *table, '--out', rows/'run')
    assert f'Expected --out outside of {rows}, since --data reads' in told
    said('train', '--data', rows, *table, '--out', tmp_path/'run')
    for command in ('predict', 'evaluate'):
        told = mistake(command, tmp_path/'run', '--data', rows,
                       '--out', rows/'scores.csv')
        assert 'Expected --out outside of' in told


@pytest.mark.slow
def test_labels_of_libffm_are_numbers_where_numbers_are_asked(tmp_path):
    import pandas as pd
    lines = [f'{1 if i % 3 else -1} 0:{i % 7}:1 1:{i % 5}:1\n'
             for i in range(200)]
    (tmp_path/'lines.txt').write_text(''.join(lines))
    words = '--data', tmp_path/'lines.txt'
    said('train', *words, '--model', 'FM', '--epochs', 1, '--task', 'rating',
         '--target', 'label', '--out', tmp_path/'run')
    said('evaluate', tmp_path/'run', *words, '--out', tmp_path/'figures.csv')
    figures = pd.read_csv(tmp_path/'figures.csv')
    assert figures.rmse[0] > .6, figures     # of -1 and 1, .94; of 0 and 1, .47


def test_a_packed_table_has_a_bound(tmp_path):
    import gzip
    with gzip.open(tmp_path/'bomb.csv.gz', 'wt') as f:
        f.write('user,film,label\n')
        f.writelines([1_000 * 'x' + ',1,1\n'] * 70_000)
    told = mistake('train', '--data', tmp_path/'bomb.csv.gz', *table,
                   '--out', tmp_path/'run')
    assert 'bomb.csv.gz: expected at most' in told and '--stream' in told


@pytest.mark.parametrize('words, expected', {
    '--combiner men': 'Expected columns for --combiner, as of --multi, ',
    '--multi film --combiner men': "Column 'film': ",
    '--recent film=3 --half-life nan':
        'Expected settings that JSON can hold, as --half-life. Received: ',
    '--recent film=3 --half-life -1': "Column 'film': ",
    '--context label --class-weight up': 'Expected --class-weight among',
    '--keep-every nan': 'Expected --keep-every to be minutes above 0.',
    '--above nan': '--above', '--above 1 --target rating': '--target',
    '--learning-rate 1e20':
        'Epoch 1: expected finite predictions. Received 40 that are NaN',
}.items())
def test_a_value_that_no_run_can_use_names_its_option(words, expected,
                                                      tmp_path):
    two_columns().to_csv(tmp_path/'views.csv', index=False)
    told = mistake('train', '--data', tmp_path/'views.csv', *table,
                   '--out', tmp_path/'run', *words.split())
    assert expected in told and 'Traceback' not in told, told
    assert '_weight' not in told and 'half_life' not in told, told
