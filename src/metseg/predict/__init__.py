"""Prediction: a `Case` goes in, a mask on its own grid and a lesion table come out."""

import sys

from metseg.callable_module import CallableModule

sys.modules[__name__].__class__ = CallableModule  # metseg.predict(case, model) is metseg.api.predict
