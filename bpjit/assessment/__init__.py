"""What answers to a test are worth: scores, classes taken for each other, residuals; as text, for JSON, as a plot.

`classification` and `regression` take what was answered and what is true. Most scores are scikit-learn's (extra `cli`
or `sklearn`). Beside them stands what an answer that never looks at the inputs would reach.
"""

from .classes import ClassificationAssessment, classification
from .residuals import RegressionAssessment, regression

Assessment = ClassificationAssessment | RegressionAssessment

__all__ = ["Assessment", "ClassificationAssessment", "RegressionAssessment", "classification", "regression"]
