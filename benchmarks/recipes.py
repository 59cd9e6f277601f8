"Two whole jobs on MovieLens 1M, with their test AUC: that of the widely copied notebook, and one with what is known of users and movies."
from time import perf_counter
import keras
from recofm.datasets.movielens import load
from recofm.data.schema import Schema
from recofm.data.splits import split
from recofm.evaluation.metrics import auc
from recofm.models.deepfm import DeepFM
from recofm.training.optimizers import SparseAdam


def parts(seed=42):
    frame = load('ml-1m')
    frame['liked'] = (frame.rating > 3).astype('float32')
    return split(frame, (.8, .1, .1), seed=seed)


def fitted(model, schema, data, learning_rate, callbacks=(), **options):
    "The test AUC of a model, the validation AUC of each epoch, and the seconds that its fit took."
    train, valid, test = data
    model.compile(SparseAdam(learning_rate))
    batches = [schema.batches(part, options.pop('batch_size', 4096) if part is train else 8192) for part in data]
    start = perf_counter()
    history = model.fit(batches[0], validation_data=batches[1], callbacks=list(callbacks), verbose=0, **options).history
    took = perf_counter() - start
    found = auc(schema.target(test), model.predict(batches[2], verbose=0)[:, 0])
    return dict(value=float(found), seconds=took, epochs=len(history['val_auc']), valid=[round(float(a), 5) for a in history['val_auc']])


def notebook():
    "User and movie; tower 16-16 with batch norm and dropout .5; batch 1,024; 10 epochs."
    data = parts()
    keras.utils.set_random_seed(42)
    schema = Schema.fit(data[0], target='liked', user=['user_id'], item=['movie_id'], dim=16)
    model = DeepFM(schema.fields, hidden_units=(16, 16), dnn_dropout=.5, bn_use=True)
    return fitted(model, schema, data, 1e-3, batch_size=1024, epochs=10)


def notebook_torch():
    "The same job in the PyTorch loop."
    from competitors import make
    import numpy as np
    import torch
    data = parts()
    torch.manual_seed(42)
    codes = {c: {v: i for i, v in enumerate(sorted(set().union(*(part[c] for part in data))))} for c in ('user_id', 'movie_id')}
    arrays = [(np.stack([part[c].map(codes[c]) for c in codes], 1).astype('int32'), part.liked.to_numpy('float32')) for part in data]
    model = make('torch-dense', 'DeepFM', [len(c) for c in codes.values()], 16, 1024)
    start, valid = perf_counter(), []
    for epoch in range(10):
        model.fit(model.prepare(*arrays[0]))
        valid.append(round(float(auc(arrays[1][1], model.predict(arrays[1][0]))), 5))
    took = perf_counter() - start
    return dict(value=float(auc(arrays[2][1], model.predict(arrays[2][0]))), seconds=took, epochs=10, valid=valid)


def side_features():
    "Also gender, age, occupation, year and genres; dim 32; tower 128-64 with dropout .4; batch 4,096; early stop on the validation AUC."
    data = parts()
    keras.utils.set_random_seed(42)
    schema = Schema.fit(data[0], target='liked', user=['user_id', 'gender', 'age', 'occupation'], item=['movie_id', 'year', 'genres'], multi=['genres'], dim=32)
    model = DeepFM(schema.fields, hidden_units=(128, 64), dnn_dropout=.4)
    stop = keras.callbacks.EarlyStopping('val_auc', mode='max', patience=2, restore_best_weights=True)
    return fitted(model, schema, data, 2e-3, [stop], batch_size=4096, epochs=10)
