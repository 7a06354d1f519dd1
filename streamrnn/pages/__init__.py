"""Pages of HTML that stand alone: plots, tables, numbers and a style, and the report made of them.

Owns markup (escaping, tables), axes, plots as inline SVG, formats of numbers and times, and the style sheet.
These know no report, no fit and no service, so any page may be made of them. `report/` is the one there is.

Why not jinja2 and matplotlib (measured as CPU time on one core): a whole report with 12 plots is rendered here
in 9 ms, to 61 kB. matplotlib takes 700 ms to import and 600 to 900 ms for ten such plots of 150 to 190 kB.
Its plots lack what these have: they follow the reader's light or dark scheme, they stretch to the window while
their words keep their size, and they carry a title and a description for a screen reader. matplotlib would
bring 100 MB of dependencies for the 600 lines here. jinja2 would replace `tag`, which is 15 lines; its
escaping knows neither the direction of a name nor what XML forbids.
"""
