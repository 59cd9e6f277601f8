"Which settings are tried: from each table to each model to a list of them."
from itertools import product


def search(base, change, axes):
    "All combinations of the axes; `change` turns one into arguments of the model."
    return pick(base, change, product(*axes))


def pick(base, change, values):
    "These combinations."
    return [base | dict(arguments=change(*v)) for v in values]


def tenth(strength): return round(strength / 10, 9)


def options(dim, batch_size, learning_rate, decay, decay_after, patience, epochs=100):
    "What a training needs besides the model's arguments."
    return dict(dim=dim, batch_size=batch_size, learning_rate=learning_rate, decay=decay, decay_after=decay_after, patience=patience, epochs=epochs)


# Frappe as BARS trains it: vectors of 10, batches of 4,096, stopped by the validation AUC. Models without a tower may take larger steps for longer.
shallow, deep = options(10, 4096, 5e-3, .3, 2, 4), options(10, 4096, 1e-3, .1, 1, 3)
shallow_reg, deep_reg = (1e-6, 2.5e-6, 5e-6), [(1e-2, .2), (1e-2, .4), (3e-2, .3)]
tower = dict(hidden_units=[200, 200], bn_use=True)

frappe = {
    'LR': search(options(10, 4096, 2e-2, .3, 2, 4), lambda w: dict(w_reg=w), [(0., 1e-6, 5e-6)]),
    'Poly2': search(shallow, lambda w, p: dict(w_reg=w, pair_reg=p), [(1e-6,), (1e-6, 5e-6)]),
    'FM': search(shallow, lambda r: dict(w_reg=r, v_reg=r), [shallow_reg]),
    'HOFM': search(shallow, lambda r: dict(order=3, w_reg=r, v_reg=r), [shallow_reg]),
    'FFM': search(shallow, lambda r: dict(w_reg=r, v_reg=r), [(2.5e-6, 5e-6)]),
    'FwFM': search(shallow, lambda r: dict(w_reg=r, v_reg=r), [shallow_reg]),
    'FmFM': search(shallow, lambda r: dict(w_reg=r, v_reg=r), [shallow_reg]),
    'AFM': search(shallow, lambda r, d: dict(att_vector=32, dropout=d, w_reg=r, embed_reg=r), [(1e-6, 5e-6, 2e-5), (.1,)]),
    'NFM': search(shallow, lambda r, d: dict(hidden_units=[200, 200], dnn_dropout=d, w_reg=r, embed_reg=r), [(1e-5, 1e-3), (.2, .4)]),
    'WideDeep': pick(deep, lambda r, d: dict(**tower, dnn_dropout=d, w_reg=r, embed_reg=r), deep_reg),
    'DeepFM': pick(deep, lambda r, d: dict(**tower, dnn_dropout=d, fm_w_reg=r, embed_reg=r), deep_reg),
    'DCN': pick(deep, lambda r, d: dict(**tower, cross='vector', cross_layers=3, dnn_dropout=d, embed_reg=r), deep_reg),
    'DCNv2': pick(deep, lambda r, d: dict(**tower, cross='matrix', cross_layers=4, dnn_dropout=d, embed_reg=r), deep_reg),
    'xDeepFM': pick(deep, lambda r, d: dict(**tower, cin_size=[32], dnn_dropout=d, w_reg=r, embed_reg=r), deep_reg),
    'AutoInt+': pick(deep, lambda r, d: dict(**tower, att_layers=2, heads=2, att_units=16, dnn_dropout=d, w_reg=r, embed_reg=r), deep_reg),
    'FinalMLP': pick(deep, lambda r, d: dict(hidden_units_1=[400], hidden_units_2=[100], gate_units=[400], heads=5, bn_use=True, dnn_dropout=d, embed_reg=r), deep_reg)}

# The same parts by squared error, as the papers of NFM and AFM; whose vectors are 64 to 256 long.
long, towers = options(64, 4096, 5e-3, .3, 2, 4), options(64, 4096, 1e-3, .1, 1, 3)
frappe_rmse = {
    'FM': search(long, lambda r: dict(w_reg=r, v_reg=r), [(1e-6, 3e-6, 1e-5)]),
    'HOFM': search(long, lambda r: dict(order=3, w_reg=r, v_reg=r), [(1e-6, 3e-6)]),
    'FFM': search(options(16, 4096, 5e-3, .3, 2, 4), lambda r: dict(w_reg=r, v_reg=r), [(1e-6, 1e-5)]),
    'AFM': search(long, lambda r: dict(att_vector=32, dropout=.2, w_reg=r, embed_reg=r), [(1e-6,)]),
    'NFM': search(long, lambda r, d: dict(hidden_units=[128], dnn_dropout=d, w_reg=r, embed_reg=r), [(1e-6, 1e-4, 1e-3), (.3,)]),
    'DeepFM': search(towers, lambda r: dict(**tower, dnn_dropout=.3, fm_w_reg=r, embed_reg=r), [(1e-4, 1e-3, 1e-2)]),
    'WideDeep': search(towers, lambda r: dict(**tower, dnn_dropout=.3, w_reg=r, embed_reg=r), [(1e-4, 1e-3, 1e-2)])}

# MovieLens 1M, likes: the same effort for all, so that models can be compared. With ids alone there is less to learn from and more to forget.
likes, quick, likes_reg = options(16, 4096, 2e-3, .3, 1, 2), options(16, 4096, 5e-3, .3, 1, 2), (3e-6, 1e-5)
middle = dict(hidden_units=[128, 64], dnn_dropout=.4)
ml_1m = {
    'LR': search(options(16, 4096, 1e-2, .3, 1, 2), lambda r: dict(w_reg=r), [(1e-6, 1e-5)]),
    'Poly2': search(likes, lambda r: dict(w_reg=1e-6, pair_reg=r, buckets=2**22), [(1e-5, 1e-4)]),
    'FM': search(quick, lambda r: dict(w_reg=tenth(r), v_reg=r), [likes_reg]),
    'HOFM': search(quick, lambda r: dict(order=3, w_reg=tenth(r), v_reg=r), [likes_reg]),
    'FFM': search(quick, lambda r: dict(w_reg=tenth(r), v_reg=r), [likes_reg]),
    'FwFM': search(quick, lambda r: dict(w_reg=tenth(r), v_reg=r), [likes_reg]),
    'FmFM': search(quick, lambda r: dict(w_reg=tenth(r), v_reg=r), [likes_reg]),
    'AFM': search(quick, lambda r: dict(att_vector=16, dropout=.1, w_reg=tenth(r), embed_reg=r), [likes_reg]),
    'NFM': search(likes, lambda r: dict(hidden_units=[64], dnn_dropout=.3, w_reg=tenth(r), embed_reg=r), [likes_reg]),
    'WideDeep': search(likes, lambda r: dict(**middle, w_reg=tenth(r), embed_reg=r), [likes_reg]),
    'DeepFM': search(likes, lambda r: dict(**middle, fm_w_reg=tenth(r), embed_reg=r), [likes_reg]),
    'DCN': search(likes, lambda r: dict(**middle, cross='vector', embed_reg=r), [likes_reg]),
    'DCNv2': search(likes, lambda r: dict(**middle, cross='matrix', embed_reg=r), [likes_reg]),
    'xDeepFM': search(likes, lambda r: dict(**middle, cin_size=[32], w_reg=tenth(r), embed_reg=r), [likes_reg]),
    'GMF': search(quick, lambda r: dict(embed_reg=r), [likes_reg]),
    'NeuMF': search(likes, lambda r: dict(**middle, embed_reg=r), [likes_reg]),
    'AutoInt+': search(likes, lambda r: dict(**middle, att_layers=1, heads=2, att_units=16, w_reg=tenth(r), embed_reg=r), [likes_reg]),
    'FinalMLP': search(likes, lambda r: dict(hidden_units_1=[128], hidden_units_2=[64], gate_units=[64], heads=4, dnn_dropout=.4, embed_reg=r), [likes_reg])}
ml_1m_ids = {model: ml_1m[model] for model in ('LR', 'FM', 'DeepFM', 'GMF', 'NeuMF')}

# Vectors four times as long, for models that are little else.
longer, longer_reg = options(64, 4096, 2e-3, .3, 1, 3), (3e-6, 6e-6)
ml_1m_64 = {
    'FM': search(longer, lambda r: dict(w_reg=tenth(r), v_reg=r), [longer_reg]),
    'GMF': search(longer, lambda r: dict(embed_reg=r), [longer_reg])}
ml_1m_ids_64 = ml_1m_64

# Ratings: the same, by squared error. A tenth of the rows is gone through in smaller steps, for longer, and with a larger penalty.
rating, rating_reg, rating_deep = options(16, 4096, 4e-3, .3, 1, 2), (3e-5, 1e-4), (1e-4, 3e-4)
ml_1m_rating = {
    'LR': search(options(16, 4096, 1e-2, .3, 1, 2), lambda r: dict(w_reg=r), [(1e-6, 1e-5)]),
    'FM': search(rating, lambda r: dict(w_reg=tenth(r), v_reg=r), [rating_reg]),
    'FFM': search(rating, lambda r: dict(w_reg=tenth(r), v_reg=r), [rating_reg]),
    'NFM': search(rating, lambda r: dict(hidden_units=[64], dnn_dropout=.2, w_reg=tenth(r), embed_reg=r), [rating_deep]),
    'DeepFM': search(rating, lambda r: dict(hidden_units=[64, 32], dnn_dropout=.2, fm_w_reg=tenth(r), embed_reg=r), [rating_deep]),
    'DCNv2': search(rating, lambda r: dict(hidden_units=[64, 32], dnn_dropout=.2, cross='matrix', embed_reg=r), [rating_deep]),
    'xDeepFM': search(rating, lambda r: dict(hidden_units=[64, 32], dnn_dropout=.2, cin_size=[32], w_reg=tenth(r), embed_reg=r), [rating_deep]),
    'AutoInt+': search(rating, lambda r: dict(hidden_units=[64, 32], dnn_dropout=.2, att_layers=1, heads=2, att_units=16, w_reg=tenth(r), embed_reg=r), [rating_deep])}
few = lambda settings: [s | dict(batch_size=1024, learning_rate=4e-3, decay=.5, decay_after=2, patience=5, arguments={k: round(v * 3, 9) if k.endswith('_reg') else v for k, v in s['arguments'].items()}) for s in settings]
ml_100k_rating = {model: few(settings) for model, settings in ml_1m_rating.items()}

searches = {'frappe': frappe, 'frappe-rmse': frappe_rmse, 'ml-1m': ml_1m, 'ml-1m-ids': ml_1m_ids, 'ml-1m-64': ml_1m_64, 'ml-1m-ids-64': ml_1m_ids_64,
            'ml-1m-rating': ml_1m_rating, 'ml-100k-rating': ml_100k_rating}
classes = {'DCNv2': 'DCN', 'AutoInt+': 'AutoInt'}   # Models that are another's with other arguments
