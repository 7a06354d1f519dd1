"""The daemon's HTTP: probes, status, streams, the retrain request, models. The only home of starlette and uvicorn.

Decides nothing about what is asked for: a service is known by its views.
"""
