"""The table of other tools' shapes; a new one is a file here and a line in it."""

from aqa.data.shape import Shape
from aqa.evaluation.predictions.shapes import batches, harnesses, readers, spans, traces

# The first that knows a row reads it; what none knows has plain columns.
SHAPES: tuple[Shape, ...] = (
    harnesses.LM_EVAL,
    harnesses.INSPECT,
    harnesses.PROMPTFOO,
    harnesses.PROMPTFOO_TABLE,
    harnesses.HELM,
    harnesses.HELM_STATE,
    harnesses.EVALS,
    harnesses.MT_BENCH,
    batches.OPENAI,
    batches.ANTHROPIC,
    batches.GEMINI,
    batches.BEDROCK,
    batches.EVAL_RUN,
    batches.REPLY,
    readers.DPR,
    readers.FLASHRAG,
    readers.KILT,
    readers.HAYSTACK,
    readers.LANGCHAIN,
    readers.QA_CHAIN,
    readers.TREC_RAG,
    readers.BIOASQ,
    traces.TRACE,
    spans.NATURAL_QUESTIONS,
    spans.QUAC,
)
