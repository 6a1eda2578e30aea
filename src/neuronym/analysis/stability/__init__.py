"""How stable labels are: the published study, and what happens when images and words change."""
