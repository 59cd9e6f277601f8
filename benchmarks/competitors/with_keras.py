"What one writes in plain Keras 3: an Embedding a field for the weights, another for the vectors, Adam, `fit` on arrays."
import keras
from keras import layers, ops


def tower(x):
    for _ in range(2): x = layers.Dropout(.5)(layers.ReLU()(layers.BatchNormalization()(layers.Dense(16)(x))))
    return layers.Dense(1)(x)


def network(model, sizes, dim):
    inputs = keras.Input((len(sizes),), dtype='int32')
    w = [layers.Embedding(size, 1, embeddings_initializer='zeros')(inputs[:, i]) for i, size in enumerate(sizes)]
    v = ops.stack([layers.Embedding(size, dim)(inputs[:, i]) for i, size in enumerate(sizes)], axis=1)
    pairs = .5 * ops.sum(ops.sum(v, 1)**2 - ops.sum(v**2, 1), -1, keepdims=True)
    parts = [layers.Add()(w), pairs] + ([tower(layers.Flatten()(v))] if model == 'DeepFM' else [])
    return keras.Model(inputs, layers.Activation('sigmoid')(layers.Add()(parts)))


class Keras:
    def __init__(self, model, batch_size): self.model, self.batch_size = model, batch_size

    def prepare(self, ids, y): return ids, y
    def fit(self, data, epochs=1): self.model.fit(*data, batch_size=self.batch_size, epochs=epochs, verbose=0)
    def predict(self, ids): return self.model.predict(ids, batch_size=4096, verbose=0)[:, 0]
    def score(self, ids): return self.model.predict_on_batch(ids)[:, 0]


def make(name, model, sizes, dim, batch_size):
    made = network(model, sizes, dim)
    made.compile(keras.optimizers.Adam(1e-3), 'binary_crossentropy', metrics=[] if name == 'keras-bare' else [keras.metrics.AUC()])
    return Keras(made, batch_size)
