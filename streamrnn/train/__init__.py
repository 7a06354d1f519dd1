"""Training as a library: a history, the fit of a model to it, the judgement of forecasters on it.

Owns histories and their splits (history), the statistics a model standardises by (standardising, trimming), pieces
and chunks (chunks), the fit with its checkpoints, search and team, baselines, scores, and the report's values
(retrain_report). Knows no settings, registry, engine, screen or topic: those are the command's, in retraining/.
The demo fits with this library too.
"""
