"""The table of other tools' formats; to add one, add a file here and a line below."""

from aqa.data.shape import Shape
from aqa.evaluation.predictions.shapes import batches, harnesses, readers, traces

# The first match reads a row; rows without a match have plain columns.
SHAPES: tuple[Shape, ...] = (
    harnesses.lm_eval,
    harnesses.lighteval,
    harnesses.inspect,
    harnesses.promptfoo,
    harnesses.promptfoo_table,
    harnesses.helm,
    harnesses.helm_state,
    harnesses.evals,
    harnesses.mt_bench,
    batches.streamed,
    batches.openai,
    batches.anthropic,
    batches.gemini,
    batches.bedrock,
    batches.eval_run,
    batches.reply,
    readers.dpr,
    readers.flashrag,
    readers.kilt,
    readers.haystack,
    readers.langchain,
    readers.qa_chain,
    readers.trec_rag,
    readers.bioasq,
    readers.of_the_hub,
    traces.mlflow,
    traces.trace,
    readers.natural_questions,
    readers.quac,
)
