"""Measuring: SymFlux beside its peers on the same computations. Run by ``python -m symflux bench``.

Nothing else imports this package. Workers import it by the name ``bench``, from its folder,
so that it loads where SymFlux is not installed: inside, imports are relative, and tools (SymFlux
among them) are imported when they are used.
"""
