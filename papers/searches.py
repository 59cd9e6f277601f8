"Which settings are tried: from each table to each model to a list of them."
from itertools import product


def search(base, change, axes):
    "All combinations of the axes; `change` turns one into arguments of the model."
    return [base | dict(arguments=change(*values)) for values in product(*axes)]


def options(dim, batch_size, learning_rate, decay, decay_after, patience, epochs=100):
    "What a training needs besides the model's arguments."
    return dict(dim=dim, batch_size=batch_size, learning_rate=learning_rate, decay=decay, decay_after=decay_after, patience=patience, epochs=epochs)


# Frappe as BARS trains it: vectors of 10, batches of 4,096, stopped by the validation AUC. Models without a tower may take larger steps for longer.
shallow, deep = options(10, 4096, 5e-3, .3, 2, 4), options(10, 4096, 1e-3, .1, 1, 3)
shallow_reg, deep_reg = (1e-6, 2.5e-6, 5e-6), (1e-2, 3e-2)
tower = dict(hidden_units=[200, 200], bn_use=True)
rated = options(10, 4096, 5e-3, .3, 1, 3)

frappe = {
    'LR': search(options(10, 4096, 2e-2, .3, 2, 4), lambda w: dict(w_reg=w), [(0., 1e-6, 5e-6)]),
    'Poly2': search(shallow, lambda w, p: dict(w_reg=w, pair_reg=p), [(1e-6,), (1e-6, 5e-6)]),
    'FM': search(shallow, lambda r: dict(w_reg=r, v_reg=r), [shallow_reg]),
    'HOFM': search(shallow, lambda r: dict(order=3, w_reg=r, v_reg=r), [shallow_reg]),
    'FFM': search(shallow, lambda r: dict(w_reg=r, v_reg=r), [(2.5e-6, 5e-6)]),
    'FwFM': search(shallow, lambda r: dict(w_reg=r, v_reg=r), [shallow_reg]),
    'FmFM': search(shallow, lambda r: dict(w_reg=r, v_reg=r), [shallow_reg]),
    'AFM': search(shallow, lambda r, d: dict(att_vector=32, dropout=d, w_reg=r, embed_reg=r), [(1e-6, 5e-6), (0., .1)]),
    'NFM': search(shallow, lambda r, d: dict(hidden_units=[200, 200], dnn_dropout=d, w_reg=r, embed_reg=r), [(1e-5, 1e-3), (.2, .4)]),
    'WideDeep': search(deep, lambda r, d: dict(**tower, dnn_dropout=d, w_reg=r, embed_reg=r), [deep_reg, (.2, .4)]),
    'DeepFM': search(deep, lambda r, d: dict(**tower, dnn_dropout=d, fm_w_reg=r, embed_reg=r), [deep_reg, (.2, .4)]),
    'DCN': search(deep, lambda r, d: dict(**tower, cross='vector', cross_layers=3, dnn_dropout=d, embed_reg=r), [deep_reg, (.2, .4)]),
    'DCNv2': search(deep, lambda r, d: dict(**tower, cross='matrix', cross_layers=4, dnn_dropout=d, embed_reg=r), [deep_reg, (.2, .4)]),
    'xDeepFM': search(deep, lambda r, d: dict(**tower, cin_size=[32], dnn_dropout=d, w_reg=r, embed_reg=r), [deep_reg, (.2, .4)]),
    'AutoInt': search(deep, lambda r, n: dict(att_layers=n, heads=2, att_units=16, w_reg=r, embed_reg=r), [(1e-3, 1e-2), (2, 3)]),
    'AutoInt+': search(deep, lambda r, d: dict(**tower, att_layers=2, heads=2, att_units=16, dnn_dropout=d, w_reg=r, embed_reg=r), [deep_reg, (.2, .4)]),
    'FinalMLP': search(deep, lambda r, d: dict(hidden_units_1=[400], hidden_units_2=[100], gate_units=[400], heads=5, bn_use=True, dnn_dropout=d, embed_reg=r), [deep_reg, (.2, .4)])}

# The same parts by squared error, as the papers of NFM and AFM; their vectors are 128 and 256 long.
long = options(128, 4096, 2e-3, .3, 1, 3)
frappe_rmse = {
    'FM': search(long, lambda r: dict(w_reg=r, v_reg=r), [(1e-6, 5e-6)]),
    'HOFM': search(long, lambda r: dict(order=3, w_reg=r, v_reg=r), [(1e-6, 5e-6)]),
    'FFM': search(options(16, 4096, 2e-3, .3, 1, 3), lambda r: dict(w_reg=r, v_reg=r), [(1e-6, 5e-6)]),
    'AFM': search(long, lambda r: dict(att_vector=64, dropout=.2, w_reg=r, embed_reg=r), [(1e-6, 5e-6)]),
    'NFM': search(long, lambda r, d: dict(hidden_units=[128], dnn_dropout=d, w_reg=r, embed_reg=r), [(1e-6, 5e-6), (.3, .5)]),
    'DeepFM': search(long, lambda r: dict(**tower, dnn_dropout=.3, fm_w_reg=r, embed_reg=r), [(1e-3, 1e-2)]),
    'WideDeep': search(long, lambda r: dict(**tower, dnn_dropout=.3, w_reg=r, embed_reg=r), [(1e-3, 1e-2)])}

searches = {'frappe': frappe, 'frappe-rmse': frappe_rmse}
classes = {'DCNv2': 'DCN', 'AutoInt+': 'AutoInt'}   # Models that are another's with other arguments
