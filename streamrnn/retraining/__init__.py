"""The work behind `streamrnn retrain`: from history to a judged, published model, on the service's own step.

Owns the job's order (retrain_job), what is asked for (request, wanted), where the history comes from (job_history,
from_topic), who is judged (contest) and what becomes of the model (verdict). How a model is fitted and scored is
the library's, in train/; the command line's options are made in commands/.
"""
