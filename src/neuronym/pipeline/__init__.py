"""From names to an atlas: the one place that chains the stages."""
