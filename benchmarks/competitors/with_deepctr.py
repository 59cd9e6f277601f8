"""DeepCTR as its quick start uses it.

`deepctr-legacy` runs it on tf-keras, the Keras 2 that its own tests use."""
import os
import requests


def no_network(*args, **kwargs):
    asks = 'importing DeepCTR asks the package index for newer versions'
    raise OSError(f'{asks}; not here')


def make(name, model, sizes, dim, batch_size):
    if name == 'deepctr-legacy': os.environ['TF_USE_LEGACY_KERAS'] = '1'
    requests.get = no_network
    from deepctr.feature_column import SparseFeat
    from deepctr.models import DeepFM
    columns = [SparseFeat(f'field_{i}', size, embedding_dim=dim)
               for i, size in enumerate(sizes)]
    made = DeepFM(columns, columns, dnn_hidden_units=(16, 16), dnn_dropout=.5,
                  dnn_use_bn=True, task='binary')
    log_loss = 'binary_crossentropy'
    made.compile('adam', log_loss, metrics=[log_loss])
    return DeepCTR(made, batch_size)


class DeepCTR:
    def __init__(self, model, batch_size):
        self.model, self.batch_size = model, batch_size

    def named(self, ids):
        return {f'field_{i}': ids[:, i].copy() for i in range(ids.shape[1])}

    def prepare(self, ids, y): return self.named(ids), y[:, None]

    def fit(self, data, epochs=1):
        x, y = data
        self.model.fit(x, y, self.batch_size, epochs, verbose=0)

    def predict(self, ids):
        p = self.model.predict(self.named(ids), batch_size=4096, verbose=0)
        return p[:, 0]

    def score(self, ids):
        return self.model.predict_on_batch(self.named(ids))[:, 0]
