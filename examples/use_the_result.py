"""From labelled images to a trained module, and what one can do with it.

python examples/use_the_result.py
"""

import torch

import hypernas

run = hypernas.run("digits", out="runs/example", minutes=3, max_params=50_000, quiet=True)

best = run.best
print(f"{best.final.test_accuracy:.1%} on the test split, {best.network.params} parameters")
print("verdict:", run.result.verdict.text)

# A plain module: no part of it knows hypernas.
logits = best.module(torch.zeros(1, 1, 8, 8))
print("logits for an empty image:", [round(value, 1) for value in logits[0].tolist()])

# Another limit, asked of the same folder: nothing is trained again.
answer = run.ask(hypernas.Limits(max_params=10_000), top=3)
for candidate in answer.found:
    print(f"score {candidate.score:.3f} with {candidate.params} parameters")
