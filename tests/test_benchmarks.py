"The helpers of the benchmarks, and the shape of the results that the page reads. Nothing is timed here."
import json
import sys
from pathlib import Path

import pytest

folder = Path(__file__).parents[1]/'benchmarks'


@pytest.fixture(scope='module', autouse=True)
def benchmarks_importable():
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in ('competitors', 'jobs', 'summary'): sys.modules.pop(name, None)


def turn(label, number, value, **more): return dict(job='j', label=label, round=number, value=value, load=0., **more)


def test_ratios_are_taken_within_a_round():
    from summary import ratio
    turns = [turn('a', 0, 10.), turn('b', 0, 5.), turn('a', 1, 2.), turn('b', 1, 4.), turn('a', 2, 9.), turn('b', 2, 3.), turn('a', 3, 7.)]
    assert ratio(turns, 'a', 'b') == dict(median=2., low=.5, high=3., n=3)
    assert ratio(turns, 'a') == dict(median=8., low=2., high=10., n=4)
    assert ratio(turns, 'a', 'c') is None


def test_a_ratio_knows_which_way_is_better():
    from jobs import Ratio
    assert Ratio('', '', '', must=2).reached(2) and not Ratio('', '', '', must=2).reached(1.9)
    assert Ratio('', '', '', must=2, smaller=True).reached(1.9) and not Ratio('', '', '', must=2, smaller=True).reached(2.1)
    assert Ratio('', '', '').reached(0) is None


def test_bytes_by_hand():
    from summary import bytes_per_example, bytes_per_step_dense, share_of_limit
    assert bytes_per_example(2, 16) == 2 * 68 * 7 + 8 + 4 == 964
    assert bytes_per_step_dense(1000, 16) == 1000 * 68 * 7
    assert share_of_limit(1e6, 2, 16, 9.64e9) == pytest.approx(.1)


def test_results_keep_what_was_not_measured_again():
    from jobs import Job, Ratio, Worker
    from summary import results
    jobs = {n: Job(n, [Worker('copy', 'copy'), Worker('a'), Worker('b')]) for n in ('j', 'k')}
    ratios = [Ratio(f'{n}: a over b', n, 'a', 'b', must=1.5) for n in jobs]
    of = lambda job, a: [dict(turn('a', 0, a, sizes=[5, 5], steps=7, auc=.7), job=job), dict(turn('b', 0, 1., sizes=[5, 5], auc=.6), job=job), dict(turn('copy', 0, 964.), job=job)]
    first = results(of('j', 2.) + of('k', 1.), jobs, ratios)
    assert [r['reached'] for r in first['ratios']] == [True, False]
    assert first['jobs']['j']['rows']['a'] | dict(median=2., share=2., steps=7, auc=.7) == first['jobs']['j']['rows']['a']
    assert first['jobs']['j']['auc_spread'] == pytest.approx(.1)
    second = results(of('k', 3.), jobs, ratios, json.loads(json.dumps(first)))
    assert [r['median'] for r in second['ratios']] == [2., 3.] and second['jobs']['j']['rows']['a']['median'] == 2.


def test_a_competitor_that_fails_says_so_in_the_results():
    from jobs import Job, Worker
    from summary import job_result
    rows = job_result(Job('', [Worker('a'), Worker('b')]), [turn('a', 0, 1.), dict(job='j', label='b', round=0, load=0., error='no memory')])['rows']
    assert rows['b'] == dict(error='no memory') and rows['a']['median'] == 1.


def test_the_committed_results_are_those_of_the_jobs():
    from jobs import jobs, ratios
    found = json.loads((folder/'results.json').read_text())
    assert set(found['jobs']) <= set(jobs) and {r['title'] for r in found['ratios']} <= {r.title for r in ratios}
    assert {'cpu', 'cores', 'packages', 'date'} <= set(found['machine'])
    for name, job in found['jobs'].items():
        assert job['rows'], f'Expected results of {name}. Received none'
        assert job['auc_agrees'], f"Expected the AUC of {name} to agree. Received a spread of {job['auc_spread']}"
        for row in job['rows'].values(): assert 'error' in row or row['low'] <= row['median'] <= row['high']
    for r in found['ratios']: assert r['low'] <= r['median'] <= r['high'] and r['n'] >= 1


def test_ratios_name_competitors_of_their_jobs():
    from jobs import jobs, ratios
    for r in ratios: assert {r.of, r.than} - {''} <= set(jobs[r.job].named()), f'Expected competitors among {list(jobs[r.job].named())}. Received {r.of!r}, {r.than!r}'
