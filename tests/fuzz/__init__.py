"""Random typed programs: passes and native code against the interpreter."""
