"Every option of every command with values that it cannot take."
import pytest
from test_run import mistake, said

from recofm.cli import parser
from recofm.cli.options import all_options
from recofm.datasets.synthetic import planted

whole = parser()
commands = whole.commands
needed = dict(train=[], recommend=['run', '--user', '1'],
              similar=['run', '--item', '1'],
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
        if flag in ('--context', '--keep', '--by'): continue
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
