"""What `make` runs: execute, render and test the notebooks."""
