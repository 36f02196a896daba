"""Training: losses, the Lightning module, runs that can be resumed and end in a bundle."""

import sys

from metseg.callable_module import CallableModule

sys.modules[__name__].__class__ = CallableModule  # metseg.train(recipe, data, out) is metseg.api.train
