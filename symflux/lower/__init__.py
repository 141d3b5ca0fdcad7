"""From graphs to loop programs: what is stored, which loops are shared, where memory lives."""
