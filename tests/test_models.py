"What a page of a model cannot show: what is left of it in memory."
import gc

import numpy as np
import pytest
from tensorflow.python.framework.func_graph import FuncGraph

from recofm import models
from recofm.data import Field


def graphs():
    "How many graphs of TensorFlow are alive."
    gc.collect()
    return sum(isinstance(thing, FuncGraph) for thing in gc.get_objects())


def use_and_forget(name):
    names = 'user_id', 'item_id'
    fields = [Field(name, 9, side=name[:4]) for name in names]
    model = getattr(models, name)(fields)
    model.compile()
    ids = np.arange(18).reshape(9, 2) % 9
    model.fit(ids, [0, 1, 1] * 3, batch_size=4, verbose=0)
    model.evaluate(ids, [0, 1, 1] * 3, verbose=0)
    model.predict(ids, verbose=0)


@pytest.mark.slow
def test_models_that_are_forgotten_leave_no_graph():
    for name in 'FM', 'NFM': use_and_forget(name)
    before = graphs()
    for name in 'FM', 'NFM', 'FM': use_and_forget(name)
    assert graphs() <= before


def test_arguments_may_be_tuples_as_the_defaults_are():
    "A file has lists; the contract takes both for the same."
    from recofm.models.contract import (
        Case, contract_data, contract_fields,
        saves_and_loads_as_the_same_function)
    fields = contract_fields()[0]
    for make in models.WideDeep, models.MLP:
        case = Case(lambda: make(fields), *contract_data(fields))
        case.trained = case.fresh(), None
        saves_and_loads_as_the_same_function(case)
