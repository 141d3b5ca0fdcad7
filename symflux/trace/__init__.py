"""Recording Python functions as graphs: traced arrays, params, and what they mean to NumPy."""
