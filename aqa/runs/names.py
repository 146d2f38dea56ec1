"""The file names of a run folder."""

MANIFEST = "run.json"  # marks a run folder
LOCK = ".lock"
SEGMENTS = "segments"  # answers of several processes, before they are merged
QUEUE_LOCK = ".segments.lock"

# Written by a training.
ADAPTER = "adapter"  # the trained weights: an adapter ...
MODEL = "model"  # ... or a whole model
MERGED = "merged"  # adapter and base as one model
ENSEMBLE = "ensemble.json"  # ... or an ensemble's rule
CHECKPOINTS = "checkpoints"
TRAINING_ROWS = "training_rows"  # during training only: token ids, a file per process ...
ROWS_PART, ROWS_RECORD = "{}.arrow", "rows.json"  # ... and what they were made from

# Written by a prediction, and for a training's dev data.
JOURNAL = "predictions.jsonl"
PREDICTIONS = "predictions.json"
METRICS = "metrics.json"

VLLM_LOG = "vllm.log"  # output of the vLLM server

# Written by a prediction through an API.
SPENDING = "spending.json"
SAMPLES = "samples.jsonl"  # sampled answers to questions that still lack some
BATCHES = "batches"
BATCH_RECORD = "record.json"  # in BATCHES, like the files of each batch
REQUESTS, ANSWERS, ERRORS = ".requests.jsonl", ".answers.jsonl", ".errors.jsonl"

# What only a run of aqa may overwrite.
OF_PREDICTION = (PREDICTIONS, SPENDING, SAMPLES)
OF_TRAINING = (METRICS, ADAPTER, MODEL, MERGED, ENSEMBLE, CHECKPOINTS)

CONTRACT = "silence.json"  # beside the predictions that it was made from
STRESS = "stress"  # a run folder per stress condition, inside the plain run's
PROMPTS = "prompts.json"  # names of the prompts in a folder with a run folder for each
JUDGE = "judge"  # verdicts on the answers, a folder for each way of judging
MEMBERS = "members"  # of an ensemble: a run folder for each one that it asks
TO_LABEL = "to_label.csv"
