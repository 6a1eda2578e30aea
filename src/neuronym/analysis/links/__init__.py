"""Units that feed units: by correlation, by the weights between them, and by ablation."""
