"""A robot arm of seven joints: kinematics with its Jacobian, inverse dynamics with derivatives."""

import functools
import math

from ..row import Row
from ..tools import casadi_code

ORDER = 12
JOINTS = 7
#: of each joint, after Denavit and Hartenberg: offset along the joint, length and twist of the link
ARM = (
    (0.36, 0.00, -1.0), (0.00, 0.02, 1.0), (0.42, 0.00, 1.0), (0.00, 0.03, -1.0),
    (0.40, 0.00, -1.0), (0.00, 0.05, 1.0), (0.13, 0.01, 0.5),
)  # fmt: skip
#: mass, centre of mass, diagonal of the inertia about it
LINKS = (
    (4.0, (0.00, -0.03, 0.12), (0.10, 0.09, 0.02)), (4.0, (0.01, 0.06, 0.04), (0.05, 0.02, 0.04)),
    (3.0, (0.00, 0.03, 0.13), (0.08, 0.07, 0.01)), (2.7, (0.00, 0.07, 0.03), (0.03, 0.01, 0.03)),
    (1.7, (0.02, 0.02, 0.08), (0.02, 0.02, 0.01)), (1.8, (0.00, 0.01, 0.01), (0.01, 0.01, 0.01)),
    (0.3, (0.01, 0.00, 0.02), (0.001, 0.001, 0.001)),
)  # fmt: skip


def frame(angle, link, sin, cos):
    """Rotation (rows) and position of a link in the frame of the one before."""
    d, a, twist = link
    s, c, st, ct = sin(angle), cos(angle), math.sin(twist), math.cos(twist)
    rotation = ((c, -ct * s, st * s), (s, ct * c, -st * c), (0.0, st, ct))
    return rotation, (a * c, a * s, d)


def times(r, v):
    return tuple(row[0] * v[0] + row[1] * v[1] + row[2] * v[2] for row in r)


def transposed_times(r, v):
    return tuple(r[0][i] * v[0] + r[1][i] * v[1] + r[2][i] * v[2] for i in range(3))


def cross(a, b):
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


def plus(*vectors):
    return tuple(
        functools.reduce(lambda a, b: a + b, parts) for parts in zip(*vectors, strict=True)
    )


def scaled(factor, v):
    return tuple(factor * x for x in v)


def kinematics(q, sin, cos):
    """Position and rotation of the hand: 12 numbers."""
    rotation, position = frame(q[0], ARM[0], sin, cos)
    for angle, link in zip(q[1:], ARM[1:], strict=True):
        r, p = frame(angle, link, sin, cos)
        position = plus(position, times(rotation, p))
        columns = [times(rotation, [row[i] for row in r]) for i in range(3)]
        rotation = tuple(tuple(c[i] for c in columns) for i in range(3))
    return [*position, *(x for row in rotation for x in row)]


def inverse_dynamics(q, speed, acceleration, sin, cos):
    """Torques by Newton and Euler's recursion (Luh, Walker, Paul 1980): out with motions, back
    with forces."""
    w = (0.0, 0.0, 0.0)
    dw = (0.0, 0.0, 0.0)
    dv = (0.0, 0.0, 9.81)
    frames, forces, moments = [], [], []
    for i in range(JOINTS):
        r, p = frame(q[i], ARM[i], sin, cos)
        mass, centre, inertia = LINKS[i]
        axis_rate, axis_acceleration = (0.0, 0.0, speed[i]), (0.0, 0.0, acceleration[i])
        dw = transposed_times(r, plus(dw, axis_acceleration, cross(w, axis_rate)))
        w = transposed_times(r, plus(w, axis_rate))
        arm = transposed_times(r, p)
        dv = plus(transposed_times(r, dv), cross(dw, arm), cross(w, cross(w, arm)))
        dc = plus(dv, cross(dw, centre), cross(w, cross(w, centre)))
        spin = tuple(a * b for a, b in zip(inertia, w, strict=True))
        moment = plus(tuple(a * b for a, b in zip(inertia, dw, strict=True)), cross(w, spin))
        frames.append((r, arm))
        forces.append(scaled(mass, dc))
        moments.append(moment)
    torques = [None] * JOINTS
    f, n = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    for i in reversed(range(JOINTS)):
        r, arm = frames[i]
        centre = LINKS[i][1]
        # f and n come in as what the next link asks for, in this link's frame
        n = plus(n, moments[i], cross(arm, plus(f, forces[i])), cross(centre, forces[i]))
        f = plus(f, forces[i])
        f, n = times(r, f), times(r, n)
        torques[i] = n[2]
    return torques


def _vectors(count):
    import numpy as np

    return tuple(np.random.default_rng(0).uniform(-1.0, 1.0, (count, JOINTS)))


def _array(f, np):
    """The function of arrays that a function of lists of numbers is."""

    def g(*arrays):
        lists = [[a[i] for i in range(JOINTS)] for a in arrays]
        return np.stack(f(*lists, np.sin, np.cos))

    return g


def _by_hand(f, np):
    return lambda *arrays: np.array(f(*(a.tolist() for a in arrays), math.sin, math.cos))


def _differences(f, argnums, np):
    """Jacobians by complex steps: exact to rounding for a function without branches."""
    import cmath

    def g(*arrays):
        found = []
        for n in argnums:
            columns = []
            for j in range(JOINTS):
                lists = [a.tolist() for a in arrays]
                lists[n][j] += 1e-30j
                columns.append([complex(x).imag * 1e30 for x in f(*lists, cmath.sin, cmath.cos)])
            found.append(np.array(columns).T)
        return tuple(found) if len(found) > 1 else found[0]

    return g


def _casadi(f, argnums, casadi, inputs):
    symbols = [casadi.SX.sym(f"q{i}", JOINTS) for i in range(len(inputs))]
    y = casadi.vertcat(*f(*(casadi.vertsplit(s) for s in symbols), casadi.sin, casadi.cos))
    outputs = [casadi.jacobian(y, symbols[n]) for n in argnums] if argnums else [y]
    return casadi_code(casadi, symbols, outputs, inputs)


def arm_rows(workload, f, arguments, argnums):
    inputs = functools.partial(_vectors, arguments)
    numbers = argnums[0] if len(argnums) == 1 else argnums

    def torch_jacobian(torch):
        return torch.func.jacrev(_array(f, torch), argnums=numbers)

    def symflux_jacobians(sf, np):
        g = _array(f, np)
        if len(argnums) == 1:
            return sf.compile(sf.jacobian(g))
        return sf.compile(lambda *args: tuple(sf.jacobian(g, argnums=n)(*args) for n in argnums))

    forward = {
        "symflux": lambda sf, np: sf.compile(_array(f, np)),
        "numpy": functools.partial(_by_hand, f),
        "jax": lambda jax, np: jax.jit(_array(f, np)),
        "torch": functools.partial(_array, f),
        "casadi": functools.partial(_casadi, f, ()),
    }
    jacobian = {
        "symflux": symflux_jacobians,
        "numpy": functools.partial(_differences, f, argnums),
        "jax": lambda jax, np: jax.jit(jax.jacfwd(_array(f, np), argnums=numbers)),
        "torch": torch_jacobian,
        "casadi": functools.partial(_casadi, f, argnums),
    }
    for variant, tools in (("forward", forward), ("jacobian", jacobian)):
        yield Row(
            workload, f"{JOINTS} joints", variant, inputs, tools, 1e-11, True, torch_compile=False
        )


def rows():
    return [
        *arm_rows("arm kinematics", kinematics, 1, (0,)),
        *arm_rows("arm inverse dynamics", inverse_dynamics, 3, (0, 1)),
    ]
