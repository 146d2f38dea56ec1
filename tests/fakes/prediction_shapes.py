"""Files of predictions in other tools' formats, for four questions, all answered correctly."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

from files import lines

QUESTIONS = {
    "q1": "What is the capital of France?",
    "q2": "Who wrote Hamlet?",
    "q3": "한라산의 높이는?",
    "q4": "What colour is the car?",
}
REFERENCES = {
    "q1": ["Paris"],
    "q2": ["William Shakespeare", "Shakespeare"],
    "q3": ["1,947 m"],
    "q4": [],
}
SAID = {"q1": "Paris", "q2": "Shakespeare", "q3": "1,947 m", "q4": ""}
ROWS = [(key, QUESTIONS[key], text, REFERENCES[key]) for key, text in SAID.items()]

Content = Any  # values other than bytes and texts become JSON


def rows(make: Callable[[str, str, str, list[str]], Mapping[str, Any]]) -> list[Any]:
    return [make(*row) for row in ROWS]


def each(make: Callable[[str, str, str, list[str]], Mapping[str, Any]]) -> str:
    return lines(rows(make))


def chat(text: str) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": [{"message": {"content": text}}]}


def lm_eval(filtered: Mapping[str, str]) -> list[Any]:
    """One row per filter and question, as --log_samples writes them."""
    return [
        {
            "doc_id": number,
            "doc": {"id": key, "question": question, "answers": gold, "context": "x"},
            "target": gold[0] if gold else "",
            "arguments": {"gen_args_0": {"arg_0": question, "arg_1": {"until": ["\n"]}}},
            "resps": [[f"{text}\n"]],
            "filtered_resps": [changed.format(text)],
            "filter": name,
            "exact_match": 1.0,
        }
        for name, changed in filtered.items()
        for number, (key, question, text, gold) in enumerate(ROWS)
    ]


def inspect_sample(key: str | int, question: str, text: str, gold: list[str]) -> dict[str, Any]:
    message = {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "x"}]}
    message["content"].append({"type": "text", "text": text})
    return {
        "id": key,
        "epoch": 1,
        "input": [{"role": "system", "content": "s"}, {"role": "user", "content": question}],
        "target": gold,
        "messages": [],
        "output": {"model": "m", "choices": [{"message": message}], "completion": text},
        "scores": {"match": {"value": "C", "answer": "another"}},
    }


def inspect_archive(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("header.json", '{"version": 2, "status": "success"}')
        for key, question, text, gold in ROWS:
            sample = inspect_sample(key, question, text, gold)
            archive.writestr(f"samples/{key}_epoch_1.json", json.dumps(sample))
    return file.getvalue()


def promptfoo(key: str, question: str, text: str, number: int, provider: str) -> dict[str, Any]:
    return {
        "id": f"{provider}-{number}",
        "testIdx": number,
        "promptIdx": 0,
        "provider": {"id": provider, "label": ""},
        "vars": {"id": key, "question": question, "context": "x"},
        "response": {"output": text},
        "success": False,
        "error": "Expected output to equal ...",  # a failed assertion, not a failed request
        "testCase": {"vars": {}, "metadata": {"topic": "x"}},
    }


NBEST = {
    key: [
        {"text": "no", "probability": 0.1, "start_logit": 1.0},
        {"text": text or "empty", "probability": 0.9, "start_logit": 2.0},
    ]
    for key, text in SAID.items()
}

SHAPES: dict[str, tuple[str, Content]] = {
    "lm-eval": ("samples_squad_2026.jsonl", lines(lm_eval({"none": "{}"}))),
    "lm-eval, filters that agree": ("s.jsonl", lines(lm_eval({"strict": "{}", "flex": "{}"}))),
    "lm-eval, repeats that agree": ("s.jsonl",
        lines(
            {**row, "filtered_resps": [[row["filtered_resps"][0]] * 3]}
             for row in lm_eval({"none": "{}"}))),
    "lm-eval, only the place of a document": ("s.jsonl",
        lines({**row, "doc": {"text": "x"}} for row in lm_eval({"none": "{}"}))),
    "Inspect's archive": ("log.eval", inspect_archive()),
    "Inspect's archive without compression": ("log.zip", inspect_archive(zipfile.ZIP_STORED)),
    "Inspect's JSON": ("log.json",
        {"version": 2, "status": "success", "eval": {"task": "t"}, "plan": {},
            "results": {"scores": [{"name": "match"}]}, "samples": rows(inspect_sample)}),
    "Inspect, samples by number": ("log.json",
        {"eval": {}, "plan": {}, "status": "success",
            "samples": [
             inspect_sample(n, q, text, gold) for n, (_, q, text, gold) in enumerate(ROWS, 1)
             ]}),
    "promptfoo": ("output.json",
        {"evalId": "e",
            "results": {"version": 3, "prompts": [],
                "results": [promptfoo(k, q, t, n, "echo") for n, (k, q, t, _) in enumerate(ROWS)],
                "stats": {"successes": 4}}, "config": {}}),
    "promptfoo, JSON Lines": ("output.jsonl",
        lines(promptfoo(k, q, t, n, "echo") for n, (k, q, t, _) in enumerate(ROWS))),
    "promptfoo without ids": ("output.json",
        {"results": {
            "results": [{**promptfoo(k, q, t, n, "echo"), "vars": {"q": q}}
             for n, (k, q, t, _) in enumerate(ROWS)]}}),
    "LLaMA-Factory": ("generated_predictions.jsonl",
        each(lambda k, q, t, g: {"prompt": f"user\n{q}\n", "predict": t, "label": (g or [""])[0]})),
    "ms-swift": ("result.jsonl",
        each(lambda k, q, t, g: {"response": t, "labels": (g or [""])[0], "logprobs": None,
            "messages": [{"role": "user", "content": f"Read: {q}"},
                {"role": "assistant", "content": t}]})),
    "Hugging Face predictions": ("predictions.json", SAID),
    "Hugging Face predictions of a test": ("predict_predictions.json", SAID),
    "Hugging Face n-best": ("nbest_predictions.json", NBEST),
    "Hugging Face squad_v2 metric": ("p.json",
        rows(lambda k, q, t, g: {"id": k, "prediction_text": t, "no_answer_probability": 0.0})),
    "Hugging Face text-generation": ("p.json", rows(lambda k, q, t, g: [{"generated_text": t}])),
    "Hugging Face question-answering": ("p.json",
        rows(lambda k, q, t, g: {"score": 0.5, "start": 1, "end": 2, "answer": t,
            "example_id": k})),
    "FiD": ("final_output.txt", "".join((f"{key}\t{text}\n" for key, text in SAID.items()))),
    "FiD, a tab at the end lost": ("o.txt", "q1\tParis\nq2\tShakespeare\nq3\t1,947 m\nq4"),
    "FiD by places": ("o.txt", "".join((f"{n}\t{row[2]}\n" for n, row in enumerate(ROWS)))),
    "FlashRAG": ("intermediate_data.json",
        rows(lambda k, q, t, g: {"id": k, "question": q, "golden_answers": g,
            "metadata": {"type": "x"},
            "output": {"pred": t, "prompt": "p", "metric_score": {"em": 1.0}}})),
    "DPR's reader": ("dpr.json",
        rows(lambda k, q, t, g: {"question": q, "gold_answers": g,
            "predictions": [{"top_k": 10,
                "prediction": {"text": t, "score": 1.0, "passage": "x"}}]})),
    "BERGEN": ("eval_out.json",
        rows(lambda k, q, t, g: {"q_id": k, "response": t, "instruction": f"Answer. {q}",
            "label": g, "question": q})),
    "KILT": ("kilt.jsonl",
        each(lambda k, q, t, g: {"id": k, "input": q,
            "output": [{"answer": t, "provenance": [{"wikipedia_id": "1"}]}]})),
    "MS MARCO": ("m.jsonl", each(lambda k, q, t, g: {"query_id": k, "answers": [t]})),
    "Natural Questions with texts": ("nq.json",
        {"predictions": rows(lambda k, q, t, g: {"example_id": k, "long_answer": {},
            "short_answers": [{"start_token": 1, "end_token": 2, "text": t}] if t else [],
            "yes_no_answer": "NONE"})}),
    "CoQA": ("coqa.json", rows(lambda k, q, t, g: {"id": k, "turn_id": 1, "answer": t})),
    "CoQA, ids of turns": ("coqa.json",
        rows(lambda k, q, t, g: {"id": "q", "turn_id": int(k[1]), "answer": t})),
    "QuAC": ("quac.jsonl",
        lines([{"qid": list(SAID)[:2], "best_span_str": ["Paris", "Shakespeare"]},
            {"qid": ["q3", "q4"], "best_span_str": ["1,947 m", ""], "yesno": ["x", "x"]}])),
    "OpenAI's batch": ("batch.jsonl",
        each(lambda k, q, t, g: {"id": f"b_{k}", "custom_id": k,
            "response": {"status_code": 200, "body": chat(t)}, "error": None})),
    "OpenAI's batch of responses": ("batch.jsonl",
        each(lambda k, q, t, g: {"id": f"b_{k}", "custom_id": k,
            "response": {"status_code": 200,
                "body": {"object": "response",
                    "output": [{"type": "reasoning", "summary": []},
                        {"type": "message", "content": [{"type": "output_text", "text": t}]}]}},
            "error": None})),
    "OpenAI's batch of completions": ("batch.jsonl",
        each(lambda k, q, t, g: {"custom_id": k,
            "response": {"status_code": 200, "body": {"choices": [{"text": t}]}}, "error": None})),
    "Anthropic's batch": ("batch.jsonl",
        each(lambda k, q, t, g: {"custom_id": k,
            "result": {"type": "succeeded",
                "message": {"content": [{"type": "thinking", "thinking": "x"},
                    {"type": "text", "text": t}]}}})),
    "Gemini's batch": ("batch.jsonl",
        each(lambda k, q, t, g: {"key": k,
            "response": {"candidates": [{"content": {"parts": [{"text": "x", "thought": True},
                {"text": t}]}}]}})),
    "RAGAS": ("ragas.jsonl",
        each(lambda k, q, t, g: {"user_input": q, "retrieved_contexts": ["x"], "response": t,
            "reference": (g or [""])[0]})),
    "RAGAS before 0.2": ("ragas.jsonl",
        each(lambda k, q, t, g: {"question": q, "contexts": ["x"], "answer": t,
            "ground_truth": (g or [""])[0]})),
    "RAGAS by columns": ("ragas.json",
        {"question": list(QUESTIONS.values()), "answer": list(SAID.values()),
            "ground_truth": ["x"] * 4, "faithfulness": [float("nan")] * 4, "id": list(SAID)}),
    "DeepEval's run": ("run.json",
        {
            "testCases": rows(lambda k, q, t, g: {"name": k, "input": q, "actualOutput": t,
                "expectedOutput": (g or [""])[0], "success": True, "metricsData": []}),
            "metricsScores": []}),
    "DeepEval without names": ("run.json",
        {
            "test_results": [
             {"name": f"test_case_{n}", "input": q, "actual_output": t, "success": True}
             for n, (_, q, t, _) in enumerate(ROWS)
             ]}),
    "HotpotQA": ("hotpot.json", {"answer": SAID, "sp": {key: [["x", 0]] for key in SAID}}),
    "EvalAI": ("p.json", {"predictions": SAID}),
    "TweetQA": ("t.json", rows(lambda k, q, t, g: {"qid": k, "Answer": t})),
    "TREC RAG": ("t.json",
        rows(lambda k, q, t, g: {"run_id": "x", "topic_id": k, "references": ["d1"],
            "answer": [{"text": part, "citations": [0]} for part in t.split(" ")]})),
    "TREC RAG, metadata apart": ("t.jsonl",
        each(lambda k, q, t, g: {"metadata": {"topic_id": k}, "references": ["d1"],
            "answer": [{"text": t, "citations": [0]}]})),
    "TREC RAGTIME": ("t.jsonl",
        each(lambda k, q, t, g: {"metadata": {"narrative_id": k, "run_id": "x"},
            "responses": [{"text": part, "citations": {"d1": 1.0}} for part in t.split(" ")]})),
    "a table in Korean": ("k.csv",
        "번호,모델 답변\n" + "".join(f'{k},"{t}"\n' for k, _, t, _ in ROWS)),
    "Haystack": ("h.json",
        rows(lambda k, q, t, g: {"query": q,
            "answers": [{"answer": "no", "score": 0.1}, {"answer": t, "score": 0.8}]})),
    "OpenCompass": ("o.json",
        {str(n): {"origin_prompt": q, "prediction": t, "gold": g}
         for n, (_, q, t, g) in enumerate(ROWS)}),
    "HELM": ("display_predictions.json",
        rows(lambda k, q, t, g: {"instance_id": k, "predicted_text": t, "stats": {}})),
    "HELM, what it scores of a text": ("display_predictions.json",
        rows(lambda k, q, t, g: {"instance_id": k, "train_trial_index": 0,
            "predicted_text": f"{t}\nQ: more", "truncated_predicted_text": t})),
    "HELM, a choice": ("display_predictions.json",
        rows(lambda k, q, t, g: {"instance_id": k, "predicted_text": "A", "mapped_output": t})),
    "HELM's state": ("scenario_state.json",
        {"adapter_spec": {"method": "generation"},
            "request_states": rows(lambda k, q, t, g: {
                "instance": {"input": {"text": q},
                    "references": [{"output": {"text": x}, "tags": ["correct"]} for x in g]
                     + [{"output": {"text": "Rome"}, "tags": []}], "split": "test", "id": k},
                "train_trial_index": 0, "request": {"model": "m", "prompt": q},
                "result": {"success": True, "completions": [{"text": t, "logprob": -1.0}]}})}),
    "MT-bench": ("vicuna.jsonl",
        each(lambda k, q, t, g: {"question_id": k, "answer_id": f"Z{k}", "model_id": "vicuna",
            "choices": [{"index": 0, "turns": [t]}], "tstamp": 1.5})),
    "Arena-Hard": ("m.jsonl",
        each(lambda k, q, t, g: {"question_id": k,
            "choices": [{"index": 0, "turns": [{"content": t, "token_len": 1}]}]})),
    "OpenAI's evals": ("e.jsonl",
        lines([{"spec": {"eval_name": "x.dev.v0", "completion_fns": ["m"]}},
            *({"event_id": 0, "sample_id": f"x.dev.{place}", "type": kind, "data": data}
             for place, (_, question, text, gold) in enumerate(ROWS)
             for kind, data in (
             ("sampling", {"prompt": f"Q: {question}", "sampled": [text]}),
             ("match", {"correct": True, "expected": gold, "sampled": text}),
             )), {"final_report": {"accuracy": 1.0}}])),
    "promptfoo's table": ("output.csv",
        "id,question,[m] Answer {{question}},Status,Score,Named Scores,Grader Reason,Comment\n"
         + "".join(f'{k},{q},"{t}",FAIL,0.00,,Expected ...,\n' for k, q, t, _ in ROWS)),
    "promptfoo's table with what was thought": ("output.csv",
        "Description,id,question,[m] Answer {{question}},Reasoning,Status,Score,Named Scores,"
         "Metric: exact,Grader Reason,Comment\n"
         + "".join(f'd,{k},{q},"{t}",Hm.,PASS,1.00,,1.00,All passed,\n' for k, q, t, _ in ROWS)),
    "OpenAI's evals, matches alone": ("e.jsonl",
        lines(
            {
             "event_id": place,
             "sample_id": f"x.dev.{place}",
             "type": "match",
             "data": {"correct": False, "expected": gold, "sampled": text},
             }
             for place, (_, _, text, gold) in enumerate(ROWS))),
    "LiteLLM's batch": ("b.jsonl",
        each(lambda k, q, t, g: {"custom_id": k, "response": {"choices": [{"text": t}]}})),
    "lighteval": ("details.jsonl",
        each(lambda k, q, t, g: {
            "doc": {"id": k, "query": f"Q: {q}", "choices": g, "gold_index": list(range(len(g)))},
            "metric": {"em": 1.0},
            "model_response": {"text": [f"<think>{g}"], "text_post_processed": [t]}})),
    "MLflow's traces": ("traces.csv",
        "trace_id,state,request,response\n"
         + "".join(
         f"tr-{k},OK,\"{{'id': '{k}', 'question': '{q}'}}\",\"\"\"{t}\"\"\"\n"
         for k, q, t, _ in ROWS)),
    "Phoenix, with what was retrieved": ("runs.jsonl",
        each(lambda k, q, t, g: {"run_id": f"r{k}", "input": {"id": k, "question": q},
            "output": {"answer": t, "contexts": ["x"]}, "reference_output": {"answer": g}})),
    "Langfuse's generations": ("g.jsonl",
        each(lambda k, q, t, g: {"traceId": "t", "input": {"id": k, "question": q},
            "output": {"choices": [{"message": {"role": "assistant", "content": t}}]}})),
    "what was asked holds a gold answer": ("runs.csv",
        "inputs.id,inputs.question,inputs.prediction,inputs.answer,outputs.answer\n"
         + "".join(f'{k},{q},no,gold,"{t}"\n' for k, q, t, _ in ROWS)),
    "what was said beside what was asked": ("runs.csv",
        "input.id,input.question,input.topic,output.text\n"
         + "".join(f'{k},{q},x,"{t}"\n' for k, q, t, _ in ROWS)),
    "rows of the hub": ("r.json",
        {"features": [{"name": "id"}],
            "rows": [{"row_idx": n, "row": {"id": k, "prediction": t}, "truncated_cells": []}
             for n, (k, _, t, _) in enumerate(ROWS)]}),
    "items and samples, as graders get them": ("e.jsonl",
        each(lambda k, q, t, g: {"item": {"id": k, "question": q, "answer": g},
            "sample": {"output_text": t, "model": "m"}})),
    "OLMES": ("predictions.jsonl",
        each(lambda k, q, t, g: {"id": k, "model_output": [{"continuation": t, "num_tokens": 2}]})),
    "Patronus": ("p.jsonl", each(lambda k, q, t, g: {"id": k, "task_input": q, "task_output": t})),
    "LangSmith's runs": ("runs.jsonl",
        each(lambda k, q, t, g: {"id": f"run-{k}", "inputs": {"question": q},
            "outputs": {"answer": t}, "reference_example_id": k, "error": None})),
    "LangSmith's table": ("experiment.csv",
        "id,inputs,outputs,reference_outputs\n"
         + "".join(
         f'{k},"{{""question"": ""{q}""}}","{{""answer"": ""{t}""}}","{{""answer"": ""x""}}"\n'
         for k, q, t, _ in ROWS)),
    "Langfuse": ("traces.json",
        rows(lambda k, q, t, g: {"id": f"trace-{k}", "input": {"question": q, "id": k},
            "output": {"answer": t}})),
    "Humanloop": ("logs.jsonl",
        each(lambda k, q, t, g: {"id": f"log-{k}", "inputs": {"question": q, "qid": k}, "output": t,
            "target": {"answer": "x"}})),
    "Opik": ("o.json",
        rows(lambda k, q, t, g: {"input": {"question": q},
            "evaluation_task_output": {"output": t}})),
    "LangChain's chain of questions and answers": ("c.json",
        rows(lambda k, q, t, g: {"query": q, "answer": (g or [""])[0], "result": t})),
    "a run of OpenAI's evaluations": ("output_items.jsonl",
        each(lambda k, q, t, g: {"object": "eval.run.output_item", "id": f"outputitem_{k}",
            "datasource_item": {"id": k, "question": q, "answer": "x"},
            "sample": {"input": [{"role": "user", "content": q}],
                "output": [{"role": "assistant", "content": t}]}})),
    "replies of Gemini": ("g.jsonl",
        each(lambda k, q, t, g: {"key": k, "candidates": [{"content": {"parts": [{"text": t}]}}]})),
    "an ideal answer beside it": ("p.jsonl",
        each(lambda k, q, t, g: {"id": k, "prediction": t, "ideal_answer": "x"})),
    "AllenNLP": ("a.jsonl",
        each(lambda k, q, t, g: {"id": k, "best_span": [1, 2], "best_span_str": t})),
    "EvalScope": ("e.jsonl",
        each(lambda k, q, t, g: {"index": k,
            "model_output": {"choices": [{"message": {"role": "assistant", "content": t}}]}})),
    "Bedrock's batch": ("b.jsonl",
        each(lambda k, q, t, g: {"recordId": k, "modelInput": {},
            "modelOutput": {"output": {"message": {"content": [{"text": t}]}}}})),
    "Bedrock's batch of Llama": ("b.jsonl",
        each(lambda k, q, t, g: {"recordId": k, "modelInput": {"prompt": q},
            "modelOutput": {"generation": t, "stop_reason": "stop"}})),
    "Bedrock's batch of Titan": ("b.jsonl",
        each(lambda k, q, t, g: {"recordId": k, "modelInput": {"inputText": q},
            "modelOutput": {"inputTextTokenCount": 1, "results": [{"outputText": t}]}})),
    "replies of OpenAI's Responses": ("r.jsonl",
        each(lambda k, q, t, g: {"id": k, "object": "response", "output_text": t,
            "output": [{"type": "reasoning", "summary": []},
                {"type": "message", "content": [{"type": "output_text", "text": t}]}]})),
    "messages of Anthropic": ("m.jsonl",
        each(lambda k, q, t, g: {"id": k, "type": "message", "role": "assistant",
            "content": [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": t}]})),
    "llama.cpp": ("l.jsonl",
        each(lambda k, q, t, g: {"index": 0, "content": t, "stop": True, "prompt": f"Q: {q}"})),
    "objects in a table": ("p.csv",
        "id,generated_text\n" + "".join(f'{k},"{{\'text\': \'{t}\'}}"\n' for k, t in SAID.items())),
    "lists of one object in a table": ("p.csv",
        "id,prediction\n"
         + "".join(f'{k},"[{{\'generated_text\': \'{t}\'}}]"\n' for k, t in SAID.items())),
    "columns in Korean": ("p.csv",
        "문항 번호,모델 응답\n" + "".join(f'{k},"{t}"\n' for k, t in SAID.items())),
    "pandas' index without a name": ("p.csv",
        "__index_level_0__,prediction\n" + "".join(f'{k},"{t}"\n' for k, t in SAID.items())),
    "Bedrock's evaluation": ("b.jsonl",
        each(lambda k, q, t, g: {"inputRecord": {"prompt": q, "referenceResponse": "x"},
            "modelResponses": [{"response": t, "modelIdentifier": "m"}]})),
    "BioASQ": ("b.json",
        {"questions": rows(lambda k, q, t, g: {"id": k, "type": "factoid",
            "exact_answer": [[t, "?"], ["Rome"]], "ideal_answer": "x"})}),
    "AlpacaEval": ("a.json",
        rows(lambda k, q, t, g: {"instruction": q, "output": t, "generator": "m"})),
    "CSV": ("p.csv", 'id,prediction\nq1,"Paris"\nq2,Shakespeare\nq3,"1,947 m"\nq4,""\n'),
    "CSV by semicolons, an index before": ("p.csv",
        ";qid;Model Answer\n0;q1;Paris\n1;q2;Shakespeare\n2;q3;1,947 m\n3;q4;\n"),
    "CSV of one column": ("p.csv", 'prediction\nParis\nShakespeare\n"1,947 m"\n""\n'),
    "CSV in Korean": ("p.csv",
        'id,질문,정답,예측\nq1,?,Paris,Paris\nq2,?,x,Shakespeare\nq3,?,x,"1,947 m"\nq4,?,,\n'),
    "CSV without a header": ("p.csv", 'q1,Paris\nq2,Shakespeare\nq3,"1,947 m"\nq4,\n'),
    "CSV named otherwise": ("p.txt",
        'question_id,answer\nq1,Paris\nq2,Shakespeare\nq3,"1,947 m"\nq4,\n'),
    "CSV with lists": ("p.csv",
        "id,pred\nq1,['Paris']\nq2,['Shakespeare']\nq3,\"['1,947 m']\"\nq4,['']\n"),
    "TSV": ("p.tsv", "id\tprediction\nq1\tParis\nq2\tShakespeare\nq3\t1,947 m\nq4\t\n"),
    "TSV, each row by its index": ("predict_results_None.txt",
        "index\tprediction\n0\tParis\n1\tShakespeare\n2\t1,947 m\n3\t\n"),
    "pandas by columns": ("p.json",
        {"id": dict(enumerate(SAID)), "prediction": dict(enumerate(SAID.values()))}),
    "pandas by rows": ("p.json",
        {str(n): {"id": k, "prediction": t} for n, (k, _, t, _) in enumerate(ROWS)}),
    "a table of pandas, MLflow or W&B": ("eval.table.json",
        {"columns": ["id", "outputs"], "data": [[k, t] for k, t in SAID.items()]}),
    "columns without ids": ("p.json", {"predictions": list(SAID.values()), "labels": ["x"] * 4}),
    "TSV without quoting": ("p.tsv", 'id\tpred\nq1\t"Paris\nq2\tShakespeare"\nq3\t1,947 m\nq4\t\n'),
    "a list of texts": ("p.json", list(SAID.values())),
    "a list below any name": ("p.json",
        {"모델": "m", "stats": [{"mean": 1.0}],
            "결과": rows(lambda k, q, t, g: {"번호": k, "답변": t})}),
    "rows below a task's name": ("p.json",
        {"results": {"squad": rows(lambda k, q, t, g: {"id": k, "prediction": t})}}),
    "a model's name beside them": ("p.json",
        {"model": "m", "date": "today", "outputs": rows(lambda k, q, t, g: {"id": k, "text": t})}),
    "lm-eval, beside likelihoods": ("samples_squadv2.jsonl",
        lines(
            {**row, "filtered_resps": [*row["filtered_resps"], [-5.25, False]]}
             for row in lm_eval({"none": "{}"}))),
    "DeepEval's latest run": ("latest.json",
        {"testRunData": {"testFile": None,
            "testCases": rows(lambda k, q, t, g: {"input": q, "actualOutput": t}),
            "metricsScores": []}}),
    "LangChain": ("l.jsonl",
        each(lambda k, q, t, g: {"input": q, "context": [{"page_content": "x"}], "answer": t})),
    "replies of a server": ("r.jsonl", each(lambda k, q, t, g: {"custom_id": k, **chat(t)})),
    "Ollama": ("o.jsonl",
        each(lambda k, q, t, g: {"id": k, "message": {"role": "assistant", "content": t}})),
    "a chat as the output": ("c.jsonl",
        each(lambda k, q, t, g: {"id": k,
            "generated_text": [{"role": "user", "content": q},
                {"role": "assistant", "content": t}]})),
    "requests by number": ("b.jsonl",
        lines(
            {"custom_id": f"request-{number}", "response": {"body": chat(t)}}
             for number, t in enumerate(SAID.values()))),
    "Gemini's batch without keys": ("g.jsonl",
        each(lambda k, q, t, g: {
            "request": {"contents": [{"role": "user", "parts": [{"text": f"Q: {q}"}]}]},
            "response": {"candidates": [{"content": {"parts": [{"text": t}]}}]}})),
    "a CSV whose first line is Excel's": ("p.csv",
        "sep=;\nid;prediction\nq1;Paris\nq2;Shakespeare\nq3;1,947 m\nq4;\n"),
    "Azure's evaluation": ("a.jsonl",
        each(lambda k, q, t, g: {"inputs.query": q, "inputs.ground_truth": "x",
            "outputs.response": t, "line_number": int(k[1:])})),
    "the last of several answers": ("f.jsonl",
        each(lambda k, q, t, g: {"id": k, "output": f"It is {t}.", "final_answer": t})),
    "a table of bars": ("p.csv", "id|answer\nq1|Paris\nq2|Shakespeare\nq3|1,947 m\nq4|\n"),
    "scores of the answers within": ("p.json",
        rows(lambda k, q, t, g: {"id": k, "pred": t, "em": 1.0, "bleu": float("nan")})),
}  # fmt: skip
ID_NAMES = [
    "id", "_id", "qid", "guid", "query_id", "question_id", "example_id", "Question ID", "sample_id",
    "q_id", "uid", "key", "index",
]  # fmt: skip
ANSWER_NAMES = [
    "prediction", "pred", "predict", "predicted_answer", "output", "response", "generated_text",
    "Generated Answer", "answer", "model_output", "completion", "actual_output", "final_answer",
    "hypothesis", "text", "completions",
]  # fmt: skip
SHAPES |= {
    f"the id as {name}": (
        "p.jsonl",
        each(lambda k, q, t, g, name=name: {name: k, "prediction": t}),  # type: ignore[misc]
    )
    for name in ID_NAMES
}
SHAPES |= {
    f"the answer as {name}": (
        "p.jsonl",
        each(lambda k, q, t, g, name=name: {"id": k, name: t}),  # type: ignore[misc]
    )
    for name in ANSWER_NAMES
}
