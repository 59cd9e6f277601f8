"Weights of rows, from the table to the report and through the command line."
import json

import numpy as np
import pandas as pd
import pytest
from recofm.cli import main
from recofm.data import Schema
from recofm.models import FM



def visits(rows=600):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(dict(user=rng.integers(0, 9, rows),
                              item=rng.integers(0, 7, rows)))
    chance = .2 + .6 * ((frame.user + frame.item) % 2)
    frame['label'] = (rng.random(rows) < chance).astype(int)
    return frame.assign(kept=rng.integers(0, 4, rows))


def fitted(frame, weight, **words):
    schema = Schema.fit(frame, target='label', user=['user'], item=['item'],
                        weight=weight, dim=4)
    model = FM(schema.fields, k=4)
    model.set_weights([np.full_like(w, .1) for w in model.get_weights()])
    model.compile(metrics=[], **words)
    batches = schema.batches(frame, batch_size=len(frame))
    model.fit(batches, epochs=3, shuffle=False, verbose=0,
              validation_data=batches)
    return model, batches


def test_batches_with_weights_are_arrays_with_sample_weight():
    frame = visits()
    model, batches = fitted(frame, 'kept')
    other, plain = fitted(frame, None)
    assert not np.allclose(other.predict(plain), model.predict(plain))
    w = frame.kept.to_numpy('float32')
    by_hand = model.evaluate(plain.inputs, plain.target, sample_weight=w,
                             verbose=0)
    assert model.evaluate(batches, verbose=0) == pytest.approx(by_hand)
    assert model.history.history['val_loss'][-1] == pytest.approx(by_hand)


def test_a_row_of_weight_0_teaches_nothing():
    frame = visits()
    odd = frame.assign(label=frame.label.where(frame.kept > 0, 1 - frame.label))
    one, batches = fitted(frame, 'kept')
    other, _ = fitted(odd, 'kept')
    np.testing.assert_allclose(one.predict(batches), other.predict(batches))


@pytest.mark.parametrize('task', ['click', 'rating'])
def test_a_run_from_the_command_line_is_weighed(task, tmp_path):
    file, out = tmp_path/'visits.csv', tmp_path/'out'
    visits().to_csv(file, index=False)
    options = ['--data', file, '--target', 'label', '--user', 'user',
               '--item', 'item', '--weight', 'kept', '--task', task,
               '--epochs', '2', '--model', 'FM', '--out', out]
    if task == 'click': options += ['--class-weight', 'balanced']
    command = ['train', *map(str, options)]
    main(command)
    assert 'weight = "kept"' in (out/'recipe.toml').read_text()
    assert json.loads((out/'schema.json').read_text())['weight'] == 'kept'
    found = json.loads((out/'metrics.json').read_text())
    assert 'failed' not in found, found['failed']
    wrong = [*command, '--weight', 'label']
    with pytest.raises(SystemExit) as ended: main(wrong)
    said = ended.value.code
    assert said.startswith('recofm: Expected --weight') and '\n' not in said
    assert "Received 'label'" in said
