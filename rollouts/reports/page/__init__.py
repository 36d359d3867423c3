"""The page of a run, or of several: one file of HTML that loads nothing from elsewhere.

===============  =====================================================================
`document.py`    the page as a whole
`sections.py`    what does not move: tables, pictures, texts, claims, configuration
`data.py`        figures as the script reads them
`markup.py`      tables of the command line, and text, as HTML
``page.js``      what moves: curves, and who listened to whom, drawn by Plotly
``page.css``     how it looks, down to the width of a phone
===============  =====================================================================
"""
