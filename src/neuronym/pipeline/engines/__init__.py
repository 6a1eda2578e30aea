"""Where a run's pass over the images is computed: one file for each engine."""
