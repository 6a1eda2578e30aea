"""The report of an atlas: one self-contained HTML file, or Markdown with images beside it."""
