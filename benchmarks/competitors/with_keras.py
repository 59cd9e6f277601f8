"""What one writes in plain Keras 3.

An Embedding a field for the weights, another for the vectors, Adam, and `fit`
on arrays."""
import keras
from keras import layers, ops


def tower(x):
    for _ in range(2):
        x = layers.BatchNormalization()(layers.Dense(16)(x))
        x = layers.Dropout(.5)(layers.ReLU()(x))
    return layers.Dense(1)(x)


def network(model, sizes, dim):
    inputs = keras.Input((len(sizes),), dtype='int32')
    w, v = [], []
    for i, size in enumerate(sizes):
        zeros = layers.Embedding(size, 1, embeddings_initializer='zeros')
        w.append(zeros(inputs[:, i]))
        v.append(layers.Embedding(size, dim)(inputs[:, i]))
    v = ops.stack(v, axis=1)
    pairs = ops.sum(ops.sum(v, 1)**2 - ops.sum(v**2, 1), -1, keepdims=True)
    parts = [layers.Add()(w), .5 * pairs]
    if model == 'DeepFM': parts.append(tower(layers.Flatten()(v)))
    score = layers.Add()(parts)
    return keras.Model(inputs, layers.Activation('sigmoid')(score))


class Keras:
    def __init__(self, model, batch_size):
        self.model, self.batch_size = model, batch_size

    def prepare(self, ids, y): return ids, y

    def fit(self, data, epochs=1):
        ids, y = data
        self.model.fit(ids, y, self.batch_size, epochs, verbose=0)

    def predict(self, ids):
        return self.model.predict(ids, batch_size=4096, verbose=0)[:, 0]

    def score(self, ids): return self.model.predict_on_batch(ids)[:, 0]


def make(name, model, sizes, dim, batch_size):
    made = network(model, sizes, dim)
    metrics = [] if name == 'keras-bare' else [keras.metrics.AUC()]
    adam = keras.optimizers.Adam(1e-3)
    made.compile(adam, 'binary_crossentropy', metrics=metrics)
    return Keras(made, batch_size)
