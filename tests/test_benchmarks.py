"The benchmarks' helpers, and the results that the page reads. Not timed."
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
    for name in ('competitors', 'jobs', 'service', 'streams', 'summary',
                 'tables'):
        sys.modules.pop(name, None)


def turn(label, number, value, **more):
    "What a competitor did in one round."
    done = dict(job='j', label=label, round=number, value=value, load=0.)
    return done | more


def turns(**values):
    "A turn for each value of a competitor, round after round."
    return [turn(label, number, value) for label, found in values.items()
            for number, value in enumerate(found)]


def test_ratios_are_taken_within_a_round():
    from summary import ratio
    found = turns(a=[10., 2., 9., 7.], b=[5., 4., 3.])
    assert ratio(found, 'a', 'b') == dict(median=2., low=.5, high=3., n=3)
    assert ratio(found, 'a') == dict(median=8., low=2., high=10., n=4)
    assert ratio(found, 'a', 'c') is None


def test_a_ratio_knows_which_way_is_better():
    from jobs import Ratio
    large = Ratio('', '', '', must=2)
    small = Ratio('', '', '', must=2, smaller=True)
    assert large.reached(2) and not large.reached(1.9)
    assert small.reached(1.9) and not small.reached(2.1)
    assert Ratio('', '', '').reached(0) is None


def test_bytes_by_hand():
    from summary import bytes_per_example, bytes_per_step_dense, share_of_limit
    assert bytes_per_example(2, 16) == 2 * 68 * 7 + 8 + 4 == 964
    assert bytes_per_step_dense(1000, 16) == 1000 * 68 * 7
    assert share_of_limit(1e6, 2, 16, 9.64e9) == pytest.approx(.1)


def one_round(job, value):
    "A round in which `a` reaches `value`, `b` 1, and a copy 964."
    a = turn('a', 0, value, sizes=[5, 5], steps=7, auc=.7)
    b = turn('b', 0, 1., sizes=[5, 5], auc=.6)
    return [one | dict(job=job) for one in (a, b, turn('copy', 0, 964.))]


def test_results_keep_what_was_not_measured_again():
    from jobs import Job, Ratio, Worker
    from summary import results
    workers = [Worker('copy', 'copy'), Worker('a'), Worker('b')]
    jobs = {n: Job(n, workers) for n in ('j', 'k')}
    ratios = [Ratio(f'{n}: a over b', n, 'a', 'b', must=1.5) for n in jobs]
    first = results(one_round('j', 2.) + one_round('k', 1.), jobs, ratios)
    assert [r['reached'] for r in first['ratios']] == [True, False]
    row = first['jobs']['j']['rows']['a']
    assert row == row | dict(median=2., share=2., steps=7, auc=.7)
    assert first['jobs']['j']['auc_spread'] == pytest.approx(.1)
    kept = json.loads(json.dumps(first))
    second = results(one_round('k', 3.), jobs, ratios, kept)
    assert [r['median'] for r in second['ratios']] == [2., 3.]
    assert second['jobs']['j']['rows']['a']['median'] == 2.


def test_a_competitor_that_fails_says_so_in_the_results():
    from jobs import Job, Worker
    from summary import job_result
    failed = dict(job='j', label='b', round=0, load=0., error='no memory')
    job = Job('', [Worker('a'), Worker('b')])
    rows = job_result(job, [turn('a', 0, 1.), failed])['rows']
    assert rows['b'] == dict(error='no memory') and rows['a']['median'] == 1.


@pytest.fixture(scope='module')
def committed(): return json.loads((folder/'results.json').read_text())


def ordered(found): return found['low'] <= found['median'] <= found['high']


def test_the_committed_results_are_those_of_the_jobs(committed):
    from jobs import jobs, ratios
    assert set(committed['jobs']) <= set(jobs)
    titles = {r['title'] for r in committed['ratios']}
    assert titles <= {r.title for r in ratios}
    assert {'cpu', 'cores', 'packages', 'date'} <= set(committed['machine'])
    assert all(ordered(r) and r['n'] >= 1 for r in committed['ratios'])


def test_competitors_of_a_committed_job_agree(committed):
    for name, job in committed['jobs'].items():
        assert job['rows'], f'Expected results of {name}. Received none'
        spread = f'Received a spread of {job["auc_spread"]}'
        assert job['auc_agrees'], f'Expected {name} to agree in AUC. {spread}'
        for row in job['rows'].values(): assert 'error' in row or ordered(row)


def test_ratios_name_competitors_of_their_jobs():
    from jobs import jobs, ratios
    for r in ratios:
        named, known = {r.of, r.than} - {''}, set(jobs[r.job].named())
        message = f'Expected competitors among {known}. Received {named}'
        assert named <= known, message


def test_the_way_from_tables_is_measured_part_by_part(tmp_path, capsys):
    from tables import main
    out = tmp_path/'tables.json'
    few = '--rows', '2000', '--rounds', '2', '--out', str(out)
    main(['libffm', *few])
    main(['encode', 'several', *few])
    found = json.loads(out.read_text())
    assert [*found] == ['encode', 'several', 'libffm']
    for part in found.values():
        assert {'cpu', 'cores', 'load', 'date'} <= set(part['machine'])
        assert all(ordered(f) and f['n'] == 2 for f in part['figures'])
    assert 'times a loop over dictionaries' in capsys.readouterr().out


@pytest.mark.parametrize('part', [
    'fit', 'stored', pytest.param('train', marks=pytest.mark.slow)])
def test_a_part_with_files_is_measured(tmp_path, part):
    from tables import main
    out = tmp_path/'tables.json'
    main([part, '--rows', '5000', '--rounds', '1', '--out', str(out),
          '--folder', str(tmp_path)])
    assert all(f['median'] > 0 for f in json.loads(out.read_text())[part]
               ['figures'])
    assert [*tmp_path.iterdir()] == [out]


def test_the_service_is_held_against_the_plain_one_within_a_round():
    from service import summed
    def turn(n): return dict(requests_s=n, p99_ms=8 / n, cpu_ms=1.)
    rounds = [dict(plain=turn(2), service=turn(n)) for n in (2, 4, 16)]
    found = summed(rounds)
    assert found['service']['requests_s'] == 4
    for name in 'requests_s', 'p99_ms':
        assert found[f'times_{name}'] == dict(median=2., low=1., high=8.)
    assert found['times_cpu_ms']['median'] == 1


def test_the_former_recofm_is_found_in_another_tree(tmp_path):
    from tables import asked
    here = Path(__file__).parents[1]
    columns = asked(['--former', str(here)]).module('data.fields')
    assert columns.__name__ == 'recofm_former.data.fields'
    assert asked([]).module('data.fields') is None
    with pytest.raises(SystemExit): asked(['--former', str(tmp_path)])
    with pytest.raises(SystemExit): asked(['nothing'])


def test_the_committed_figures_of_tables_are_of_its_parts():
    from tables import parts
    file = folder/'tables.json'
    if not file.exists(): pytest.skip('nothing was measured')
    found = json.loads(file.read_text())
    assert set(found) <= set(parts)
    assert all(ordered(f) for p in found.values() for f in p['figures'])
