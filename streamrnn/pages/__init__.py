"""Pages of HTML that stand alone: plots, tables, numbers and a style, and the report made of them.

Owns markup (escaping, tables), axes, plots as inline SVG, formats of numbers and times, and the style sheet. These
know no report, no fit and no service, so any page may be made of them; `report/` is the one that there is.

Why not jinja2 and matplotlib (measured, CPU time, one core): a whole report with 12 plots is rendered here in 9 ms to
61 kB. matplotlib takes 700 ms to import and 600 to 900 ms for ten such plots, which are 150 to 190 kB and do not have
what these have: they follow the reader's light or dark scheme, stretch to the window while their words keep their size,
and carry a title and a description for a screen reader. It would be 100 MB of dependencies for these 600 lines. jinja2
(23 ms) would take the place of `tag`, 15 lines; its escaping knows neither the direction of a name nor what XML forbids.
"""
