"""The loop of the widely copied PyTorch notebook, at its best: one table with offsets, tensors in memory, a slice for each batch.

`torch-dense` is its optimizer, Adam with weight decay. `torch-sparse` gives the tables sparse gradients and SparseAdam, which takes no weight decay."""
from time import perf_counter
import numpy as np
import torch
from torch import nn


class FM(nn.Module):
    def __init__(self, sizes, dim, sparse):
        super().__init__()
        self.w, self.v = nn.Embedding(sum(sizes), 1, sparse=sparse), nn.Embedding(sum(sizes), dim, sparse=sparse)
        self.bias = nn.Parameter(torch.zeros(1))
        nn.init.zeros_(self.w.weight); nn.init.normal_(self.v.weight, std=.01)

    def parts(self, ids):
        v = self.v(ids)
        return v, self.bias + self.w(ids).sum((1, 2)) + .5 * (v.sum(1)**2 - (v**2).sum(1)).sum(1)

    def forward(self, ids): return torch.sigmoid(self.parts(ids)[1])


class DeepFM(FM):
    def __init__(self, sizes, dim, sparse):
        super().__init__(sizes, dim, sparse)
        widths = [len(sizes) * dim, 16, 16]
        layers = [l for a, b in zip(widths, widths[1:]) for l in (nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(), nn.Dropout(.5))]
        self.tower = nn.Sequential(*layers, nn.Linear(16, 1))

    def forward(self, ids):
        v, shallow = self.parts(ids)
        return torch.sigmoid(shallow + self.tower(v.flatten(1))[:, 0])


class Torch:
    def __init__(self, model, sizes, batch_size, sparse):
        self.model, self.batch_size = model, batch_size
        self.starts = np.cumsum([0, *sizes[:-1]])
        tables = [model.w.weight, model.v.weight]
        rest = [p for p in model.parameters() if all(p is not t for t in tables)]
        self.optimizers = ([torch.optim.SparseAdam(tables, lr=1e-3), torch.optim.Adam(rest, lr=1e-3)] if sparse else
                           [torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-6)])

    def tensor(self, ids): return torch.from_numpy(ids + self.starts)
    def prepare(self, ids, y): return self.tensor(ids), torch.from_numpy(y)

    def tune(self, data):
        "Use one thread or all, whichever is quicker here: on small tensors threads cost more than they bring."
        took = {}
        for threads in [1, torch.get_num_threads()] * 3:
            if len(took) == 2 and min(took.values()) > 5: break    # one look is enough where a pass takes that long
            torch.set_num_threads(threads)
            start = perf_counter()
            self.fit(data)
            took[threads] = min(took.get(threads, float('inf')), perf_counter() - start)
        torch.set_num_threads(min(took, key=took.get))

    def fit(self, data, epochs=1):
        ids, y = data
        loss, size = nn.BCELoss(), self.batch_size
        self.model.train()
        for i in [*range(0, len(y), size)] * epochs:
            error = loss(self.model(ids[i:i + size]), y[i:i + size])
            self.model.zero_grad()
            error.backward()
            for optimizer in self.optimizers: optimizer.step()

    def predict(self, ids, size=4096):
        self.model.eval()
        with torch.inference_mode(): return torch.cat([self.model(part) for part in self.tensor(ids).split(size)]).numpy()

    def score(self, ids): return self.predict(ids)


def make(name, model, sizes, dim, batch_size):
    sparse = name == 'torch-sparse'
    return Torch((FM if model == 'FM' else DeepFM)(sizes, dim, sparse), sizes, batch_size, sparse)
