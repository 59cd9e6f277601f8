"""What `test_replicas.py` starts: one model, trained by one process, by the two
devices of one process, or by one of two workers.

    python replicas.py one|mirrored|worker POLICY CASES FILE

It leaves all numbers of each case in FILE: weights, logs, scores."""
import inspect
import sys

import numpy as np
import tensorflow as tf

role, policy, cases, file = sys.argv[1:]
if role == 'mirrored':
    cpu = tf.config.list_physical_devices('CPU')[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
elif role == 'worker':
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
else:
    strategy = tf.distribute.get_strategy()

import keras
from recofm.data.fields import Field
from recofm import models
from recofm.models.deepfm import DeepFM
from recofm.models.wide_deep import wide_deep_optimizer
from recofm.training.optimizers import SparseAdagrad, SparseAdam
from recofm.training.optimizers import SparseFtrl, SparseSGD, full_table_ops

if policy == 'float64': keras.config.set_floatx('float64')
keras.config.set_dtype_policy(policy)
size = 1009                                  # rows of a field, a rare number
fields = [Field('user_id', size, 4, side='user'),
          Field('item_id', size, 4, side='item'),
          Field('genres', 30, 4, 'multi', 'item', slots=3)]
known = models.family
clipped = dict(global_clipnorm=.05, weight_decay=.01)
optimizers = dict(
    adam=lambda: SparseAdam(.01, **clipped), ftrl=lambda: SparseFtrl(.05),
    adagrad=lambda: SparseAdagrad(.05, clipnorm=.05),
    sgd=lambda: SparseSGD(.1, momentum=.9), wide=wide_deep_optimizer)


def examples(n, seed=0):
    "Ids of which many repeat, padding, and a target of both classes."
    draw = np.random.default_rng(seed)
    pair, genres = draw.zipf(1.3, (n, 2)) % size, draw.integers(0, 30, (n, 3))
    ids = np.concatenate([pair, genres], axis=1).astype('int32')
    filled = np.ones((n, 3)), draw.integers(0, 2, (n, 2))
    values = np.concatenate(filled, axis=1).astype('float32')
    y = (ids[:, :1] ^ ids[:, 1:2]) % 2
    return dict(ids=ids, values=values), y.astype('float32')


def made(name):
    "A compiled model; its name says the optimizer and what else is asked for."
    optimizer, *rest = name.split('-')
    kind = next((getattr(models, w) for w in rest if w in known), DeepFM)
    options = dict(hidden_units=(8, 4), bn_use='bn' in rest, dropout=0.,
                   crosses=[['user_id', 'genres']])
    options |= dict.fromkeys(('fm_w_reg', 'w_reg', 'embed_reg', 'v_reg'), 1e-3)
    takes = inspect.signature(kind.__init__).parameters
    options = {name: o for name, o in options.items() if name in takes}
    if 'scores' in rest: options['output_activation'] = None
    keras.utils.set_random_seed(0)
    model = kind(fields, **options)
    model.compile(optimizers[optimizer]())
    return model


def stream(x, y, batch_size):
    "A data set whose every batch is divided among the workers."
    options, kinds = tf.data.Options(), tf.data.experimental.AutoShardPolicy
    options.experimental_distribute.auto_shard_policy = kinds.DATA
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size)
    return data.with_options(options)


def numbers(name):
    "All that one case comes to."
    x, y = examples(256 + 37)
    if 'scores' in name: y = 3*y + 2
    with strategy.scope(): model = made(name)
    how = dict(epochs=2, verbose=0)
    if 'arrays' in name:
        history = model.fit(x, y, batch_size=64, shuffle=False, **how)
    else:
        if 'scores' in name: model.set_target(3.5, 1.5)
        data = stream(x, y, 64)
        if 'handed' in name:
            data = strategy.experimental_distribute_dataset(data)
        history = model.fit(data, **how)
    found = {f'weight {i}': w for i, w in enumerate(model.get_weights())}
    found |= {name: log for name, log in history.history.items()}
    found['evaluate'] = model.evaluate(x, y, batch_size=50, verbose=0)
    found['predict'] = model.predict(x, batch_size=64, verbose=0)
    found['score'] = model.predict(x)
    found['long'] = long_ops(model)
    return found


def long_ops(model):
    "How many operations of a step and of scoring are as long as the table."
    x, y = examples(8)
    batch = tf.nest.map_structure(tf.constant, (x, y))
    def step(data): return strategy.run(model.train_step, args=(data,))
    def scores(data): return strategy.run(model.predict_step, args=(data,))
    traced = [tf.function(f, autograph=False).get_concrete_function(batch)
              for f in (step, scores)]
    rows = model.table.rows
    return [len(full_table_ops(f, rows)) for f in traced]


if __name__ == '__main__':
    found = {f'{name}: {key}': np.asarray(value)
             for name in cases.split(',')
             for key, value in numbers(name).items()}
    np.savez(file, **found)
