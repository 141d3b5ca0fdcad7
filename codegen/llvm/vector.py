def write_loop(e, loop):
    return False


def write_function(e, lanes, params, names, block):
    for p, n in zip(params, names):
        e.bind(p, n)
    return e.block(block)[0]
