"""What ``readme.py`` puts on the pages: one function a table, from the JSON of a benchmark to Markdown."""
