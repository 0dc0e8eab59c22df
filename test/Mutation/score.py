#!/usr/bin/env python3
"""Prints the score of a report of Stryker's, file by file, and what survived."""
import json
import sys

report = json.load(open(sys.argv[1]))
whole = [0, 0]
hung = 0
for path, file in sorted(report["files"].items()):
    lines = file["source"].split("\n")
    killed = [m for m in file["mutants"] if m["status"] in ("Killed", "Timeout")]
    alive = [m for m in file["mutants"] if m["status"] in ("Survived", "NoCoverage")]
    if not killed and not alive:
        continue
    whole[0] += len(killed)
    hung += sum(m["status"] == "Timeout" for m in killed)
    whole[1] += len(killed) + len(alive)
    print(f"{path}: {len(killed)} of {len(killed) + len(alive)}, {100 * len(killed) / (len(killed) + len(alive)):.1f} %")
    for mutant in sorted(alive, key=lambda m: m["location"]["start"]["line"]):
        start = mutant["location"]["start"]
        line = lines[start["line"] - 1].strip()
        print(f"  {start['line']}:{start['column']} {mutant['mutatorName']}: {' '.join(mutant.get('replacement', '').split())[:90]}  <-  {line[:120]}")
print(f"score: {whole[0]} of {whole[1]}, {100 * whole[0] / max(1, whole[1]):.1f} %; {hung} of them because they hung")
