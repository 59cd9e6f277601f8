"Which of two models is better, how sure that is, and where."
from shutil import copytree
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_run import mistake, said

from recofm.cli.compare import check_one_target, other_rows
from recofm.datasets.synthetic import planted
from recofm.evaluation.comparison import by_value, drawn, paired_bootstrap
from recofm.evaluation.metrics import auc, logloss, rmse

rng = np.random.default_rng(0)


def predictions(n, noise):
    logits = rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-logits))).astype('float64')
    z = logits[:, None] + np.array(noise) * rng.normal(size=(n, len(noise)))
    return y, *(1 / (1 + np.exp(-z))).T.round(2)


@pytest.mark.parametrize('metric', [auc, logloss, rmse])
@pytest.mark.parametrize('weighted', [False, True])
def test_draws_are_the_metric_with_weights(metric, weighted):
    y, one, other = predictions(300, [.2, 1.])
    w = rng.integers(0, 4, 300).astype(float) if weighted else None
    group = rng.integers(0, 40, 300)
    found = paired_bootstrap(metric, y, one, other, w, group, 50, seed=3)
    own = np.ones(300) if w is None else w
    draws = zip(range(50), drawn(300, group, seed=3))
    slow = [metric(y, one, t * own) - metric(y, other, t * own)
            for _, t in draws]
    low, high = np.quantile(slow, [.025, .975])
    assert found['low'] == pytest.approx(low, abs=1e-12)
    assert found['high'] == pytest.approx(high, abs=1e-12)
    assert found['difference'] == pytest.approx(
        metric(y, one, w) - metric(y, other, w))


def test_rows_of_a_user_are_drawn_together():
    "Copies of rows are no evidence: the interval stays as wide."
    y, one, other = predictions(200, [.5, .6])
    many = [np.repeat(a, 9) for a in (y, one, other)]
    user = np.repeat(np.arange(200), 9)
    def width(*a, **k):
        found = paired_bootstrap(logloss, *a, repeats=300, **k)
        return found['high'] - found['low']
    alone = width(y, one, other)
    assert width(*many, groups=user) == pytest.approx(alone, rel=.2)
    assert width(*many) < .5 * alone


def test_who_wins_where_adds_up():
    y, one, other = predictions(900, [.2, 1.])
    group = rng.choice(['a', 'b', 'c'], 900)
    table = by_value(y, one, other, group, least=1)
    whole = logloss(y, one) - logloss(y, other)
    mean = np.average(table.difference, weights=table.rows)
    assert mean == pytest.approx(whole, abs=1e-6)
    size = (table.difference * table.rows).abs().tolist()
    assert size == sorted(size, reverse=True)


def test_cells_that_are_missing_are_a_group():
    y, one, other = predictions(900, [.2, 1.])
    group = rng.choice(np.array(['a', None, np.nan], object), 900)
    table = by_value(y, one, other, group, least=1)
    assert {*table.index} == {'a', '[missing]'} and table.rows.sum() == 900
    times = next(drawn(900, group))
    assert len({*times[pd.isna(group)]}) == 1
    numbers = np.where(np.arange(900) % 2, np.nan, 1.)
    assert len(by_value(y, one, other, numbers)) == 2


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('compared')
    rows = planted(n=1500, sizes=(30, 20), strength=2., rank=2,
                   names=('user', 'film')).frame
    rows['stars'] = 3. + rows.label
    rows.to_csv(folder/'views.csv', index=False)
    words = ['--data', folder/'views.csv', '--user', 'user', '--item', 'film',
             '--epochs', 2, '--learning-rate', .05]
    click = [*words, '--target', 'label']
    said('train', *click, '--model', 'FM', '--out', folder/'fm')
    said('train', *click, '--model', 'LR', '--seed', 5, '--out', folder/'lr')
    said('train', *words, '--target', 'stars', '--task', 'rating',
         '--model', 'FM', '--out', folder/'stars')
    said('train', *click, '--task', 'rating', '--model', 'LR', '--out',
         folder/'numbers')
    gaps = rows.assign(city=np.where(rows.film % 2, 'x', None))
    gaps.to_csv(folder/'gaps.csv', index=False)
    return folder


def test_runs_are_compared_on_one_part(runs, tmp_path):
    told = said('compare', runs/'fm', runs/'lr', '--repeats', 50,
                '--out', tmp_path/'told.csv', '--by', 'film', '--least', 5)
    assert 'it may have learned from these rows' in told    # another seed
    figures = pd.read_csv(tmp_path/'told.csv')
    assert [*figures.metric] == ['auc', 'logloss']
    assert (figures.low <= figures.difference).all()
    assert (figures.difference <= figures.high).all()
    own = said('evaluate', runs/'fm', '--data', runs/'views.csv')
    same = said('compare', runs/'fm', runs/'lr', '--data', runs/'views.csv',
                '--repeats', 2)
    assert own.split('\n')[1].split()[2] in same    # the same AUC
    assert 'film' in told and 'Where they differ most' in told


def test_what_cannot_be_compared(runs):
    assert "Expected models of the target 'label'" in mistake(
        'compare', runs/'fm', runs/'stars')
    assert 'Expected two folders or more' in mistake('compare', runs/'fm')
    assert 'Expected an artifact in' in mistake('compare', runs/'fm', runs)
    assert 'lacks' in mistake('compare', runs/'fm', runs/'lr', '--by', 'nope')
    for name, value in ('repeats', 0), ('least', 0):
        assert f'--{name} must be a whole number of at least 1' in mistake(
            'compare', runs/'fm', runs/'lr', f'--{name}', value)
    assert 'Expected each folder once' in mistake(
        'compare', runs/'fm', f"{runs/'fm'}/")


def test_a_target_is_said_with_its_kind(runs):
    said_so = mistake('compare', runs/'fm', runs/'numbers')
    assert "'label' (clicks)" in said_so and "'label' (numbers)" in said_so


def test_folders_may_have_any_name(runs, tmp_path, monkeypatch):
    "Their predictions take no place of targets, weights and cells."
    own = said('compare', runs/'fm', runs/'lr', '--repeats', 9).split()
    monkeypatch.chdir(tmp_path)
    for one, other in ('target', 'weight'), ('by user', 'weight'):
        copytree(runs/'fm', one, dirs_exist_ok=True)
        copytree(runs/'lr', other, dirs_exist_ok=True)
        told = said('compare', one, other, '--repeats', 9).split()
        plain = [w for w in told if w[0].isdigit()]
        assert plain == [w for w in own if w[0].isdigit()]


def test_rows_are_drawn_and_told_apart_by_cells_that_may_be_empty(runs):
    told = said('compare', runs/'fm', runs/'lr', '--data', runs/'gaps.csv',
                '--draw', 'city', '--by', 'city', '--repeats', 9)
    assert '[missing]' in told


def test_the_rows_are_not_written_over(runs, tmp_path):
    file = tmp_path/'rows.csv'
    file.write_bytes((runs/'views.csv').read_bytes())
    mistake('compare', runs/'fm', runs/'lr', '--data', file, '--out', file)
    assert file.read_bytes() == (runs/'views.csv').read_bytes()


def test_a_split_by_other_times_is_noticed(tmp_path):
    for name in 'ab':
        (tmp_path/name).mkdir()
        (tmp_path/name/'recipe.toml').write_text(
            f"data = 'x.csv'\nsplit = 'time'\ntimestamp = '{name}'\n")
    assert other_rows([tmp_path/'a', tmp_path/'b']) == [tmp_path/'b']


def test_likes_of_other_thresholds_are_other_targets(tmp_path):
    "A rating of 3 is liked by one and not by the other."
    likes = SimpleNamespace(schema=SimpleNamespace(label='liked',
                                                   mean_and_scale=None))
    for name, above in dict(three=3., four=4., again=3.).items():
        (tmp_path/name).mkdir()
        (tmp_path/name/'recipe.toml').write_text(f'above = {above}')
    three, four, again = (str(tmp_path/n) for n in ('three', 'four', 'again'))
    check_one_target({three: likes, again: likes})
    check_one_target({str(tmp_path): likes, four: likes})   # no recipe
    expected = r"'liked' \(clicks, above 3\).*'liked' \(clicks, above 4\)"
    with pytest.raises(ValueError, match=expected):
        check_one_target({three: likes, four: likes})
