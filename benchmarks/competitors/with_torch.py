"""The loop of the widely copied PyTorch notebook, at its best.

One table with offsets, tensors in memory, a slice for each batch. `torch-dense`
is its optimizer, Adam with weight decay. `torch-sparse` gives the tables sparse
gradients and SparseAdam, which takes no weight decay."""
from time import perf_counter
import numpy as np
import torch
from torch import nn


class FM(nn.Module):
    def __init__(self, sizes, dim, sparse):
        super().__init__()
        self.w = nn.Embedding(sum(sizes), 1, sparse=sparse)
        self.v = nn.Embedding(sum(sizes), dim, sparse=sparse)
        self.bias = nn.Parameter(torch.zeros(1))
        nn.init.zeros_(self.w.weight)
        nn.init.normal_(self.v.weight, std=.01)

    def parts(self, ids):
        v = self.v(ids)
        pairs = .5 * (v.sum(1)**2 - (v**2).sum(1)).sum(1)
        return v, self.bias + self.w(ids).sum((1, 2)) + pairs

    def forward(self, ids): return torch.sigmoid(self.parts(ids)[1])


class DeepFM(FM):
    def __init__(self, sizes, dim, sparse):
        super().__init__(sizes, dim, sparse)
        layers = []
        for width in (len(sizes) * dim, 16):
            layers += [nn.Linear(width, 16), nn.BatchNorm1d(16)]
            layers += [nn.ReLU(), nn.Dropout(.5)]
        self.tower = nn.Sequential(*layers, nn.Linear(16, 1))

    def forward(self, ids):
        v, shallow = self.parts(ids)
        return torch.sigmoid(shallow + self.tower(v.flatten(1))[:, 0])


def optimizers(model, sparse):
    "Those that move the model in turn."
    adam = torch.optim.Adam
    if not sparse:
        return [adam(model.parameters(), lr=1e-3, weight_decay=1e-6)]
    tables = [model.w.weight, model.v.weight]
    rest = [p for p in model.parameters() if all(p is not t for t in tables)]
    return [torch.optim.SparseAdam(tables, lr=1e-3), adam(rest, lr=1e-3)]


class Torch:
    def __init__(self, model, sizes, batch_size, sparse):
        self.model, self.batch_size = model, batch_size
        self.starts = np.cumsum([0, *sizes[:-1]])
        self.optimizers = optimizers(model, sparse)

    def tensor(self, ids): return torch.from_numpy(ids + self.starts)

    def prepare(self, ids, y): return self.tensor(ids), torch.from_numpy(y)

    def tune(self, data):
        """Use one thread or all, whichever is quicker here.

        On small tensors threads cost more than they bring. Where a pass takes
        more than 5 seconds, one look is enough."""
        took = {}
        for threads in [1, torch.get_num_threads()] * 3:
            if len(took) == 2 and min(took.values()) > 5: break
            torch.set_num_threads(threads)
            start = perf_counter()
            self.fit(data)
            now = perf_counter() - start
            took[threads] = min(took.get(threads, now), now)
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
        parts = self.tensor(ids).split(size)
        with torch.inference_mode():
            return torch.cat([self.model(part) for part in parts]).numpy()

    def score(self, ids): return self.predict(ids)


def make(name, model, sizes, dim, batch_size):
    sparse = name == 'torch-sparse'
    module = FM if model == 'FM' else DeepFM
    return Torch(module(sizes, dim, sparse), sizes, batch_size, sparse)
