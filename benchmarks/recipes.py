"""Two whole jobs on MovieLens 1M, with their test AUC.

One is that of the widely copied notebook, the other uses what is known of users
and movies."""
from time import perf_counter
import keras
from recofm.datasets.movielens import load
from recofm.data.schema import Schema
from recofm.data.splits import split
from recofm.evaluation.metrics import auc
from recofm.models.deepfm import DeepFM
from recofm.training.optimizers import SparseAdam


def parts(seed=42):
    "Train, validation and test rows, 8 : 1 : 1."
    frame = load('ml-1m')
    frame['liked'] = (frame.rating > 3).astype('float32')
    return split(frame, (.8, .1, .1), seed=seed)


def fitted(
    model,
    schema,
    data,            # train, validation and test rows
    learning_rate,
    batch_size=4096, # of training
    **options        # of Keras' `fit`
):
    "Test AUC, the validation AUC of each epoch, and the seconds of the fit."
    train, valid, test = data
    model.compile(SparseAdam(learning_rate))
    batches = schema.batches(train, batch_size)
    options |= dict(validation_data=schema.batches(valid, 8192), verbose=0)
    last = schema.batches(test, 8192)
    start = perf_counter()
    aucs = model.fit(batches, **options).history['val_auc']
    took = perf_counter() - start
    found = auc(schema.target(test), model.predict(last, verbose=0)[:, 0])
    valid = [round(float(a), 5) for a in aucs]
    return dict(value=float(found), seconds=took, epochs=len(aucs), valid=valid)


def notebook():
    "User and movie; tower 16-16, batch norm, dropout .5; 10 epochs of 1,024."
    data = parts()
    keras.utils.set_random_seed(42)
    columns = dict(user=['user_id'], item=['movie_id'])
    schema = Schema.fit(data[0], target='liked', dim=16, **columns)
    options = dict(hidden_units=(16, 16), dnn_dropout=.5, bn_use=True)
    model = DeepFM(schema.fields, **options)
    return fitted(model, schema, data, 1e-3, batch_size=1024, epochs=10)


def arrays_of(data):
    "Sizes of user and movie, and (ids, liked) of each part of the data."
    import numpy as np
    codes = {}
    for column in ('user_id', 'movie_id'):
        values = sorted(set().union(*(part[column] for part in data)))
        codes[column] = {value: i for i, value in enumerate(values)}
    def arrays(part):
        ids = np.stack([part[c].map(codes[c]) for c in codes], 1)
        return ids.astype('int32'), part.liked.to_numpy('float32')
    return [len(c) for c in codes.values()], [arrays(part) for part in data]


def notebook_torch():
    "The same job in the PyTorch loop."
    from competitors import make
    import torch
    data = parts()
    torch.manual_seed(42)
    sizes, (train, valid, test) = arrays_of(data)
    model = make('torch-dense', 'DeepFM', sizes, 16, 1024)
    def auc_on(ids, y): return float(auc(y, model.predict(ids)))
    start, aucs = perf_counter(), []
    for epoch in range(10):
        model.fit(model.prepare(*train))
        aucs.append(round(auc_on(*valid), 5))
    took = perf_counter() - start
    return dict(value=auc_on(*test), seconds=took, epochs=10, valid=aucs)


def side_features():
    "With side features; tower 128-64, dropout .4; batch 4,096; early stop."
    data = parts()
    keras.utils.set_random_seed(42)
    columns = dict(user=['user_id', 'gender', 'age', 'occupation'],
                   item=['movie_id', 'year', 'genres'], multi=['genres'])
    schema = Schema.fit(data[0], target='liked', dim=32, **columns)
    model = DeepFM(schema.fields, hidden_units=(128, 64), dnn_dropout=.4)
    stop = keras.callbacks.EarlyStopping(
        'val_auc', mode='max', patience=2, restore_best_weights=True)
    return fitted(model, schema, data, 2e-3, callbacks=[stop], epochs=10)
