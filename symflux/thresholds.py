"""Every threshold of the compiler: one table of sizes at which it decides otherwise.

A small array takes other ways through the compiler than a large one. So that small programs can go
every way, tests lower thresholds with :func:`lowered`; any value of the same type from ``least`` on
is allowed, and every result is right whatever they are. What was measured to be fast are the
defaults. Code that was made with others is not kept for those who use the defaults: they are part
of every key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["TABLE", "Threshold", "changed", "lowered", "thresholds"]


class Threshold:
    """One threshold; ``low`` are values that make small programs take the ways of large ones,
    ``least`` is where the numbers that it may be begin (each of them, where it is several)."""

    __slots__ = ("default", "help", "least", "low")

    def __init__(self, default: Any, help: str, low: tuple[Any, ...], least: float) -> None:
        self.default, self.help, self.low, self.least = default, help, low, least


def _row(default: Any, *low: Any, help: str, least: float = 0) -> Any:
    return Threshold(default, help, low, least)


class _Thresholds:
    """The values in force, as attributes: ``thresholds.unroll``."""

    # --- laws of graphs ---
    fold_most: int = _row(64, 1, 4, help="elements of the largest constant that folding makes")
    short_sum: int = _row(
        3, 1, 16, help="products in a sum up to which a contraction can do without a kernel"
    )
    short_sum_from: int = _row(64, 1, help="elements of the result from which on it does")
    pass_rounds: int = _row(
        4, 1, 2, help="how often the passes over a graph run again because regions changed"
    )

    graph_growth: int = _row(
        4, 1, help="how many times its nodes a graph may grow to while laws are applied"
    )
    graph_extra: int = _row(200, 0, 5, help="nodes that it may have in addition to that")
    law_steps: int = _row(
        100, 0, 1, help="steps for each node (and 100 nodes more) until laws are stopped as endless"
    )

    # --- arrays that are written to while functions are traced ---
    waiting_writes: int = _row(
        1 << 16, 0, 6, help="elements of an array up to which writes to parts of it wait until the "
        "whole is read",
    )  # fmt: skip
    written_parts: int = _row(
        4, 0, 1, help="parts for each write up to which what was written is put side by side"
    )

    # --- batches of unit vectors ---
    piece_percent: int = _row(
        125, 1, 100_000, help="work on the pieces of a batch, in percent of that on the whole, "
        "from which on it is made one array"
    )  # fmt: skip
    piece_cost: int = _row(
        32, 0, help="work on a piece beside that on its elements, in operations on vectors"
    )
    piece_from: int = _row(
        2, 0, 10, help="elements of a value from which on its batch is kept in pieces"
    )
    pieces: int = _row(
        4, 1, 100, help="pieces of a batch from which on those side by side are made one"
    )
    interval_from: int = _row(
        16, 1, help="unit vectors from which on a batch that is no longer in pieces may be kept "
        "over an interval of them"
    )  # fmt: skip
    interval_part: int = _row(
        4, 1, least=1, help="how many times the interval all unit vectors must be for that"
    )
    placed_by_mask: int = _row(
        64, 0, 1000, help="elements of a batch up to which a piece at one place is selected there, "
        "not put between zeros"
    )  # fmt: skip

    # --- loops of graphs: what is computed where ---
    unroll: int = _row(
        8, 1, 2, 3, help="iterations up to which loops are written out, and sums added in registers"
    )
    written_out: int = _row(
        16, 1, 4, help="the same for the loops inside of a vector loop taken together, and the "
        "sums kept in registers over it",
    )  # fmt: skip
    heavy: int = _row(
        24, 1, help="operations an element from which on few iterations are one vector"
    )
    long_sum: int = _row(
        64, 1, 4, help="terms of a contraction, and extents of its axes, that are long"
    )
    costly: int = _row(
        6, 1, 3, help="operations of a value from which on it is computed once, not at each use"
    )
    costly_scalar: int = _row(
        64, 1, 8, help="the same for scalars: bounds what each root has to look through"
    )
    long_expression: int = _row(
        2000, 1, 10, 50, help="operations an element from which on a value is computed in a loop "
        "of its own: the machine code of a loop is made in more than linear time",
    )  # fmt: skip
    first_cache: int = _row(2048, 0, 8, help="elements that the first cache holds beside others")
    few_pieces: int = _row(
        4, 1, 2, help="operands of a concatenation up to which it is not written piece by piece"
    )
    pile_from: int = _row(
        128, 0, 8, help="terms in all parts of the loops over a sum of blocks from which on the "
        "blocks are added up in memory, one after the other"
    )  # fmt: skip
    pile_near: int = _row(
        1 << 16, 1, 64, help="bytes of an array up to which it is near while blocks are added to it"
    )
    pile_far: int = _row(2000, 1, help="the same as `pile_from` for arrays that are not near")
    breaks: int = _row(
        16, 0, 1, 2, 3, 5, help="places at which the loops over one axis are parted at most"
    )
    tiny_loop: int = _row(
        8, 0, 2, 64, help="iterations up to which loops are shared by nests without common data"
    )
    tiny_loop_values: int = _row(32, 1, 2, help="values in such a loop at most")
    loop_values: int = _row(64, 1, 3, help="values in a loop up to which more nests share it")
    loop_operations: int = _row(
        800, 1, 20, help="nodes that are computed in a loop up to which more nests share it"
    )
    plans: int = _row(4, 1, 2, least=1, help="how often the loops of a graph are planned at most")
    kernel_from: int = _row(
        512, 0, 8, help="elements of a loop from which on it is a kernel of its own"
    )
    recompute_from: int = _row(
        2048, 1, 8, help="elements from which on a stored value may be computed again instead"
    )
    recompute_cache: int = _row(
        1 << 20, 64, help="bytes up to which an array stays in a core's caches"
    )
    recompute_margin: float = _row(
        1.2, 0.0, 0.5, help="how many times cheaper computing a value again must be than storing it"
    )

    # --- loops of graphs: what threads share ---
    share_from: float = _row(
        4_000.0, 0.0, help="nanoseconds of work from which on a loop is shared out"
    )
    share_piece: float = _row(2_000.0, 1e-3, 0.5, least=1e-9, help="nanoseconds of work in a piece")
    share_pieces: int = _row(64, 2, 3, 5, least=2, help="pieces of a loop at most")
    share_grain: int = _row(
        64, 1, 3, least=1, help="iterations of which pieces of innermost loops are multiples"
    )
    share_rows: int = _row(
        8, 1, 2, least=1, help="iterations in a piece with partial sums at least"
    )
    share_partial: int = _row(8 << 20, 256, help="bytes of the partial sums of a loop at most")
    share_outer: int = _row(
        8, 1, 2, help="iterations, and their part of those inside, up to which inner loops are "
        "shared out instead",
    )  # fmt: skip

    # --- passes over loops ---
    affine_terms: int = _row(4, 1, 2, help="variables of an index that simplifying makes at most")
    compared_places: int = _row(
        16, 1, 2, help="places of a buffer up to which each is compared with each other"
    )
    block_from: int = _row(
        512, 1, 4, help="iterations of the inner loop from which on loops run in blocks"
    )
    block_rows: int = _row(8, 1, help="iterations of the outer loop from which on they do")
    product_share_from: float = _row(
        6.0, 0.0, help="microseconds of work from which on a contraction is cut into pieces"
    )
    product_piece: float = _row(3.0, 1e-9, 1e-3, least=1e-9, help="microseconds of work in a piece")
    product_pieces: int = _row(
        0, 2, 7, help="pieces of a contraction; 0: up to four for each processor, from 8 to 64"
    )
    product_copied: float = _row(
        0.1, 0.0, 9.0, help="the part of a contraction's work that copying operands once more for "
        "its pieces may be, if there are more than two",
    )  # fmt: skip
    product_near: int = _row(
        128 * 1024, 0, help="bytes of b up to which few rows are cut: each core has all of it near"
    )
    product_few: int = _row(8, 1, least=1, help="rows in a piece of so few at least")
    product_share_rows: int = _row(48, 1, 4, least=1, help="rows, or columns, in a piece at least")

    # --- contractions ---
    product_unrolled: int = _row(
        96, 0, 8, help="multiply-adds of a contraction up to which it is straight-line code"
    )
    product_short_sum: int = _row(
        4, 0, 1, 16, help="terms of a sum up to which a contraction is plain loops"
    )
    product_vector: int = _row(
        8, 0, help="elements of such a result up to which its epilogue is written out"
    )
    product_few_rows: int = _row(
        24, 1, 4, help="rows or columns up to which long sums side by side are dot products"
    )
    product_long_dots: int = _row(24, 1, help="terms for each of these from which on they are")
    product_dots_block: int = _row(
        512, 8, least=8, help="terms in a block of such dot products at least"
    )
    product_panel: int = _row(
        96 * 1024, 256, 2048, help="bytes of the panel of b that is read for every tile of rows: "
        "it streams from the second cache as fast as it is used",
    )  # fmt: skip
    product_long_panel: int = _row(
        256 * 1024, 512, 4096, help="the same where partial sums would need memory of their own"
    )
    product_block: int = _row(
        192 * 1024, 512, 4096, help="bytes of the packed block of a: it stays in the second cache"
    )
    product_columns: int = _row(
        4 << 20, 1024, 8192, help="bytes of the packed block of b: it stays in the third cache"
    )
    product_sums: int = _row(
        16 * 1024, 256, 1024, help="bytes of the panel that holds sums until their epilogue runs"
    )
    pack_b_rows: int = _row(32, 1, help="rows from which on a panel of b is copied")
    pack_a_columns: int = _row(64, 1, help="columns from which on a block of a is copied")
    pack_a_rows: int = _row(8, 1, help="rows from which on a block of a is copied")
    pack_a_distance: int = _row(
        512, 0, help="bytes between rows, or terms, of a from which on it is copied"
    )
    pack_a_transposed: int = _row(
        1 << 20, 0, help="bytes of a from which on it is copied if its terms lie side by side"
    )
    pack_a_straight: int = _row(
        400 * 1024, 0, help="bytes of a from which on it is copied if its rows lie side by side"
    )
    pack_together: int = _row(8, 1, 2, least=1, help="panels of b that are copied together")
    pack_terms: int = _row(
        64, 8, least=8, help="terms that are transposed for all columns before the next ones"
    )
    streamed: int = _row(
        1 << 20, 0, 256, help="bytes of b from which on it comes from far and is read where it is"
    )
    streamed_vectors: int = _row(
        8, 2, least=1, help="vectors of such a b that a single row reads side by side"
    )
    streamed_terms: int = _row(
        32, 8, least=8, help="terms in a block of such a b: the lines that are fetched ahead of at "
        "once",
    )  # fmt: skip
    streamed_rows: int = _row(8, 2, help="rows from which on such blocks are made")
    fetched_panels: int = _row(
        512 * 1024, 0, help="bytes of copied b from which on its panels are fetched ahead"
    )
    tile_written_out: int = _row(
        128, 1, 16, 256, help="multiply-adds of a tile written out instead of a loop over terms"
    )
    epilogue_cost: int = _row(
        24, 0, 4, help="operations of an epilogue up to which it runs on sums in registers"
    )
    stack_scratch: int = _row(
        48 * 1024, 0, 256, help="bytes of a contraction's scratch memory that the stack holds"
    )

    # --- machine code ---
    fetch_from: int = _row(
        1 << 20, 0, help="bytes of a buffer from which on a loop fetches it ahead across pages"
    )
    strided_most: int = _row(
        4, 1, 2, help="elements from lane to lane up to which whole vectors are loaded"
    )
    loop_copies: tuple[int, int, int] = _row(
        (16, 48, 12), (0, 0, 0), (10**6, 10**6, 10**6), (0, 10**6, 0),
        help="instructions up to which the vectors of a loop are written side by side: four and "
        "two where it carries values, two where not",
    )  # fmt: skip
    sum_block: int = _row(
        32, 2, 4, help="vectors in a row that a long sum in a narrow dtype adds up before it "
        "starts anew"
    )  # fmt: skip
    side_by_side: int = _row(
        3, 1, 2, help="calls of one function from which on they are computed side by side"
    )
    thread_from: int = _row(
        20_000, 1, help="operations of a parallel loop from which on it starts threads"
    )
    chunk: int = _row(160_000, 1, 64, least=1, help="operations in a chunk of a parallel loop")
    chunks: int = _row(64, 2, 5, least=1, help="chunks of a parallel loop at most")
    chunk_grain: int = _row(
        64, 1, least=1, help="iterations of which chunks of innermost loops are multiples, or "
        "whole vectors",
    )  # fmt: skip
    long_run: int = _row(
        20_000, 0, help="operations of a program from which on other Python threads run meanwhile"
    )
    plain_entry: int = _row(
        400, 0, 10**9, help="operations of a program from which on the code around its run, "
        "which takes some nanoseconds, is compiled without optimisation",
    )  # fmt: skip
    plain_tile: int = _row(
        50_000, 0, help="operations of a tile of a contraction from which on the loops around such "
        "tiles are compiled without optimisation"
    )  # fmt: skip
    plain_lines: int = _row(
        300, 0, 10**6, help="lines of LLVM's language up to which a function is, that has "
        "others do long work"
    )  # fmt: skip
    ask_from: int = _row(
        20_000_000, 1, help="operations of a kernel from which on its loops ask for interrupts"
    )
    long_list: int = _row(
        12, 0, 2, help="items of a list that a function captured from which on they are compared "
        "as a run of bytes"
    )  # fmt: skip
    watched_in_line: int = _row(
        16, 0, 4, help="words of memory that a call compares one by one, without a loop"
    )
    ask_every: int = _row(200_000, 1, 100, help="operations of a loop after which it asks")
    function_statements: int = _row(
        1000, 12, 50, least=12, help="statements that one function may hold"
    )
    straight_statements: int = _row(
        1000, 20, 100, least=1, help="statements that one function of straight-line code may hold"
    )
    straight_from: int = _row(
        500, 5, 20, help="statements in a row from which on they are a function of their own"
    )
    stack_values: int = _row(
        48 * 1024, 0, 64, help="bytes of values between pieces that the stack holds"
    )
    stack_arena: int = _row(64 * 1024, 0, 128, help="bytes of temporaries that the stack holds")
    module_statements: int = _row(8000, 40, help="statements in a module of straight-line code")
    optimised: int = _row(
        16_000, 0, help="statements of a program up to which long straight-line code is optimised"
    )
    one_function: int = _row(150, 0, 10**6, help="statements up to which a program is one function")
    unrolled_statements: int = _row(
        2000, 0, 20, help="statements up to which a loop of mode `unroll` is written out"
    )
    inlined_calls: int = _row(
        16, 0, 1, help="calls of elementary functions of single values that are put in place"
    )
    inlined_vectors: int = _row(128, 0, 3, help="the same for those of vectors of values")
    rare_statements: int = _row(
        10, 0, 10**6, help="statements from which on the rare case of an elementary function is a "
        "function of its own"
    )  # fmt: skip
    module_lines: int = _row(
        700, 10, least=1, help="lines of functions worth a module of their own"
    )
    many_buffers: int = _row(
        256, 3, 10, help="buffers of a program from which on functions are passed a table of them"
    )
    alike: int = _row(
        4, 1, 2, least=1, help="arguments or results of one kind in a row that a loop reads, or "
        "makes, if there is such a table",
    )  # fmt: skip
    modules: int = _row(4, 1, 2, help="modules that one is made into at most")
    kept_kernels: int = _row(
        500, 1, help="kernels of contractions that a process keeps as machine code"
    )
    large_result: int = _row(
        256 * 1024, 1, 64, help="bytes of a result from which on its memory is used again"
    )


#: The table, by name.
TABLE: dict[str, Threshold] = {
    name: row for name, row in vars(_Thresholds).items() if isinstance(row, Threshold)
}
for _name, _threshold in TABLE.items():
    setattr(_Thresholds, _name, _threshold.default)

#: The values in force. Those of a class: one look-up, and no cost once code is compiled.
thresholds = _Thresholds()


@contextmanager
def lowered(**values: Any) -> Iterator[None]:
    """Other thresholds inside a ``with`` block, for all that the process compiles meanwhile.

    Raises:
        KeyError: if there is no such threshold.
        ValueError: if a value is less than the least that it may be.

    >>> with lowered(unroll=2):
    ...     thresholds.unroll, changed()
    (2, 'unroll=2')
    >>> thresholds.unroll, changed()
    (8, '')
    """
    unknown = [name for name in values if name not in TABLE]
    if unknown:
        raise KeyError(f"no threshold {unknown[0]!r}; there are {', '.join(TABLE)}")
    for name, value in values.items():
        least = TABLE[name].least
        if any(v < least for v in (value if isinstance(value, tuple) else (value,))):
            raise ValueError(f"threshold {name}={value!r}: the least is {least}")
    own = vars(thresholds)
    before = dict(own)
    own.update(values)
    try:
        yield
    finally:
        own.clear()
        own.update(before)


def changed() -> str:
    """The thresholds that are not as usual, for keys of compiled code; empty if all are."""
    own = vars(thresholds)
    if not own:
        return ""
    different = {n: v for n, v in own.items() if v != TABLE[n].default}
    return " ".join(f"{name}={different[name]!r}" for name in sorted(different))
