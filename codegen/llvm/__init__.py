"""Native code for the loop IR through LLVM: the only folder that imports llvmlite."""
