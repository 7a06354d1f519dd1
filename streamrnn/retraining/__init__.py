"""`streamrnn retrain`: from history to a judged, published model, on the service's own step."""
