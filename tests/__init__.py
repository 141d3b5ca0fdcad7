"""The tests of SymFlux, one package so that tests share helpers by relative imports."""
