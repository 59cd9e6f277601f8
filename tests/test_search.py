"Settings are searched, a search goes on, and its best is a recipe."
import pytest

optuna = pytest.importorskip('optuna', reason='optuna is not installed')

from test_run import mistake

from recofm.datasets.synthetic import planted
from recofm.runs import search as page
from recofm.runs.search import search, study_in, tried_in
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


def test_one_seed_tries_the_same(tmp_path):
    both = [search(frame, settings, tmp_path/n, space, 2, seed=3,
                   verbose=False)[1] for n in 'ab']
    assert both[0].equals(both[1])


def test_trials_that_cannot_be_trained_fail_alone(tmp_path, capsys):
    "A rate that lets the loss explode; the others go on."
    rates = dict(learning_rate=tried_in('.01|1e30'))
    best, table = search(frame, settings, tmp_path, rates, 6)
    assert best.learning_rate == .01
    assert {'complete'} < {*table.state} | {'fail'}
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
