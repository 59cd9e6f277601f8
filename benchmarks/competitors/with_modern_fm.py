"""modern-fm on all cores with its lazy Adam.

`partial_fit` is one pass in the order of the rows, so it does not pay for a
shuffle."""
import numpy as np
from modern_fm import FFMClassifier, FMClassifier
from scipy.sparse import csr_matrix


class ModernFM:
    def __init__(self, model, sizes, **options):
        self.model, self.features, self.options = model, sum(sizes), options
        self.starts = np.cumsum([0, *sizes[:-1]])

    def rows(self, ids):
        n, fields = ids.shape
        columns, ends = (ids + self.starts).ravel(), np.arange(n + 1) * fields
        rows = np.ones(n * fields), columns, ends
        return csr_matrix(rows, (n, self.features))

    def prepare(self, ids, y): return self.rows(ids), y.astype(int)

    def fit(self, data, epochs=1):
        for _ in range(epochs):
            self.model.partial_fit(*data, classes=[0, 1], **self.options)

    def predict(self, ids):
        return self.model.predict_proba(self.rows(ids))[:, 1]

    def score(self, ids): return self.predict(ids)


def make(name, model, sizes, dim, batch_size):
    options = dict(n_factors=dim, optimizer='adam', learning_rate=1e-3,
                   batch_size=batch_size, l2_linear=1e-6, l2_factors=1e-6,
                   n_jobs=-1, random_state=0)
    if model == 'FM': return ModernFM(FMClassifier(**options), sizes)
    field_ids = np.repeat(np.arange(len(sizes)), sizes)
    return ModernFM(FFMClassifier(**options), sizes, field_ids=field_ids)
