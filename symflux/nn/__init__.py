"""Neural networks: dense and convolutional layers, their composition, losses, first weights.

A layer is a plain callable that holds params. ``a >> b`` composes layers and functions::

    model = sf.nn.Dense(64, 32, sf.relu, seed=0) >> sf.nn.Dense(32, 10, seed=1)
    loss = sf.nn.cross_entropy(model(x), labels)

Activations are functions of ``symflux.numpy``, offered here too.
"""

from ..boundary import missing_name
from ..frames import shorten
from ..numpy import log_softmax, relu, sigmoid, softmax, softplus, tanh
from .convolution import Conv, MaxPool, MeanPool
from .initialise import glorot_normal, glorot_uniform, he_normal, he_uniform, zeros
from .layers import Chain, Dense, Function, Layer, parameter_count
from .losses import accuracy, cross_entropy, mae, mse

__all__ = [
    "Chain", "Conv", "Dense", "Function", "Layer", "MaxPool", "MeanPool", "accuracy",
    "cross_entropy", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "log_softmax",
    "mae", "mse", "parameter_count", "relu", "sigmoid", "softmax", "softplus", "tanh", "zeros",
]  # fmt: skip

#: what other libraries call it
_HABITS = {
    **dict.fromkeys(("Linear", "linear", "FullyConnected"), "sf.nn.Dense(n_in, n_out)"),
    **dict.fromkeys(("Sequential", "Serial"), "sf.nn.Chain(*layers)\na >> b"),
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d", "Convolution", "Conv1D", "Conv2D"),
                    "sf.nn.Conv(n_in, n_out, (3, 3))     # one number for each axis"),
    **dict.fromkeys(("MaxPool1d", "MaxPool2d", "MaxPooling2D"), "sf.nn.MaxPool((2, 2))"),
    **dict.fromkeys(("AvgPool1d", "AvgPool2d", "AveragePooling2D"), "sf.nn.MeanPool((2, 2))"),
    **dict.fromkeys(("MSELoss", "mse_loss", "MeanSquaredError"), "sf.nn.mse(prediction, target)"),
    **dict.fromkeys(("L1Loss", "l1_loss"), "sf.nn.mae(prediction, target)"),
    **dict.fromkeys(("CrossEntropyLoss", "SoftmaxCrossEntropy"),
                    "sf.nn.cross_entropy(logits, target)"),
    **dict.fromkeys(("Module", "Model"), "sf.nn.Layer"),
    "Parameter": "sf.param(array)", "ReLU": "sf.relu", "Sigmoid": "sf.sigmoid", "Tanh": "sf.tanh",
    "Softmax": "sf.softmax", "Softplus": "sf.softplus", "functional": "sf.relu, sf.softmax, ...",
}  # fmt: skip


def __getattr__(name: str) -> object:
    try:
        raise missing_name("symflux.nn", name, __all__, _HABITS, "sf.nn")
    except AttributeError as error:
        shorten(error)
        raise
