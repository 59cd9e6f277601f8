"Settings are searched, a search goes on, and its best is a recipe."
from dataclasses import replace

import pytest

optuna = pytest.importorskip('optuna', reason='optuna is not installed')

from test_run import mistake, said

from recofm.cli.train import first_arguments
from recofm.datasets.synthetic import planted
from recofm.runs import search as page
from recofm.runs.search import check_space, search, study_in, tried_in
from recofm.runs.settings import Settings

frame = planted(n=800, sizes=(20, 15), names=('user', 'film')).frame
settings = Settings('LR', dict(target='label', user='user', item='film'), {},
                    epochs=2)
space = dict(learning_rate=tried_in('1e-3..0.1'), w_reg=tried_in('1e-6..1.'))


def test_a_trial_that_was_cut_off_is_tried_anew(tmp_path):
    search(frame, settings, tmp_path, space, 1, verbose=False)
    study = study_in(tmp_path, settings, 0)
    cut = study.ask()                 # a process was killed in this one
    taken = {n: tried.suggest(cut, n) for n, tried in space.items()}
    _, table = search(frame, settings, tmp_path, space, 1, verbose=False)
    assert table.state.tolist() == ['complete', 'fail', 'complete']
    assert table.loc[2, list(taken)].to_dict() == pytest.approx(taken)


@pytest.mark.slow
def test_one_seed_tries_the_same(tmp_path):
    both = [search(frame, settings, tmp_path/n, space, 2, seed=3,
                   verbose=False)[1] for n in 'ab']
    assert both[0].equals(both[1])


def test_trials_that_cannot_be_trained_fail_alone(tmp_path, capsys):
    "A rate that lets the loss explode; the others go on."
    rates = dict(learning_rate=tried_in('.01|1e30'))
    best, table = search(frame, settings, tmp_path, rates, 4)
    assert best.learning_rate == .01
    assert {*table.state} == {'complete', 'fail'}
    assert 'best' in capsys.readouterr().out


def test_without_optuna_it_is_said_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(page, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'recofm\[search\]'"):
        search(frame, settings, tmp_path, space, 1)
    frame.to_csv(tmp_path/'views.csv', index=False)
    said = mistake('search', '--data', tmp_path/'views.csv', '--target',
                   'label', '--user', 'user', '--item', 'film', '--out',
                   tmp_path/'found')
    assert "pip install 'recofm[search]'" in said
    assert not (tmp_path/'found').exists()


def test_a_search_goes_on_with_the_same_settings_and_rows(tmp_path):
    "Figures of other tasks, splits or rows are no rivals."
    search(frame, settings, tmp_path, space, 1, verbose=False)
    more = dict(trials=1, verbose=False)
    with pytest.raises(ValueError, match='seed=42.*Received seed=7'):
        search(frame, replace(settings, seed=7), tmp_path, space, **more)
    with pytest.raises(ValueError, match="task='click'"):
        search(frame, replace(settings, task='rating'), tmp_path, space, **more)
    with pytest.raises(ValueError, match='Expected rows to train='):
        search(frame[:700], settings, tmp_path, space, **more)
    _, table = search(frame, settings, tmp_path, space, **more)
    assert len(table) == 2


def test_a_file_that_holds_no_trials_is_named(tmp_path):
    (tmp_path/'search.db').write_text('no data base ' * 99)
    with pytest.raises(ValueError, match="trials of a search in '.*search.db"):
        search(frame, settings, tmp_path, space, 1)


def test_a_folder_may_have_any_name(tmp_path):
    place = tmp_path/'50 %20 ?a=b#c'
    place.mkdir()
    study_in(place, settings, 0)
    assert [p.name for p in place.iterdir()] == ['search.db']


def test_it_is_said_why_trials_fail(tmp_path, capfd):
    units = dict(hidden_units=tried_in('4..8'))
    with pytest.raises(ValueError, match='the last one: .*whole numbers'):
        search(frame, replace(settings, model='DeepFM'), tmp_path, units, 1)
    out, err = capfd.readouterr()
    assert 'failed' in out and 'hidden_units must be a list' in out
    assert 'Traceback' not in err


@pytest.mark.slow
def test_models_are_tried_with_their_own_arguments(tmp_path):
    frame.to_csv(tmp_path/'views.csv', index=False)
    words = ['search', '--data', tmp_path/'views.csv', '--target', 'label',
             '--user', 'user', '--item', 'film', '--epochs', 1, '--try']
    told = said(*words, 'model=FM|LR', '--trials', 2, '--out', tmp_path/'a')
    assert 'failed' not in told
    assert 'an argument of LR' in mistake(
        *words, 'model=FM|LR', 'v_reg=0..1', '--out', tmp_path/'b')
    models = dict(model=tried_in('FM|DeepFM'))
    check_space(models, settings, first_arguments)


def test_lists_are_tried_on_the_command_line(tmp_path):
    frame.to_csv(tmp_path/'views.csv', index=False)
    words = ['search', '--data', tmp_path/'views.csv', '--target', 'label',
             '--user', 'user', '--item', 'film', '--epochs', 1]
    told = said(*words, '--try', 'hidden_units=[4,2]|[4, 2]', '--trials', 1,
                '--out', tmp_path/'a')
    assert 'hidden_units=[4, 2]' in told
    assert '--trials must be a whole number of at least 1' in mistake(
        *words, '--trials', 0, '--out', tmp_path/'b')
