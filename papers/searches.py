"Which settings are tried: from each table to each model to a list of them."
from itertools import product


def search(base, change, axes):
    "All combinations of the axes; `change` makes arguments of one."
    return pick(base, change, product(*axes))


def pick(base, change, values):
    "These combinations."
    return [base | dict(arguments=change(*v)) for v in values]


def same(strength): return strength


def tenth(strength): return round(strength / 10, 9)


def arguments(*penalties, weaker=same, **given):
    "From a strength of the penalties, and maybe a dropout, to the arguments."
    *others, last = penalties   # The last has all of the strength
    def change(strength, *dropout):
        dropped = dict(dnn_dropout=dropout[0]) if dropout else {}
        weak = dict.fromkeys(others, weaker(strength))
        return given | dropped | weak | {last: strength}
    return change


def options(dim, batch_size, learning_rate, decay, decay_after, patience,
            epochs=100):
    "What a training needs besides the model's arguments."
    return dict(
        dim=dim, batch_size=batch_size, learning_rate=learning_rate,
        decay=decay, decay_after=decay_after, patience=patience, epochs=epochs)


def tried(base, strengths, *penalties, **given):
    "Settings of a model, one for each strength of its penalties."
    return search(base, arguments(*penalties, **given), [strengths])


# Frappe as BARS trains it: vectors of 10, batches of 4,096, stopped by the
# validation AUC. Models without a tower may take larger steps for longer.
shallow = options(10, 4096, 5e-3, .3, 2, 4)
shallow_reg = 1e-6, 2.5e-6, 5e-6
deep = options(10, 4096, 1e-3, .1, 1, 3)
deep_reg = [(1e-2, .2), (1e-2, .4), (3e-2, .3)]
tower = dict(hidden_units=[200, 200], bn_use=True)
attention = dict(att_layers=2, heads=2, att_units=16)
two_towers = dict(
    hidden_units_1=[400], hidden_units_2=[100], gate_units=[400], heads=5,
    bn_use=True)
nfm = arguments('w_reg', 'embed_reg', hidden_units=[200, 200])


def with_tower(*penalties, **given):
    "Settings of a model that has a tower."
    return pick(deep, arguments(*penalties, **given), deep_reg)


frappe = {
    'LR': tried(shallow | dict(learning_rate=2e-2), (0., 1e-6, 5e-6), 'w_reg'),
    'Poly2': tried(shallow, (1e-6, 5e-6), 'pair_reg', w_reg=1e-6),
    'FM': tried(shallow, shallow_reg, 'w_reg', 'v_reg'),
    'HOFM': tried(shallow, shallow_reg, 'w_reg', 'v_reg', order=3),
    'FFM': tried(shallow, (2.5e-6, 5e-6), 'w_reg', 'v_reg'),
    'FwFM': tried(shallow, shallow_reg, 'w_reg', 'v_reg'),
    'FmFM': tried(shallow, shallow_reg, 'w_reg', 'v_reg'),
    'AFM': tried(
        shallow, (1e-6, 5e-6, 2e-5), 'w_reg', 'embed_reg', att_vector=32,
        dropout=.1),
    'NFM': search(shallow, nfm, [(1e-5, 1e-3), (.2, .4)]),
    'WideDeep': with_tower('w_reg', 'embed_reg', **tower),
    'DeepFM': with_tower('fm_w_reg', 'embed_reg', **tower),
    'DCN': with_tower('embed_reg', **tower, cross='vector', cross_layers=3),
    'DCNv2': with_tower('embed_reg', **tower, cross='matrix', cross_layers=4),
    'xDeepFM': with_tower('w_reg', 'embed_reg', **tower, cin_size=[32]),
    'AutoInt+': with_tower('w_reg', 'embed_reg', **tower, **attention),
    'FinalMLP': with_tower('embed_reg', **two_towers)}

# The same parts by squared error, as the papers of NFM and AFM; whose vectors
# are 64 to 256 long.
long_shallow = options(64, 4096, 5e-3, .3, 2, 4)
long_deep = options(64, 4096, 1e-3, .1, 1, 3)
long_reg = 1e-4, 1e-3, 1e-2
long_tower = tower | dict(dnn_dropout=.3)
frappe_rmse = {
    'FM': tried(long_shallow, (1e-6, 3e-6, 1e-5), 'w_reg', 'v_reg'),
    'HOFM': tried(long_shallow, (1e-6, 3e-6), 'w_reg', 'v_reg', order=3),
    'FFM': tried(long_shallow | dict(dim=16), (1e-6, 1e-5), 'w_reg', 'v_reg'),
    'AFM': tried(
        long_shallow, (1e-6,), 'w_reg', 'embed_reg', att_vector=32,
        dropout=.2),
    'NFM': tried(
        long_shallow, (1e-6, 1e-4, 1e-3), 'w_reg', 'embed_reg',
        hidden_units=[128], dnn_dropout=.3),
    'DeepFM': tried(
        long_deep, long_reg, 'fm_w_reg', 'embed_reg', **long_tower),
    'WideDeep': tried(
        long_deep, long_reg, 'w_reg', 'embed_reg', **long_tower)}

# MovieLens 1M, likes: the same effort for all, so that models can be compared.
# With ids alone there is less to learn from and more to forget.
likes = options(16, 4096, 2e-3, .3, 1, 2)
quick = options(16, 4096, 5e-3, .3, 1, 2)
large_steps = dict(learning_rate=1e-2)
middle_tower = dict(hidden_units=[128, 64], dnn_dropout=.4)
one_attention = dict(att_layers=1, heads=2, att_units=16)
two_small_towers = dict(
    hidden_units_1=[128], hidden_units_2=[64], gate_units=[64], heads=4,
    dnn_dropout=.4)


def liked(*penalties, base=likes, strengths=(3e-6, 1e-5), **given):
    "Settings of a model: a tenth of the penalty for what is not a vector."
    return tried(base, strengths, *penalties, weaker=tenth, **given)


ml_1m = {
    'LR': liked('w_reg', base=likes | large_steps, strengths=(1e-6, 1e-5)),
    'Poly2': liked(
        'pair_reg', strengths=(1e-5, 1e-4), w_reg=1e-6, buckets=2**22),
    'FM': liked('w_reg', 'v_reg', base=quick),
    'HOFM': liked('w_reg', 'v_reg', base=quick, order=3),
    'FFM': liked('w_reg', 'v_reg', base=quick),
    'FwFM': liked('w_reg', 'v_reg', base=quick),
    'FmFM': liked('w_reg', 'v_reg', base=quick),
    'AFM': liked('w_reg', 'embed_reg', base=quick, att_vector=16, dropout=.1),
    'NFM': liked('w_reg', 'embed_reg', hidden_units=[64], dnn_dropout=.3),
    'WideDeep': liked('w_reg', 'embed_reg', **middle_tower),
    'DeepFM': liked('fm_w_reg', 'embed_reg', **middle_tower),
    'DCN': liked('embed_reg', **middle_tower, cross='vector'),
    'DCNv2': liked('embed_reg', **middle_tower, cross='matrix'),
    'xDeepFM': liked('w_reg', 'embed_reg', **middle_tower, cin_size=[32]),
    'GMF': liked('embed_reg', base=quick),
    'NeuMF': liked('embed_reg', **middle_tower),
    'AutoInt+': liked('w_reg', 'embed_reg', **middle_tower, **one_attention),
    'FinalMLP': liked('embed_reg', **two_small_towers)}
of_ids = 'LR', 'FM', 'DeepFM', 'GMF', 'NeuMF'
ml_1m_ids = {model: ml_1m[model] for model in of_ids}

# Vectors four times as long, for models that are little else.
longer = dict(base=options(64, 4096, 2e-3, .3, 1, 3), strengths=(3e-6, 6e-6))
ml_1m_64 = {
    'FM': liked('w_reg', 'v_reg', **longer),
    'GMF': liked('embed_reg', **longer)}
ml_1m_ids_64 = ml_1m_64

# Ratings: the same, by squared error.
rating = options(16, 4096, 4e-3, .3, 1, 2)
small_tower = dict(hidden_units=[64, 32], dnn_dropout=.2)


def rated(*penalties, strengths=(1e-4, 3e-4), **given):
    "Settings of a model of ratings."
    return liked(*penalties, base=rating, strengths=strengths, **given)


ml_1m_rating = {
    'LR': liked('w_reg', base=rating | large_steps, strengths=(1e-6, 1e-5)),
    'FM': rated('w_reg', 'v_reg', strengths=(3e-5, 1e-4)),
    'FFM': rated('w_reg', 'v_reg', strengths=(3e-5, 1e-4)),
    'NFM': rated('w_reg', 'embed_reg', hidden_units=[64], dnn_dropout=.2),
    'DeepFM': rated('fm_w_reg', 'embed_reg', **small_tower),
    'DCNv2': rated('embed_reg', **small_tower, cross='matrix'),
    'xDeepFM': rated('w_reg', 'embed_reg', **small_tower, cin_size=[32]),
    'AutoInt+': rated('w_reg', 'embed_reg', **small_tower, **one_attention)}


# A tenth of the rows is gone through in smaller steps, for longer, and with a
# larger penalty.
longer_steps = dict(decay=.5, decay_after=2, patience=5)
small_batches = dict(batch_size=1024, learning_rate=4e-3)


def tripled(arguments):
    "Arguments with three times the penalties."
    regs = {k: v for k, v in arguments.items() if k.endswith('_reg')}
    return arguments | {k: round(v * 3, 9) for k, v in regs.items()}


def few(setting):
    "A setting for a tenth of the rows."
    more = dict(arguments=tripled(setting['arguments']))
    return setting | small_batches | longer_steps | more


ml_100k_rating = {
    model: [few(s) for s in settings]
    for model, settings in ml_1m_rating.items()}

searches = {
    'frappe': frappe,
    'frappe-rmse': frappe_rmse,
    'ml-1m': ml_1m,
    'ml-1m-ids': ml_1m_ids,
    'ml-1m-64': ml_1m_64,
    'ml-1m-ids-64': ml_1m_ids_64,
    'ml-1m-rating': ml_1m_rating,
    'ml-100k-rating': ml_100k_rating}

# Models that are another's with other arguments
classes = {'DCNv2': 'DCN', 'AutoInt+': 'AutoInt'}
