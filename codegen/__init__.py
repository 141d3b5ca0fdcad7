"""A compiler for loops: the loop IR, its passes, and native code through LLVM."""
