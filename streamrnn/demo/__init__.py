"""`streamrnn demo`: real data, a trained model, a broker and the service in one command, watched live."""
