"""recofm as the README shows it.

`compile()` with its AUC, its checks and its L2, then `fit` on arrays.
`recofm-bare` counts no AUC."""
from recofm.data.fields import Field
from recofm.models.deepfm import DeepFM
from recofm.models.ffm import FFM
from recofm.models.fm import FM


class Recofm:
    def __init__(self, model, batch_size):
        self.model, self.batch_size = model, batch_size

    def prepare(self, ids, y): return ids, y

    def fit(self, data, epochs=1):
        ids, y = data
        self.model.fit(ids, y, self.batch_size, epochs, verbose=0)

    def predict(self, ids): return self.model.predict(ids, verbose=0)[:, 0]

    def score(self, ids): return self.model.score(ids)[:, 0]

    def slots(self):
        "The table and what the optimizer keeps of it."
        table = self.model.table.table
        kept = self.model.optimizer.variables
        return [table] + [v for v in kept if v.shape == table.shape]


def deep(fields):
    return DeepFM(fields, hidden_units=(16, 16), dnn_dropout=.5, bn_use=True)


def make(name, model, sizes, dim, batch_size):
    fields = [Field(f'field_{i}', size, dim) for i, size in enumerate(sizes)]
    made = dict(DeepFM=deep, FM=FM, FFM=FFM)[model](fields)
    made.compile(metrics=[] if name == 'recofm-bare' else None)
    return Recofm(made, batch_size)
