"""scikit-learn's MLPClassifier and MLPRegressor on bpjit's engine (extra `sklearn`): change the import, and it runs.

>>> from bpjit.sklearn import MLPClassifier
>>> MLPClassifier(hidden_layer_sizes=(32,), random_state=0)
MLPClassifier(hidden_layer_sizes=(32,), random_state=0)
"""

from .estimators import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
