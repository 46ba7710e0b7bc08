"""What scikit-learn's converter to ONNX has to be told before it knows every estimator that is taken here."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

Converter = Callable[[Any, Any, Any], None]


@cache
def know_estimators() -> None:
    """Tell it once."""
    _know_histograms()
    _know_lightgbm()


class _PlainNumbers:
    """A converter's container that hands on numbers of NumPy, and yes and no, as the plain numbers that ONNX takes."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, *arguments: Any, **attributes: Any) -> None:
        for name, value in attributes.items():
            if isinstance(value, list):
                attributes[name] = [_plain(each) for each in value]
        self._container.add_node(*arguments, **attributes)


def _plain(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    return int(plain) if isinstance(plain, bool) else plain


def _mended(convert: Converter) -> Converter:
    def converter(scope: Any, operator: Any, container: Any) -> None:
        convert(scope, operator, _PlainNumbers(container))

    return converter


def _know_histograms() -> None:
    """Mend the converter of scikit-learn's histogram boosting, which hands on NumPy's numbers."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common._registration import get_converter, get_shape_calculator
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    for kind in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        alias = f"Sklearn{kind.__name__}"
        options = {"nocl": [True, False], "zipmap": [True, False, "columns"], "raw_scores": [True, False]}
        is_classifier = kind is HistGradientBoostingClassifier
        shape = get_shape_calculator(alias)
        update_registered_converter(
            kind, alias, shape, _mended(get_converter(alias)), options=options if is_classifier else None
        )


def _know_lightgbm() -> None:
    """Tell the converter of LightGBM's estimators, alone or in a pipeline, where that is installed."""
    try:
        from lightgbm import LGBMClassifier, LGBMRegressor
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    except ModuleNotFoundError:
        return
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator

    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    shape = shape_calculator.calculate_linear_classifier_output_shapes
    update_registered_converter(LGBMClassifier, "LightGbmLGBMClassifier", shape, convert_lightgbm, options=options)
    shape = shape_calculator.calculate_linear_regressor_output_shapes
    update_registered_converter(
        LGBMRegressor, "LightGbmLGBMRegressor", shape, convert_lightgbm, options={"split": None}
    )
