"""Neural networks: dense and convolutional layers, their composition, losses, first weights.

A layer is a plain callable that holds params. ``a >> b`` composes layers and functions::

    model = sf.nn.Dense(64, 32, sf.relu, seed=0) >> sf.nn.Dense(32, 10, seed=1)
    loss = sf.nn.cross_entropy(model(x), labels)

Activations are functions of ``symflux.numpy``, offered here too.
"""

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
