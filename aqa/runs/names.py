"""Each file name of a run folder, once."""

MANIFEST = "run.json"  # what a run folder is known by
LOCK = ".lock"
SEGMENTS = "segments"  # what several processes answered, while they do
QUEUE_LOCK = ".segments.lock"

# Of a training.
ADAPTER = "adapter"  # the trained weights: an adapter ...
MODEL = "model"  # ... or a whole model
MERGED = "merged"  # adapter and base as one model
ENSEMBLE = "ensemble.json"  # ... or the rule of an ensemble
CHECKPOINTS = "checkpoints"
TRAINING_ROWS = "training_rows"  # while the training lasts: token ids, a file for each process ...
ROWS_PART, ROWS_RECORD = "{}.arrow", "rows.json"  # ... and what they were made from

# Of a prediction, and of the dev data of a training.
JOURNAL = "predictions.jsonl"
PREDICTIONS = "predictions.json"
METRICS = "metrics.json"

VLLM_LOG = "vllm.log"  # what the server said that answers

# Of a prediction through an API.
SPENDING = "spending.json"
SAMPLES = "samples.jsonl"  # of answers, each before all of its question are there
BATCHES = "batches"
BATCH_RECORD = "record.json"  # in BATCHES, as are the files of each batch
REQUESTS, ANSWERS, ERRORS = ".requests.jsonl", ".answers.jsonl", ".errors.jsonl"

# What only a run may overwrite.
OF_PREDICTION = (PREDICTIONS, SPENDING, SAMPLES)
OF_TRAINING = (METRICS, ADAPTER, MODEL, MERGED, ENSEMBLE, CHECKPOINTS)

CONTRACT = "silence.json"  # of silence, beside the predictions that it was made from
STRESS = "stress"  # a run folder for each condition, inside that of the plain evidence
PROMPTS = "prompts.json"  # of a folder with a run folder for each prompt: their names
JUDGE = "judge"  # the verdicts on the answers, a folder for each way of judging
MEMBERS = "members"  # of an ensemble: a run folder for each that it asks
TO_LABEL = "to_label.csv"
