"""The daemon's HTTP: probes, status, streams, the retrain request. Decides nothing about any of them."""
